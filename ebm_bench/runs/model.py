"""A trained model as metrics use it."""

from functools import cached_property

import torch
from torch import Tensor, nn

from ebm_bench.energies.base import Energy
from ebm_bench.energies.levels import Levels
from ebm_bench.errors import InputError
from ebm_bench.metrics import features
from ebm_bench.metrics.grid import Grid, integrate
from ebm_bench.metrics.proposals import proposal_for
from ebm_bench.samplers.annealed_importance_sampling import Normaliser, annealed_importance_sampling
from ebm_bench.streams import Streams

_LOOKED_AT = 500  # points of the data around which a grid looks for narrow peaks


class Model:
    """A trained energy, with cached quantities that several metrics need.

    Parameters
    ----------
    energy : Energy
        Trained energy.
    dataset : Dataset
        Dataset that it was trained on.
    sampler : Sampler
        Sampler for energies that cannot be sampled exactly.
    streams : Streams
        Source of randomness.
    learned_log_z : Tensor of shape (R,), optional
        Log-normaliser that was learned.
    objective : Objective, optional
        Objective that it was trained with; by-products have none.
    cells : int
        Initial number of grid cells per side in the plane: few for learning curves, more for
        samples.
    progress : float
        Share of the steps of its training that were taken.
    """

    def __init__(
        self,
        energy: Energy,
        dataset,
        sampler,
        streams: Streams,
        learned_log_z: Tensor | None = None,
        objective: nn.Module | None = None,
        cells: int = 256,
        progress: float = 1.0,
    ):
        self.energy, self.dataset, self.sampler, self.streams = energy, dataset, sampler, streams
        self.learned_log_z = None if learned_log_z is None else learned_log_z.detach()
        self.objective, self.cells, self.progress = objective, cells, progress
        self._normalisers: dict[tuple[int, int, bool], Normaliser] = {}
        self._samples: dict[int, Tensor] = {}
        self._features: dict[tuple[int, str], tuple[Tensor, Tensor]] = {}

    @property
    def levels(self) -> Levels | None:
        """What continues the energy to noise levels; None where it was not trained at any."""
        found = getattr(self.objective, "embedding", None)
        return found if isinstance(found, Levels) else None

    @property
    def is_planar(self) -> bool:
        """Whether points are in the plane, where integrals are sums over a grid."""
        return tuple(self.dataset.event_shape) == (2,)

    @cached_property
    def grid(self) -> Grid:
        """The energy on a grid.

        Raises
        ------
        InputError
            Where points are not in the plane.
        """
        if not self.is_planar:
            raise InputError(
                f"a grid needs points of two dimensions, not of shape {self.dataset.event_shape}. "
                "Leave out the metrics that require 'grid'"
            )
        # The same points whichever replicates there are, since all share a grid.
        streams = Streams(self.streams.seed, 1, self.streams.device, (*self.streams.scope, "grid"))
        data = self.dataset.sample(_LOOKED_AT, streams, split="train")[0]
        return integrate(self.energy, self.dataset.box, self.cells, data=data)

    @property
    def log_z(self) -> Tensor:
        """The log-normaliser by the best way there is, shape (R,) in float64."""
        return self.normaliser().log_z

    def normaliser(
        self, chains: int = 128, levels: int = 1000, best_start: bool = False
    ) -> Normaliser:
        """Find the log-normaliser: known, by the grid, or by annealed importance sampling.

        Parameters
        ----------
        chains, levels, best_start : int, int, bool
            As for `annealed_importance_sampling`.
        """
        key = (chains, levels, best_start)
        if key not in self._normalisers:
            self._normalisers[key] = self._normaliser(*key)
        return self._normalisers[key]

    @property
    def annealed(self) -> Normaliser | None:
        """The estimate by most chains of annealed importance sampling that was made so far."""
        made = [key for key, found in self._normalisers.items() if found.chains]
        return self._normalisers[max(made)] if made else None

    def _normaliser(self, chains: int, levels: int, best_start: bool) -> Normaliser:
        known = self.energy.log_z
        if known is not None:
            known = known.detach().double()
            return Normaliser(known, torch.zeros_like(known))
        if self.is_planar:
            grid = self.grid
            details = {"converged": grid.converged.double()}
            return Normaliser(grid.log_z, torch.zeros_like(grid.log_z), details)
        streams = self.streams.child("log_z")
        proposal = proposal_for(self.dataset, streams.device)
        data = None
        if exact := getattr(self.energy, "sample", None):
            data = exact(chains, streams.child("data"))
        elif proposal is not self.dataset:  # from which the chains start already
            data = self.dataset.sample(chains, streams.child("data"), split="train")
        return annealed_importance_sampling(
            self.energy, streams, chains, levels, data, proposal, best_start
        )

    def samples(self, n: int) -> Tensor:
        """Draw from each replicate's model.

        Exact for energies with a sampler of their own, and in the plane by the grid;
        elsewhere the sampler runs from draws of the energy's base measure.

        Returns
        -------
        Tensor of shape (R, n, *event_shape)
            The same ones in every call with this ``n``.
        """
        if n not in self._samples:
            mode = torch.is_grad_enabled()
            # Others may differentiate with what is kept.
            with torch.inference_mode(False), torch.set_grad_enabled(mode):
                # A copy has been changed no times, and counts when it is.
                self._samples[n] = self._sample(n).detach().clone()
        return self._samples[n]

    @property
    def most_samples(self) -> int:
        """The largest number of samples drawn so far."""
        return max(self._samples, default=0)

    def _sample(self, n: int) -> Tensor:
        streams = self.streams.child("samples")
        if exact := getattr(self.energy, "sample", None):
            with torch.no_grad():
                return exact(n, streams)
        if self.is_planar:
            return self.grid.sample(n, streams)
        location, scale = self.energy.location, self.energy.scale
        start = streams.normal(n, *self.dataset.event_shape, dtype=scale.dtype)
        return self.sampler.run(self.energy, location + scale * start, streams)

    @property
    def cached(self) -> dict[str, Tensor]:
        """What metrics share, by name: samples, and features of images."""
        kept = {f"{n} samples of the model": samples for n, samples in self._samples.items()}
        for (n, split), pair in self._features.items():
            of = (f"{n} samples", f"{n} images of the {split} split")
            kept |= {f"features of {whose}": f for whose, f in zip(of, pair, strict=True)}
        return kept

    def features(self, n: int, split: str = "test") -> tuple[Tensor, Tensor]:
        """Features of ``n`` samples and of ``n`` held-out images, each of shape (R, n, F)."""
        if (n, split) not in self._features:
            data = self.dataset.sample(n, self.streams.child("data"), split)
            ours, theirs = map(self.dataset.to_pixels, (self.samples(n), data))
            self._features[n, split] = features.extract(ours), features.extract(theirs)
        return self._features[n, split]
