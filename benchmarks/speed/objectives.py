"""A row for every registered objective: a step in plain steps, against the count of its formula.

What another library has too is compared with it, for one model and as the suite of toys trains.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks.speed.contest import Builder, Row, Target
from benchmarks.speed.peers import ebmkit, ebmkit_levels
from benchmarks.speed.problem import Problem, ours, plain, repeated
from ebm_bench import registry
from ebm_bench.registry.fitting import misfit

MARGIN = 1.3  # of the time of the plain steps that are counted
FASTER = 1.5  # than the same loss of another library, in the suite of toys

# Plain steps of a step, with the default settings but those below, and what they are spent on: a
# batch of energies with the gradient by the parameters is one, so is each derivative by the input
# that is carried along, and so is a step of a chain. A flow or a kernel of all pairs has no count.
COUNTS: dict[str, tuple[int | None, str]] = {
    "exact_score_matching": (5, "energies, two first and two second derivatives"),
    "sliced_score_matching": (4, "energies, a gradient, a first and a second derivative"),
    "denoising_score_matching": (3, "a gradient, and its own by the parameters"),
    "weighted_score_matching": (5, "as exact score matching"),
    "multi_noise_denoising": (3, "as denoising score matching"),
    "time_score_matching": (4, "as denoising score matching, and a derivative by the level"),
    "finite_difference_score_matching": (3, "energies on a line"),
    "kernel_stein": (None, "a gradient, and a kernel of all pairs"),
    "learned_stein_discrepancy": (4, "a gradient, and three of a critic of the same width"),
    "minimum_probability_flow": (2, "data and a point nearby"),
    "constant_target_energy_matching": (2, "data and a point nearby"),
    "conditional_noise_contrastive": (2, "data and a point nearby"),
    "energy_discrepancy": (5, "data and four diffused points"),
    "noise_contrastive": (2, "data and noise"),
    "exponential_noise_contrastive": (2, "data and noise"),
    "self_normalized_likelihood": (2, "data and noise"),
    "ranking_noise_contrastive": (6, "data and five noise points"),
    "telescoping_ratio": (4, "two points at two levels"),
    "noise_level_classification": (10, "seven levels, and denoising score matching"),
    "flow_contrastive": (None, "data and a flow that is trained"),
    "adversarial_flow": (None, "data and a flow that is trained"),
    "flow_importance": (None, "data and a flow that is sampled"),
    "grid_maximum_likelihood": (3, "data and 1,024 nodes"),
    "contrastive_divergence": (13, "ten steps of chains with their accept step, data and ends"),
    "pseudo_spherical": (13, "as contrastive divergence"),
    "jarzynski_contrastive_divergence": (14, "as contrastive divergence, and weights"),
    "improved_contrastive_divergence": (23, "contrastive divergence and ten more"),
    "diffusion_recovery_likelihood": (12, "ten steps of chains, data and ends"),
}
_BATCH = 512
# As the suite of toys trains: replicates, and the batch and width of each.
_REPLICATES, _SMALL_BATCH, _WIDTH = 20, 128, 64
# As many chains as data points.
_SETTINGS: dict[str, Mapping[str, Any]] = {
    "contrastive_divergence": {"chains": _BATCH},
    "pseudo_spherical": {"chains": _BATCH},
    "improved_contrastive_divergence": {"chains": _BATCH},
    "jarzynski_contrastive_divergence": {"walkers": _BATCH},
    # As the other library has it.
    "diffusion_recovery_likelihood": {"adjusted": False},
}
# Steps that are timed as one: those in which every player of a game moves once.
_TURNS = {"learned_stein_discrepancy": 5}
_PEERS = {
    # The same value is computed from other draws: `tests/peers` compares it.
    "energy_discrepancy": ebmkit,
    # A network of the same width that is given the level in another way.
    "multi_noise_denoising": ebmkit_levels,
    "diffusion_recovery_likelihood": ebmkit_levels,
}


def rows() -> list[Row]:
    """List a row for each objective that can train a network in the plane, and the peers'."""
    entries, energy = registry.entries("objectives"), registry.describe("energies", "mlp")
    settings = energy.validate({})
    return [
        _row(name)
        for name, entry in entries.items()
        if entry.trains and not misfit(entry.requires, energy, settings, "toy")
    ] + [_replicates(name) for name in _PEERS]


def _row(name: str) -> Row:
    problem = Problem(name, "mlp", (2,), _SETTINGS.get(name, {}))
    turns = _TURNS.get(name, 1)
    builders = {"ours": ours(problem), "plain": plain(problem)}
    contenders: dict[str, Builder] = {n: repeated(b, turns) for n, b in builders.items()}
    count, spent = COUNTS.get(name, (None, ""))
    targets = [Target("plain", at_most=MARGIN * count)] if count else []
    if name in _PEERS:
        contenders["ebmkit"] = _PEERS[name](problem)
    title = f"{name.replace('_', ' ')}: {spent}" if spent else name.replace("_", " ")
    title += f", {turns} steps" if turns > 1 else ""
    return Row(f"step-{name}", title, contenders, tuple(targets), batch=_BATCH, compared=False)


def _replicates(name: str) -> Row:
    """Compare replicates that train together with those of a library that trains one model."""
    settings = _SETTINGS.get(name, {})
    together = Problem(name, "mlp", (2,), settings, {"width": _WIDTH}, _REPLICATES)
    alone = _PEERS[name](replace(together, replicates=1))
    contenders = {"ours": ours(together), "ebmkit": repeated(alone, _REPLICATES)}
    title = f"{_REPLICATES} replicates, {name.replace('_', ' ')}, MLP 2-{_WIDTH}-{_WIDTH}-1"
    targets = (Target("ebmkit", at_least=FASTER),)
    return Row(f"together-{name}", title, contenders, targets, _SMALL_BATCH, compared=False)
