"""The contract of a metric."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True)
class Metric(ABC):
    """One way to measure a model on a dataset.

    Attributes
    ----------
    version : int
        Raised whenever values change; values of different versions never mix.
    requires : tuple of str
        Requirements on the dataset (see `Dataset.knows`) or on the model
        (``"learned_log_z"``, ``"levels"``): others have no value.
    higher_is_better : bool or None
        Direction of the main value; None if neither is better.
    lower_bound : bool
        Whether a value that has not converged is a lower bound.
    scale : {"linear", "log"}
        ``"log"`` for a positive main value that scatters by factors: it is compared and averaged
        by its logarithm.
    unit : str
        Unit of the main value, for axes and table heads (``"nats"``).
    label : str
        Short name for axes and table heads.
    second_derivatives : bool
        Whether it takes second derivatives of the energy.
    split : str
        Split of finite datasets on which it is computed.
    """

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ()
    higher_is_better: ClassVar[bool | None] = False
    lower_bound: ClassVar[bool] = False
    scale: ClassVar[Literal["linear", "log"]] = "linear"
    unit: ClassVar[str] = ""
    label: ClassVar[str] = ""
    second_derivatives: ClassVar[bool] = False
    name: ClassVar[str] = ""

    split: str = "test"

    @abstractmethod
    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Measure each replicate.

        Parameters
        ----------
        model : Model
            Trained model, with its shared grid, samples and log-normaliser.
        dataset : Dataset
            The true distribution, or held-out data.
        streams : Streams
            Source of randomness.

        Returns
        -------
        dict of str to Tensor of shape (R,)
            ``"value"``, ``"standard_error"`` where it applies, and any further quantities
            by name. Not finite where the quantity is undefined, never replaced by a number.
        """
