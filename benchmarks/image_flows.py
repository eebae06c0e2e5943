"""Which flow of images fits best in a given time: the Glow, or spline couplings of whitened pixels.

``python -m benchmarks.image_flows`` fits both to MNIST by maximum likelihood, anew for each budget
of processor seconds, set-up included, and prints the bits/dim of held-out images beside those of
densities fitted in closed form. Takes about three minutes of one core; ``cifar10`` as an argument
takes longer.
"""

import math
import sys
import time

import torch
from torch import Tensor, nn

from ebm_bench import datasets
from ebm_bench.nn.coupling import VectorFlow
from ebm_bench.nn.flow import FlowModel, standard_normal_log_prob
from ebm_bench.nn.pca_mixture import PcaMixture
from ebm_bench.noise.gaussian import Gaussian
from ebm_bench.optim.adam import Optimiser
from ebm_bench.streams import Streams

BUDGETS = 5, 10, 20, 40
RATES = {"glow": 0.02, "splines": 0.005}  # the suites', and the best of three at ten seconds
FITTED, HELD_OUT, BATCH, TIMED = 10_000, 1_000, 32, 10


class WhitenedSplines(nn.Module):
    """Rational-quadratic spline couplings of images that the fitted Gaussian has whitened.

    Each coordinate is what the pixels before it do not predict of its pixel. Two couplings move
    every other one in turn: a learned matrix between them would be as large as the covariance.
    """

    def __init__(self, event_shape: tuple[int, ...], streams: Streams):
        super().__init__()
        self.gaussian = Gaussian(event_shape=event_shape, replicates=1)
        self.flow = VectorFlow(math.prod(event_shape), "spline", 2, streams)
        self.flow.mixing = None

    def fit_base(self, data: Tensor) -> None:
        """Whiten by the data (R, N, *event_shape)."""
        self.gaussian.fit(data, Streams(0, 1))
        factor, scale = self.gaussian.factor, self.gaussian.scale.flatten(1)
        identity = torch.eye(factor.shape[1]).expand_as(factor)
        self.inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
        self.volume = (factor.diagonal(dim1=1, dim2=2) * scale).log().sum(1, keepdim=True)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, B, *event_shape), shape (R, B)."""
        scaled = ((x - self.gaussian.mean) / self.gaussian.scale).flatten(2)
        white = scaled @ self.inverse.mT
        z, log_det = self.flow.inverse(torch.cat([white[..., ::2], white[..., 1::2]], dim=2))
        return standard_normal_log_prob(z) + log_det - self.volume


KINDS = {"glow": FlowModel, "splines": WhitenedSplines}


def train(flow: nn.Module, dataset, streams: Streams, steps: int, rate: float) -> float:
    """Maximise the likelihood by Adam; returns processor seconds."""
    begin = time.process_time()
    optimiser = Optimiser([list(flow.parameters())], 1, rate, clip=1.0, steps=steps)
    for step in range(steps):
        loss = -flow.log_prob(dataset.sample(BATCH, streams)).mean(1)
        optimiser.step(loss / math.prod(dataset.event_shape), step)
    return time.process_time() - begin


def fit(kind: str, dataset, data: Tensor, seconds: float) -> tuple[nn.Module, int]:
    """Fit for as many steps as the time allows; also their number."""
    begin, streams = time.process_time(), Streams(1, 1)
    flow = KINDS[kind](dataset.event_shape, streams.child("weights"))
    flow.fit_base(data)
    # A few steps at a rate of almost nothing tell how many there will be.
    each = train(flow, dataset, streams, TIMED, 1e-9) / TIMED
    steps = max(int((seconds - (time.process_time() - begin)) / each), 1)
    train(flow, dataset, streams, steps, RATES[kind])
    return flow, steps


@torch.no_grad()
def bits(density, dataset) -> float:
    """Bits/dim of held-out images."""
    x = dataset.sample(HELD_OUT, Streams(2, 1), split="test")
    nats = -(density.log_prob(x) + dataset.log_det(x)).double().mean().item()
    return nats / (math.prod(dataset.event_shape) * math.log(2)) + 8


def main(name: str = "mnist") -> None:
    """Print all rows."""
    torch.set_num_threads(1)
    dataset = datasets.create(name)
    data = dataset.sample(FITTED, Streams(0, 1))
    gaussian = Gaussian(event_shape=dataset.event_shape, replicates=1)
    gaussian.fit(data, Streams(0, 1))
    mixture = PcaMixture(dataset.event_shape, 10, 32).fit(data[0])
    print(f"Gaussian {bits(gaussian, dataset):.3f}, mixture {bits(mixture, dataset):.3f}")
    for kind in KINDS:
        for budget in BUDGETS:
            begin = time.process_time()
            flow, steps = fit(kind, dataset, data, budget)
            seconds = time.process_time() - begin
            found = f"{bits(flow, dataset):.3f} after {steps} steps in {seconds:.1f} s"
            print(f"{kind}, {budget} s: {found}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
