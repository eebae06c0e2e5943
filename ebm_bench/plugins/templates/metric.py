"""A metric of your own: one number for each replicate of a trained model."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.registry import register
from ebm_bench.streams import Streams


# The registered name is that of the class, in small letters joined by _.
@register
@dataclass(eq=False, kw_only=True)
class MyOwn(Metric):
    """Distance of the covariance of samples to that of held-out data.

    The Frobenius norm of the difference, in units of the data squared.

    Parameters
    ----------
    points : int
        Samples, and as many held-out points.
    """

    # Settings: an annotation, which is checked, and a literal default.
    points: Annotated[int, Ge(3)] = 2_000

    # Raise it whenever values change.
    version = 1
    # For axes and table heads; and True where higher is better, None where neither is.
    label = "covariance error"
    higher_is_better = False
    # What it asks of the dataset, of: log_prob, score, entropy, grid, modes, parameters, pixels.
    requires = ()

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Measure each replicate: "value" of shape (R,), further quantities by name."""
        # model has energy, log_z, grid, samples(n); a child of the streams begins anew each time.
        held_out = dataset.sample(self.points, streams.child("data"), split=self.split)
        difference = _covariance(model.samples(self.points)) - _covariance(held_out)
        return {"value": difference.square().sum((1, 2)).sqrt()}


def _covariance(x: Tensor) -> Tensor:
    """Covariance of points (R, N, *event_shape), shape (R, d, d)."""
    centred = x.flatten(2).double()
    centred = centred - centred.mean(1, keepdim=True)
    return centred.mT @ centred / x.shape[1]
