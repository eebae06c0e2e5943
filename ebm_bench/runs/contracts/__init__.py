"""What every class of a family keeps: looked at by `ebm-bench check`, and once in every run.

Shapes and types are looked at in every class. What takes computing is looked at in plugins: the
tests do so for the package.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.noise.base import Noise
from ebm_bench.runs import cost
from ebm_bench.runs.contracts.datasets import DENSITY, ENTROPY, POINTS, SCORE
from ebm_bench.runs.contracts.energies import (
    ALONE,
    COUNTED,
    ENERGY,
    EXACT,
    FIELDS,
    GRADIENT,
    SMOOTH,
    STATE,
    STEADY,
    TRAINED,
    evaluated,
)
from ebm_bench.runs.contracts.metrics import MEASURED, POSITIVE, UNTOUCHED, state_of
from ebm_bench.runs.contracts.noise import DRAWN, FINAL, MATCHED, NOISE, PAIRED, SINGLE
from ebm_bench.runs.contracts.objectives import (
    APART,
    LEARNED,
    LOSS,
    MIXED,
    OWN,
    SHAPES,
    UNSAVED,
    shapes_of,
    unsaved,
)
from ebm_bench.runs.contracts.samplers import CHAINS, SAMPLER
from ebm_bench.runs.state import Watch, copied
from ebm_bench.runs.surroundings import GENERATOR, guarded
from ebm_bench.streams import Streams


def require_parts(parts: Any, x: Tensor, second_derivatives: bool) -> None:
    """Look at the dataset, the energy and the sampler of a run, if they are of a plugin.

    Parameters
    ----------
    parts : Parts
        Parts of the run, with an energy that is fitted to data.
    x : Tensor of shape (R, N, *event_shape)
        Data.
    second_derivatives : bool
        Whether the objective or a metric takes second derivatives of the energy.

    Raises
    ------
    InputError
        Names the class, what was found and what is expected.
    """
    streams, few = parts.streams.child("contracts"), x[:, :4]
    # More calls than those of the training would change what these leave, such as a counter.
    energy = copied(parts.energy) or parts.energy
    evaluations = energy.evaluations
    if _is_plugin("datasets", parts.dataset):
        dataset = copied(parts.dataset) or parts.dataset
        DENSITY.require(dataset.name, dataset, few)
        POINTS.require(dataset.name, dataset, streams)
        SCORE.require(dataset.name, dataset, x)
        ENTROPY.require(dataset.name, dataset, x)
    if _is_plugin("energies", energy):
        made = (parts.dataset.event_shape, len(streams.indices))
        FIELDS.require(energy.name, energy, *made)
        ENERGY.require(energy.name, energy, few)
        FIELDS.require(energy.name, energy, *made)  # as forward() leaves them
        EXACT.require(energy.name, energy, streams)
        if parts.objective.trains:
            TRAINED.require(energy.name, energy, parts.objective)
        ALONE.require(energy.name, energy, few)
        STATE.require(energy.name, energy, few, parts.fresh_energy)
        COUNTED.require(energy.name, energy, few)
        with evaluated(energy):  # as it may change from call to call while it is trained
            # Of kept state that changes values the run warns.
            if not (STEADY.fault(energy, few) and _keeps_state(energy, few)):
                STEADY.require(energy.name, energy, few)
                GRADIENT.require(energy.name, energy, few)
                if second_derivatives and energy.smooth:
                    SMOOTH.require(energy.name, energy, x)
    if _is_plugin("samplers", parts.sampler) and (sampler := copied(parts.sampler)):
        SAMPLER.require(sampler.name, sampler, energy, few, streams)
        CHAINS.require(sampler.name, sampler, energy, few, streams)
    energy.evaluations = evaluations


def require_fitted(parts: Any) -> None:
    """Look at an objective that is fitted, and at its noise, if it is of a plugin.

    As `require_parts`.
    """
    objective, streams = parts.objective, parts.streams.child("contracts")
    # A tenth of those at which the training draws and evaluates it, which may be slow.
    points = parts.budget.steps * parts.budget.batch_size // 10
    for name, own in _noise(objective):
        part = copied(own) or own
        with guarded(parts.put_back), _as_memory_allows():
            NOISE.require(part.name, part, streams, parts.energy.scale.dtype)
            SINGLE.require(part.name, part, streams)
            DRAWN.require(part.name, part, streams)
            PAIRED.require(part.name, part, streams)
            MATCHED.require(part.name, part, streams, points)
        if name not in objective.maximises:
            FINAL.require(part.name, part)
    if _is_plugin("objectives", objective):
        LEARNED.require(objective.name, objective, parts.energy.replicates)


def blame_noise(parts: Any, error: Exception) -> None:
    """Explain an error of code that uses noise of a plugin, if this is at fault.

    Raises
    ------
    InputError
        As `require_parts`.
    """
    if cost.is_out_of_memory(error) or registry.raised_in(error):
        return  # which says all that there is to say
    for _, part in _noise(parts.objective):
        try:
            with guarded(parts.put_back):
                streams = parts.streams.child("contracts")
                NOISE.require(part.name, part, streams, parts.energy.scale.dtype)
        except InputError as fault:
            raise fault from error
        except Exception:  # of noise that is fitted by half, which explains nothing
            continue


def require_apart(parts: Any, loss: Tensor) -> None:
    """Look at which energies the loss of a step depends on; as `require_parts`.

    Parameters
    ----------
    parts : Parts
        Parts of the run.
    loss : Tensor of shape (R,)
        Loss with its graph, which is kept.
    """
    objective, energy = parts.objective, parts.energy
    if _is_plugin("objectives", objective):
        evaluations = energy.evaluations
        APART.require(objective.name, objective, energy, loss)
        energy.evaluations = evaluations  # of a graph that calls the energy again


def require_own(
    parts: Any, draw: Callable[[], Tensor], names: Sequence[str], apart: bool = False
) -> None:
    """Look at which streams and points the loss of a batch depends on; as `require_parts`.

    Parameters
    ----------
    parts : Parts
        Parts of the run.
    draw : callable
        Draws a batch that no step takes.
    names : sequence of str
        Names of state that calls change and copies may share. Nothing is looked at if there is
        some.
    apart : bool
        Whether to look at the energies too, for a training without a second step.
    """
    name, streams = parts.objective.name, parts.streams.child("contracts")
    if names or not _is_plugin("objectives", parts.objective):
        return
    batch = draw()

    def loss(x: Tensor, streams: Streams) -> tuple[Any, Any, Tensor]:
        """Begin with the same state in every call, and leave it as it is."""
        objective, energy = copied((parts.objective, parts.energy), parts.dataset)
        with guarded([]):
            return objective, energy, objective.loss_at(energy, x.clone(), streams, parts.progress)

    if copied((parts.objective, parts.energy), parts.dataset):
        if apart:
            APART.require(name, *loss(batch, streams))
        OWN.require(name, lambda own: loss(batch, own)[2].detach(), streams)
        MIXED.require(name, lambda x: loss(x, streams.child("mixed"))[2].detach(), batch)


def shapes(parts: Any) -> dict[str, dict]:
    """Describe what a checkpoint holds, by family and name."""
    return {"energies": shapes_of(parts.energy), "objectives": shapes_of(parts.objective)}


def require_shapes(parts: Any, before: dict[str, dict]) -> None:
    """Compare with what `shapes` gave; as `require_parts`."""
    for family, part in (("energies", parts.energy), ("objectives", parts.objective)):
        replace(SHAPES, family=family).require(part.name, before[family], part)


def measured(metric: Any, model: Any, dataset: Any, streams: Streams) -> dict[str, Tensor]:
    """Measure a model, and look at the result, and at the model if the metric is of a plugin.

    As `require_parts`.
    """
    watched = _is_plugin("metrics", metric)
    before = state_of(model) if watched else {}
    with guarded([]), evaluated(model.energy):
        result = metric(model, dataset, streams)
    MEASURED.require(metric.name, result, model.energy.replicates)
    if watched:
        POSITIVE.require(metric.name, metric, result)
        UNTOUCHED.require(metric.name, before, state_of(model))
    return result


@contextmanager
def _as_memory_allows() -> Iterator[None]:
    """Look no further where memory is exhausted, as what the run itself needs may fit."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not cost.is_out_of_memory(error):
            raise


def _noise(objective: Any) -> Iterator[tuple[str, Noise]]:
    """Noise of plugins that an objective uses, by name."""
    for name, part in objective.named_children():
        if isinstance(part, Noise) and _is_plugin("noise", part):
            yield name, part


def _keeps_state(energy: Any, x: Tensor) -> bool:
    """Whether calls of an energy change something of it that no checkpoint holds."""
    watch = Watch([energy])
    for _ in range(2):  # the first may make what is kept
        energy(x)
        watch.look()
    return not all(name.startswith(GENERATOR) for name in watch.unsaved)


def _is_plugin(family: str, part: Any) -> bool:
    entry = registry.entries(family).get(type(part).name)
    return entry is not None and not entry.packaged
