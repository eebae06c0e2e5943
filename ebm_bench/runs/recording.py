"""Records of trainings, with what each process did of them."""

from typing import TYPE_CHECKING, Any

from ebm_bench import records
from ebm_bench.records import provenance
from ebm_bench.runs import compilation, cost
from ebm_bench.suites.suite import Suite

if TYPE_CHECKING:
    from ebm_bench.runs.training import _Trainer


def curve_steps(total: int, points: int) -> set[int]:
    """Choose the steps at which a learning curve has a point, spaced by equal factors."""
    found = {round(max(total, 1) ** (i / (points - 1))) for i in range(points)}
    # The last quarter shows whether a training still changes.
    return found | {round(0.75 * total)} if points > 2 else found


def segments(trainer: "_Trainer") -> list[dict[str, Any]]:
    """State what each process did: those before, of which a checkpoint tells, and this one."""
    before = {key: sum(s[key] for s in trainer.earlier) for key in ("steps", "seconds")}
    here = provenance.collect(trainer.device)
    own = {
        "steps": trainer.step - before["steps"],
        "compiled": trainer.compiled_steps,
        "seconds": trainer.seconds - before["seconds"],
        "hardware": here.hardware,
        "commit": here.commit,
    }
    return [*trainer.earlier, own]


def record(trainer: "_Trainer", suite: Suite, dataset: str, method: str) -> records.Run:
    """Make the record of a training that has ended."""
    parts, spec = trainer.parts, suite.methods[method]
    found = segments(trainer)
    compiled: records.Steps = "compiled"
    if compilation.is_mixed(suite.datasets[dataset].compute, parts.streams.device):
        compiled = "mixed"
    return records.Run(
        suite=suite.name,
        suite_version=suite.version,
        dataset=dataset,
        dataset_version=parts.dataset.version,
        space=parts.dataset.space,
        method=method,
        objective=spec.objective,
        settings=suite.settings_of(dataset, method),
        energy=suite.energy_of(dataset, method).model_dump(),
        budget=parts.budget.model_dump(),
        seed=suite.seed,
        control=spec.control,
        fingerprint=trainer.fingerprint,
        outcomes=parts.outcomes,
        cost=records.Cost(
            setup_seconds=trainer.setup_seconds,
            train_seconds=trainer.train_seconds,
            energy_evaluations=parts.energy.evaluations,
            noise_evaluations=trainer.step
            * parts.objective.noise_evaluations(parts.budget.batch_size),
            flops_per_step=trainer.flops,
            peak_memory_bytes=max(trainer.peak, cost.peak(trainer.device)),
            parameters=sum(p.numel() for p in parts.energy.parameters()) // parts.energy.replicates,
        ),
        curve=[records.CurvePoint(**point) for point in trainer.curve],
        provenance=provenance.collect(trainer.device),
        steps=compiled if any(segment["compiled"] for segment in found) else "eager",
        unsaved=trainer.watch.unsaved,
        segments=[records.Segment(**segment) for segment in found],
    )
