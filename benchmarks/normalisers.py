"""How often a log-normaliser that is called converged is right: models whose log Z is known.

``python -m benchmarks.normalisers`` anneals to models that differ from the density of the data as
trained ones do (other widths, shifted, far-apart modes of other weights, with some lost or one too
many) from that density, and from what is fitted to its samples. It writes
``benchmarks/normalisers.csv``, a row per kind of model, and prints it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from ebm_bench import datasets, energies
from ebm_bench.energies.base import Energy
from ebm_bench.nn.pca_mixture import PcaMixture
from ebm_bench.samplers.annealed_importance_sampling import annealed_importance_sampling
from ebm_bench.samplers.annealing_path import Proposal
from ebm_bench.streams import Streams

RESULT = Path(__file__).with_suffix(".csv")
REPLICATES = 4
# Dimensions, number of modes and their standard deviation, where centres are standard normal.
MODES = ((3, 8, 0.2), (10, 8, 0.25))
CHANGES = ("weights", "moved", "narrow", "lost", "extra")


@dataclass(eq=False, kw_only=True, repr=False)
class Blobs(Energy):
    """Gaussians around centres that all replicates share, with log Z = 0."""

    modes: int = 8
    sd: float = 0.2

    def build(self, streams: Streams) -> None:
        """Draw the centres; all weigh the same."""
        (self.centres,) = Streams(7).normal(self.modes, *self.event_shape)
        self.log_weights = torch.zeros(self.replicates, self.modes).log_softmax(1)

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, d), shape (R, B)."""
        constant = x.shape[2] * math.log(self.sd * math.sqrt(2 * math.pi))
        squares = (x.unsqueeze(2) - self.centres).square().sum(3) / self.sd**2
        return constant - (self.log_weights[:, None] - 0.5 * squares).logsumexp(2)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, B, d), shape (R, B)."""
        return -self(x)

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw points, shape (R, n, d)."""
        chosen = torch.searchsorted(self.log_weights.exp().cumsum(1), streams.uniform(n))
        noise = streams.normal(n, *self.event_shape)
        return self.centres[chosen.clamp_max(self.modes - 1)] + self.sd * noise

    def change(self, kind: str) -> "Blobs":
        """Make a model of these data that is wrong in one way."""
        size = {"modes": self.modes + (kind == "extra")}
        model = Blobs(event_shape=self.event_shape, replicates=self.replicates, sd=self.sd, **size)
        streams = Streams(11, self.replicates)
        if kind == "weights":
            model.log_weights = (2 * streams.normal(self.modes)).log_softmax(1)
        elif kind == "moved":
            model.centres = (
                self.centres + 0.5 * self.sd * Streams(12).normal(*self.centres.shape)[0]
            )
        elif kind == "narrow":
            model.sd = 0.5 * self.sd
        elif kind == "lost":
            model.log_weights[:, : self.modes // 2] -= 14
            model.log_weights = model.log_weights.log_softmax(1)
        else:
            model.centres[:-1] = self.centres
        return model


@dataclass(eq=False, kw_only=True, repr=False)
class Density(Energy):
    """A density as an energy with log Z = 0."""

    density: Proposal

    def build(self, streams: Streams) -> None:
        """Nothing is drawn."""

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, d), shape (R, B)."""
        return -self.density.log_prob(x)


class Case(NamedTuple):
    """Models of one kind, as many as replicates, and the density of their data."""

    kind: str
    model: Energy
    log_z: Tensor
    truth: Proposal


def cases() -> Iterator[Case]:
    """List the kinds of models."""
    for name, energy in {"gaussian": "quadratic", "ring": "ring", "laplace_ica": "ica"}.items():
        for factor in (0.7, 1.4):
            truth = datasets.create(name)
            shape = truth.event_shape
            model = energies.create(energy, event_shape=shape, replicates=REPLICATES)
            model.fit(truth.sample(2000, Streams(1, REPLICATES)))
            model.assume({k: factor * v.float() for k, v in truth.parameters.items()})
            yield Case(f"{name} × {factor}", model, model.log_z.detach().double(), truth)
    zero = torch.zeros(REPLICATES, dtype=torch.float64)
    for freedom in (3.0, 10.0):
        truth, tails = (datasets.create("student_t", freedom=f) for f in (5.0, freedom))
        model = Density(event_shape=truth.event_shape, replicates=REPLICATES, density=tails)
        yield Case(f"student_t, ν = {freedom:.0f}", model, zero, truth)
    for size, modes, sd in MODES:
        settings = {"event_shape": (size,), "replicates": REPLICATES, "modes": modes, "sd": sd}
        blobs = Blobs(**settings)
        for change in CHANGES:
            yield Case(f"{modes} modes in {size}-D, {change}", blobs.change(change), zero, blobs)
        # As images: the model is a mixture of principal components that fits less data.
        mixtures = [
            PcaMixture((size,), 10, size // 2).fit(blobs.sample(n, Streams(5, REPLICATES))[0])
            for n in (4000, 400)
        ]
        model = Density(event_shape=(size,), replicates=REPLICATES, density=mixtures[1])
        yield Case(f"principal components in {size}-D", model, zero, mixtures[0])


def anneal(case: Case, fitted: bool, chains: int = 64, levels: int = 200) -> pd.DataFrame:
    """Estimate the log-normalisers of a case; a row per replicate."""
    data = case.truth.sample(2000, Streams(3, REPLICATES))
    Energy.fit(case.model, data)
    case.model.eval().requires_grad_(False)
    found = annealed_importance_sampling(
        case.model,
        Streams(0, REPLICATES),
        chains,
        levels,
        data[:, :chains] if fitted else None,
        PcaMixture(data.shape[2:], 10, 32).fit(data[0]) if fitted else case.truth,
    )
    return pd.DataFrame(
        {
            "kind": case.kind,
            "start": "fitted" if fitted else "truth",
            "off": found.log_z - case.log_z,
            "standard_error": found.standard_error,
            "converged": found.details["converged"] == 1,
            "missing": found.details["missing"],
        }
    )


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Count, for each kind and start, what is called converged and what of it is right."""
    right = rows["off"].abs() <= 3 * rows["standard_error"] + 1e-3
    rows = rows.assign(right=right & rows["converged"], cases=1)
    by = rows.groupby(["kind", "start"], sort=False)
    table = by[["cases", "converged", "right"]].sum()
    return table.join(by["off"].median().round(3)).reset_index()


def main() -> None:
    """Run all cases."""
    rows = []
    for case in cases():
        rows += [summarise(anneal(case, fitted)) for fitted in (False, True)]
        print(
            rows[-2].to_string(header=False), rows[-1].to_string(header=False), sep="\n", flush=True
        )
    table = pd.concat(rows)
    table.to_csv(RESULT, index=False)
    print(table[["cases", "converged", "right"]].sum())


if __name__ == "__main__":
    main()
