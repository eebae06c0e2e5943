"""Train and measure one method from Python."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

from torch import Tensor

from ebm_bench import metrics, records, registry
from ebm_bench.errors import InputError
from ebm_bench.registry.entries import LEARNED
from ebm_bench.runs import assembly, contracts, processes, training
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
        If a name or a value is not valid, or a plugin raises an error.

    Examples
    --------
    >>> import ebm_bench
    >>> fit = ebm_bench.fit("eight_gaussians", "denoising_score_matching", {"sigma": 0.2},
    ...                     replicates=2, steps=20)
    >>> fit.energy(fit.sample(3)).shape
    torch.Size([2, 3])
    """
    for kind, name in {"dataset": dataset, "objective": objective}.items():
        if not isinstance(name, str):
            raise InputError(f"fit(): {kind} is {name!r}, not a name")
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
    with _explained(), devices.acquire(device) as acquired:
        parts, run = training.train_method(checked, dataset, objective, acquired)
    return Fit(parts, run)


@contextmanager
def _explained() -> Iterator[None]:
    """Raise errors of plugins and files as the command line prints them."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plugin may also exit
        if message := processes.explain(error):
            raise InputError(message) from error
        raise


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
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise InputError(f"evaluate(): {names!r} is no list of names of metrics")
        names = list(names)
        model = self._model
        learned = [name for name in LEARNED if getattr(model, name) is not None]
        for name in names:
            required = registry.describe("metrics", str(name)).requires
            if missing := sorted({*required} - {*self.dataset.knows, *learned}):
                of = f"{self.dataset.name} and {self._objective.name}"
                raise InputError(f"{name} needs {', '.join(missing)} of {of}")
        with _explained():
            return {
                name: contracts.measured(metrics.create(name), model, self.dataset, model.streams)
                for name in names
            }

    def sample(self, n: int) -> Tensor:
        """Draw from each replicate's model, shape (R, n, *event_shape).

        Exact in two dimensions and for models with a sampler of their own, Langevin dynamics
        otherwise.
        """
        if not isinstance(n, Integral) or n < 1:
            raise InputError(f"sample(): n is {n!r}, not a whole number of 1 or more")
        with _explained():
            return self._model.samples(int(n))
