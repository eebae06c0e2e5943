"""The parts of a run, made from its suite or restored from its folder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from ebm_bench import datasets, energies, objectives, records, registry, samplers
from ebm_bench.datasets import inspection
from ebm_bench.datasets.base import Dataset
from ebm_bench.energies.base import Energy
from ebm_bench.errors import InputError
from ebm_bench.objectives.base import Objective
from ebm_bench.records import fingerprint
from ebm_bench.runs.contracts.energies import FIELDS
from ebm_bench.runs.model import Model
from ebm_bench.runs.surroundings import guarded
from ebm_bench.samplers.base import Sampler
from ebm_bench.streams import Streams
from ebm_bench.suites.budget import Budget
from ebm_bench.suites.suite import Suite


@dataclass
class Parts:
    """Everything that training changes and evaluation measures.

    Attributes
    ----------
    fresh_energy : callable
        Makes the energy as it was at first, not fitted.
    progress : float
        Share of the steps of the training that were taken.
    put_back : list of str
        Names of settings of the process that calls have changed; for `guarded`.
    """

    dataset: Dataset
    energy: Energy
    objective: Objective
    sampler: Sampler
    streams: Streams
    budget: Budget
    outcomes: list[records.Outcome]
    fresh_energy: Callable[[], Energy]
    progress: float = 0.0
    put_back: list[str] = field(default_factory=list)

    def draw(self, n: int, streams: Streams) -> torch.Tensor:
        """Draw points of the training split, (R, n, *event_shape)."""
        with guarded(self.put_back):
            return self.dataset.sample(n, streams)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """All weights and buffers, those of the energy and those of the objective."""
        return {
            f"{part}.{key}": value
            for part in ("energy", "objective")
            for key, value in getattr(self, part).state_dict().items()
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Load what `state_dict` gave."""
        for part in ("energy", "objective"):
            own = {k.removeprefix(f"{part}."): v for k, v in state.items() if k.startswith(part)}
            getattr(self, part).load_state_dict(own)

    def model(self, purpose: str, cells: int = 256) -> Model:
        """Wrap the energy for metrics, with random numbers for one purpose."""
        streams, objective = self.streams.child(purpose), self.objective
        return Model(
            self.energy,
            self.dataset,
            self.sampler,
            streams,
            objective.log_z,
            objective,
            cells,
            self.progress,
        )

    def models(self, purpose: str) -> dict[str, Model]:
        """Wrap the energy and the by-products of training, all frozen, for metrics."""
        streams = self.streams.child(purpose)
        # By-products were trained beside the energy, and not with the objective's loss.
        others = {
            name: Model(energy, self.dataset, self.sampler, streams)
            for name, energy in self.objective.byproducts.items()
        }
        models = {"energy": self.model(purpose), **others}
        for model in models.values():
            model.energy.eval().requires_grad_(False)
        return models


def assemble(suite: Suite, dataset: str, method: str, device: str, copies: int = 1) -> Parts:
    """Create the parts of a run, not yet fitted to data.

    Parameters
    ----------
    suite : Suite
        Where the run is described.
    dataset, method : str
        Their names in the suite.
    device : str
        As torch calls it.
    copies : int
        How often all replicates stand side by side, with the same random numbers.

    Returns
    -------
    Parts
        With initial weights that depend on the suite's seed, the dataset and the replicate,
        but not on the method.
    """
    data, spec = suite.datasets[dataset], suite.methods[method]
    try:
        return _assemble(suite, dataset, method, data, spec, device, copies)
    except InputError as error:
        raise InputError(f"methods.{method} on {dataset}: {error}") from None


def _assemble(suite, dataset, method, data, spec, device, copies) -> Parts:
    source = load_data(suite, dataset)
    replicates = [*range(data.replicates)] * copies
    fresh_energy = partial(_make_energy, suite, dataset, method, source, replicates)
    energy = fresh_energy()
    objective = objectives.create(spec.objective, **suite.settings_of(dataset, method))
    objective.attach(source)
    objective.build(energy)
    return Parts(
        dataset=source,
        energy=energy.to(device),
        objective=objective.to(device),
        sampler=samplers.create(data.sampler.name, **data.sampler.settings),
        streams=Streams(suite.seed, replicates, device, scope=(dataset,)),
        budget=suite.budget_of(dataset, method),
        outcomes=[],
        fresh_energy=fresh_energy,
    )


def _make_energy(
    suite: Suite, dataset: str, method: str, source: Dataset, replicates: list[int]
) -> Energy:
    """Create the energy of a run, not yet fitted, with initial weights as `assemble` says.

    Parameters
    ----------
    suite, dataset, method
        As for `assemble`.
    source : Dataset
        Dataset that is modelled.
    replicates : list of int
        Indices of the replicates.
    """
    chosen = suite.energy_of(dataset, method)
    energy = energies.create(
        chosen.name,
        event_shape=source.event_shape,
        replicates=len(replicates),
        # Drawn on the CPU, so that every device starts from the same weights.
        streams=Streams(suite.seed, replicates, scope=(dataset, "weights")),
        **chosen.settings,
    )
    FIELDS.require(chosen.name, energy, source.event_shape, len(replicates))
    energy.attach(source)
    return energy


def load_data(suite: Suite, dataset: str) -> Dataset:
    """Create a dataset of a suite and look at its points.

    Raises
    ------
    InputError
        Where there are no data, or `inspection.inspect` refuses them; names the files.
    """
    spec = suite.datasets[dataset]
    described = suite.data(dataset, spec.settings)
    source = datasets.create(dataset, **described.settings)
    files = registry.describe("datasets", dataset).paths(described.settings)
    where = f"dataset {dataset}" + (f" ({', '.join(map(str, files))})" if files else "")
    for file in files:
        if not file.exists():
            raise InputError(f"{where}: does not exist")
    with guarded([]):
        inspection.inspect(source, spec.budget.batch_size, where)
    return source


def restore(suite: Suite, dataset: str, method: str, folder: str | Path, device: str) -> Parts:
    """Put a trained run together again from its folder.

    Raises
    ------
    InputError
        Where the folder has no record of the run.
    """
    folder = Path(folder)
    run = records.read(records.Run, folder / "run.json")
    if run.fingerprint != fingerprint.of_training(suite, dataset, method):
        raise InputError(
            f"{folder}: trained with other settings or other code than there are now; "
            f"train {method} on {dataset} again"
        )
    parts = assemble(suite, dataset, method, device)
    weights = folder / "weights.safetensors"
    try:
        parts.load_state_dict(safetensors.torch.load_file(weights, device))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise InputError(f"{weights}: cannot be loaded ({error}); train again") from None
    parts.outcomes = run.outcomes
    # Other than 1 where time or memory ended the training, or all replicates diverged.
    taken = max(outcome.step for outcome in run.outcomes)
    parts.progress = taken / parts.budget.steps if parts.budget.steps else 1.0
    return parts
