"""The contract of a metric."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

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
        What it asks of the dataset (see `Dataset.knows`) or of the model
        (``"learned_log_z"``).
    higher_is_better : bool or None
        The direction of the main value; None where neither is better.
    lower_bound : bool
        Whether a value that has not converged is too low.
    unit : str
        Of the main value, for axes and table heads (``"nats"``).
    label : str
        A short name for axes and table heads.
    split : str
        Which part of finite data sets is held out for it.
    """

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ()
    higher_is_better: ClassVar[bool | None] = False
    lower_bound: ClassVar[bool] = False
    unit: ClassVar[str] = ""
    label: ClassVar[str] = ""
    name: ClassVar[str] = ""

    split: str = "test"

    @abstractmethod
    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Measure each replicate.

        Parameters
        ----------
        model : Model
            The trained model, with its shared grid, samples and log-normaliser.
        dataset : Dataset
            The truth, or held-out data.
        streams : Streams
            Where the randomness comes from.

        Returns
        -------
        dict of str to Tensor of shape (R,)
            ``"value"``, where it applies ``"standard_error"``, and any further quantities
            by name. Not finite where the quantity is not defined; never a stand-in.
        """
