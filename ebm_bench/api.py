"""Train and measure one method from Python."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ebm_bench import metrics, records, registry
from ebm_bench.errors import InputError
from ebm_bench.runs import assembly, contracts, training
from ebm_bench.suites import suite
from ebm_bench.utils import devices


def fit(
    dataset: str,
    objective: str,
    settings: dict[str, Any] | None = None,
    energy: str = "mlp",
    *,
    energy_settings: dict[str, Any] | None = None,
    dataset_settings: dict[str, Any] | None = None,
    replicates: int = 5,
    steps: int = 5000,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    seed: int = 0,
    device: str = "auto",
) -> "Fit":
    """Train an energy on a dataset with an objective.

    Parameters
    ----------
    dataset, objective, energy : str
        Registered names; ``ebm-bench list`` shows them.
    settings, energy_settings, dataset_settings : dict, optional
        Settings of the objective, the energy and the dataset.
    replicates : int
        Number of models trained side by side, each from its own seed.
    steps, batch_size : int
        Number of optimiser steps, and of data points in each.
    learning_rate : float
        Learning rate of Adam.
    seed : int
        Seed of all random streams.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:0"``, ...

    Returns
    -------
    Fit
        The trained models, with methods to measure and sample them.

    Raises
    ------
    InputError
        If a name or a value is not valid.

    Examples
    --------
    >>> import ebm_bench
    >>> fit = ebm_bench.fit("eight_gaussians", "denoising_score_matching", {"sigma": 0.2},
    ...                     replicates=2, steps=20)
    >>> fit.energy(fit.sample(3)).shape
    torch.Size([2, 3])
    """
    checked = suite.check(
        {
            "name": "fit",
            "version": 1,
            "seed": seed,
            "datasets": {
                dataset: {
                    "settings": dataset_settings or {},
                    "energy": {"name": energy, "settings": energy_settings or {}},
                    "replicates": replicates,
                    "budget": {
                        "steps": steps,
                        "batch_size": batch_size,
                        "learning_rate": learning_rate,
                    },
                    "sampler": {"name": "langevin"},
                    "metrics": {"hyvarinen_score": {}},
                    "rank_by": "hyvarinen_score",
                    "curve": "hyvarinen_score",
                }
            },
            "methods": {objective: {"objective": objective, "settings": settings or {}}},
        },
        "fit()",
    )
    with devices.acquire(device) as acquired:
        parts, run = training.train_method(checked, dataset, objective, acquired)
    return Fit(parts, run)


class Fit:
    """Trained models of one method on one dataset.

    Attributes
    ----------
    energy : Energy
        Maps (R, B, *event_shape) to energies (R, B).
    dataset : Dataset
        Training data.
    log_z : Tensor of shape (R,) or None
        The log-normaliser that is known or was learned.
    byproducts : dict of str to Energy
        Further models that training produced.
    record : ebm_bench.records.Run
        Settings, outcomes of the replicates, cost, learning curve and provenance.
    """

    def __init__(self, parts: assembly.Parts, run: records.Run):
        self.record = run
        self.energy = parts.energy
        self.dataset = parts.dataset
        self.byproducts = parts.objective.byproducts
        self._objective = parts.objective
        self._model = parts.model("evaluation")

    @property
    def log_z(self) -> Tensor | None:
        """The log-normaliser that is known or was learned, shape (R,)."""
        known = self.energy.log_z
        log_z = self._objective.log_z if known is None else known
        return None if log_z is None else log_z.detach()

    def evaluate(self, names: Sequence[str]) -> dict[str, dict[str, Tensor]]:
        """Measure the energy.

        Parameters
        ----------
        names : sequence of str
            Registered metrics.

        Returns
        -------
        dict
            For each metric its ``"value"`` of shape (R,), its ``"standard_error"`` where it
            has one, and its further quantities.
        """
        for name in names:
            required = registry.describe("metrics", name).requires
            missing = set(required) - {*self.dataset.knows, "learned_log_z"}
            if missing:
                raise InputError(f"{name} needs {', '.join(missing)} of {self.dataset.name}")
        model = self._model
        return {
            name: contracts.measured(metrics.create(name), model, self.dataset, model.streams)
            for name in names
        }

    def sample(self, n: int) -> Tensor:
        """Draw from each replicate's model, shape (R, n, *event_shape).

        Exact in two dimensions and for models with a sampler of their own, Langevin dynamics
        otherwise.
        """
        return self._model.samples(n)
