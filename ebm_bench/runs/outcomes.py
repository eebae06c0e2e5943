"""How the replicates of a training ended."""

from ebm_bench.optim.adam import Optimiser
from ebm_bench.records import Outcome, Status
from ebm_bench.runs.assembly import Parts


def of_replicates(
    parts: Parts, optimiser: Optimiser | None, status: Status, step: int
) -> list[Outcome]:
    """State how each replicate ended.

    Parameters
    ----------
    parts : Parts
        As training left them.
    optimiser : Optimiser or None
        Knows which replicates diverged; None where there was no step to take.
    status : Status
        How the training ended.
    step : int
        Number of steps taken.
    """
    replicates = parts.streams.indices
    found: list[tuple[Status, int]] = [(status, step) for _ in replicates]
    if status != "out_of_memory":
        escaped = parts.objective.escaped(parts.energy, parts.streams.child("escaped"))
        for i in escaped.nonzero().flatten().tolist():
            found[i] = "flow_escaped", step
    if optimiser:
        for i in (~optimiser.alive).nonzero().flatten().tolist():
            found[i] = "diverged", int(optimiser.ended[i])
    return [
        Outcome(replicate=replicate, status=ended, step=at)
        for replicate, (ended, at) in zip(replicates, found, strict=True)
    ]
