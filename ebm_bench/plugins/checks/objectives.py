"""Checks of objectives: shapes, signs, gradients, replicates, state."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal, get_args, get_origin
from unittest import mock

import torch
from scipy.optimize import bisect
from torch import Tensor, nn

from ebm_bench import datasets, energies, noise, registry, samplers
from ebm_bench.energies.base import Energy
from ebm_bench.errors import InputError
from ebm_bench.optim.adam import Optimiser
from ebm_bench.plugins.checks.base import Named, check, checks_of, expect, expect_close, expect_kept
from ebm_bench.runs import contracts
from ebm_bench.streams import Streams

# Energies whose derivatives are computed by plain operations, and by automatic differentiation.
PATHS: dict[str, dict[str, Any]] = {"mlp": {"width": 8}, "ica": {"source": "logistic"}}
# What makes checks quick; nothing that changes what is checked.
_QUICK_NOISE: dict[str, dict[str, Any]] = {
    "flow": {"noise_settings": {"steps": 5}},
    "gaussian_mixture": {"noise_settings": {"components": 2}},
}

# Of what is trained against the energy, before the slope of the loss is looked at.
_RESPONSE_STEPS, _RESPONSE_RATE, _RESPONSE_BATCH = 15, 1e-2, 256


@dataclass(frozen=True, eq=False)
class Case(Named):
    """An objective with its settings.

    Attributes
    ----------
    name : str
        Registered name.
    settings : dict
        Other than the defaults.
    """

    family = "objectives"

    @classmethod
    def all(cls, name: str) -> list["Case"]:
        """List the cases: the defaults, and variants of them."""
        return [cls(name, settings) for settings in variants(name)]

    def create(self, **arguments: Any) -> Any:
        """Create an instance for data in the plane."""
        objective = super().create(**arguments)
        objective.attach(datasets.create("eight_gaussians"))
        return objective

    @cached_property
    def requires(self) -> tuple[str, ...]:
        """What it asks of energies."""
        return self.create().requires

    def energy(self, replicates, path: str = "mlp") -> Energy:
        """Make an energy that it accepts, of other weights in each replicate."""
        streams = Streams(3, replicates)
        shapes = {"event_shape": (2,), "replicates": streams.replicates, "streams": streams}
        other = {"log_z": "mlp", "levels": "ica"}  # which lacks what is required
        if any(path == other.get(need) for need in self.requires):
            return gaussian_energy(1.3, streams.replicates)
        return energies.create(path, **shapes, **PATHS[path]).double()

    def prepare(self, energy, replicates, n=4000, dtype=torch.float64):
        """Set it up on standard normal data, and give a batch of these."""
        streams = Streams(7, replicates)
        data = streams.child("data").normal(n, 2, dtype=dtype)
        objective = self.create()
        objective.setup(energy, data, streams.child("fit"))
        return objective, data, streams.child("objective")

    def use(self) -> None:
        """Set an objective up and compute its loss."""
        energy = self.energy(2)
        objective, data, streams = self.prepare(energy, 2, n=64)
        objective.loss_at(energy, data, streams)

    def notes(self) -> list[str]:
        """Report where training a Gaussian on standard normal data would converge.

        With 4,000 points in each of two replicates, whose own variances scatter by two percent.
        """
        if not trains(self):
            return []
        # Between the precisions of `points_towards_the_truth`, where the slopes have other signs.
        found = bisect(lambda a: self.slope(a).sum().item(), 0.4, 2.5, xtol=2e-3)
        return [
            f"for a Gaussian of precision 1 it finds {found:.2f}{self.context}; this is 1 up to "
            "sampling error unless the method aims at something else, such as a smoothed density"
        ]

    def slope(self, precision: float) -> Tensor:
        """Differentiate the loss of a Gaussian energy by its log-precision, shape (2, 2).

        What is trained against the energy has responded to it first.
        """
        energy = gaussian_energy(precision, replicates=2)
        objective, data, streams = self.prepare(energy, 2)
        if against := _trained(*(getattr(objective, name) for name in objective.maximises)):
            optimiser = Optimiser([against], 2, _RESPONSE_RATE, 1.0, _RESPONSE_STEPS)
            for step in range(_RESPONSE_STEPS):
                optimiser.step(objective.loss_at(energy, data[:, :_RESPONSE_BATCH], streams), step)
        objective.loss_at(energy, data, streams).sum().backward()
        expect(energy.log_diagonal.grad is not None, "the loss does not depend on the energy")
        return energy.log_diagonal.grad


def variants(name: str) -> Iterator[dict[str, Any]]:
    """List the defaults, then settings with each other value where there are few to choose from.

    Noise that is fitted by many steps takes few.
    """
    entry = registry.describe("objectives", name)
    _, noise_of = entry.settings.get("noise", (None, entry.noise))
    own = _QUICK_NOISE.get(noise_of, {})
    yield own
    for key, (annotation, default) in entry.settings.items():
        if key == "noise":
            others = (n for n in noise.names() if n != default)
            yield from ({key: n, **_QUICK_NOISE.get(n, {})} for n in others)
        elif annotation is bool:
            yield {**own, key: not default}
        elif get_origin(annotation) is Literal:
            yield from ({**own, key: value} for value in get_args(annotation) if value != default)


def trains(case: Case) -> bool:
    """Return whether there is a loss to minimise."""
    return case.create().trains


def gaussian_energy(precision: float, replicates: int) -> Any:
    """Isotropic Gaussian energy ½ a ‖x‖²."""
    energy = energies.create("quadratic", event_shape=(2,), replicates=replicates).double()
    nn.init.constant_(energy.log_diagonal, 0.5 * math.log(precision))
    return energy


@check(contracts.LOSS, needed=True)
def shape_and_dtype(case: Case) -> None:
    """For three replicates, at the first step of training and after the last."""
    for dtype, progress in product((torch.float32, torch.float64), (0.0, 1.0)):
        energy = case.energy(3).to(dtype)
        objective, data, streams = case.prepare(energy, 3, n=64, dtype=dtype)
        loss = objective.loss_at(energy, data, streams, progress)
        expect_kept(contracts.LOSS, objective, loss, data)
        expect(torch.isfinite(loss).all(), f"the loss {loss.tolist()}")


@check(
    "the loss of an energy that is too flat falls as it grows steeper, and vice versa (a "
    "Gaussian energy, standard normal data)",
    "A sign: E is minus the log-density, the score is −∇E, and the loss is minimised. A wrong sign "
    "trains an inverted energy, and converges",
    trains,
)
def points_towards_the_truth(case: Case) -> None:
    """Test the sign: look where the slope leads."""
    for precision, sign in ((0.4, -1), (2.5, 1)):
        slope = case.slope(precision)
        word = "a smaller" if sign < 0 else "a larger"
        expect(
            (slope.sign() == sign).all(),
            f"at precision {precision}, where 1 is the truth, training goes to {word} one: the "
            f"derivatives by its logarithm are {[round(s, 4) for s in slope[:, 0].tolist()]}",
        )


@check(contracts.APART, applies=trains)
def replicates_do_not_mix(case: Case) -> None:
    """After one full step of training, in everything that the run would keep."""
    kept = []
    for replicates, row in (([0, 1, 2], 1), ([1], 0)):
        energy = case.energy(replicates)
        objective, data, streams = case.prepare(energy, replicates, n=64)
        groups = list(_parts(energy, objective).values())
        before = [p[row].clone() for p in groups[0]]
        _expect_own_draws(objective, energy, data, streams)
        loss = objective.loss_at(energy, data, streams)
        expect_kept(contracts.APART, objective, energy, loss)
        # A step in which all groups of parameters move.
        turns = [getattr(p, "every", 1) for group in groups for p in group]
        Optimiser(groups, len(replicates), 1e-2, 1.0, steps=10).step(loss, math.lcm(*turns) - 1)
        moved = any((p[row] != old).any() for p, old in zip(groups[0], before, strict=True))
        expect(moved, "a step of training leaves the energy as it was")
        after = {**energy.state_dict(), **objective.state_dict(prefix="objective.")}
        kept.append({"loss": loss[row].detach(), **{k: v[row] for k, v in after.items()}})
    for key, value in kept[0].items():
        expect_close(value, kept[1][key], f"{key} of a replicate alone and among others differ")


def _expect_own_draws(objective: Any, energy: Energy, data: Tensor, streams: Streams) -> None:
    saved = {key: value.clone() for key, value in objective.state_dict().items()}

    def draw(own: Streams) -> Tensor:
        try:
            return objective.loss_at(energy, data, own).detach()
        finally:
            objective.load_state_dict(saved)

    expect_kept(contracts.OWN, draw, streams.child("own"))


@check(
    "automatic differentiation of the loss gives its slope (compared with finite differences in "
    "float64, samples of the model held where they are)",
    "A detach() or no_grad() around what depends on the energy, an in-place change, or a "
    "random draw that is not from the streams that loss() gets",
    trains,
)
def gradient_is_right(case: Case) -> None:
    """In the weights of the energy and of all that is trained with it."""
    for path in PATHS:
        with _samples_held():
            _compare_gradients(case, path)


def _compare_gradients(case: Case, path: str) -> None:
    energy = case.energy(2, path)
    objective, data, streams = case.prepare(energy, 2, n=32)

    start = [buffer.clone() for buffer in objective.buffers()]

    def loss():
        for buffer, value in zip(objective.buffers(), start, strict=True):
            buffer.copy_(value)
        return objective.loss_at(energy, data, streams.child("again")).sum()

    for part, parameters in _parts(energy, objective).items():
        slopes = torch.autograd.grad(loss(), parameters, materialize_grads=True)
        directions = [Streams(5, 1).normal(*p.shape, dtype=p.dtype)[0] for p in parameters]
        products = [(s * v).sum() for s, v in zip(slopes, directions, strict=True)]
        along = torch.stack(products).sum()
        values = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                torch._foreach_add_(parameters, directions, alpha=step)
            values.append(loss().detach())
        with torch.no_grad():
            torch._foreach_add_(parameters, directions, alpha=1e-5)
        expected = (values[0] - values[1]) / 2e-5
        sign = -1 if part in objective.maximises else 1
        words = f"the derivative by the weights of the {part}, of energy {path}"
        expect_close(along, sign * expected, words, rtol=1e-6, atol=1e-7)
        expect(along != 0, f"the loss does not depend on the weights of the {part}")


@check(
    "all that the loss depends on is in a checkpoint",
    "A tensor that fit() made and that is a plain attribute: make it in build() by "
    "register_buffer (or nn.Parameter), in its final shape, and fill it by copy_()",
)
def state_round_trip(case: Case) -> None:
    """Load the state into another instance, and compare losses."""
    energy = case.energy(2)
    objective, data, streams = case.prepare(energy, 2, n=64)
    saved = {key: value.clone() for key, value in objective.state_dict().items()}
    other = case.create()
    other.build(energy)
    other.to(data)
    other.load_state_dict(saved)
    expect_close(
        other.loss_at(energy, data, streams.child("again")),
        objective.loss_at(energy, data, streams.child("again")),
        "the losses before and after differ",
    )


@check(contracts.UNSAVED, applies=trains)
def changes_are_saved(case: Case) -> None:
    """In calls of the loss, of the objective and of all it refers to."""
    energy = case.energy(2)
    objective, data, streams = case.prepare(energy, 2, n=64)

    def call():
        return objective.loss_at(energy, data, streams)

    expect_kept(contracts.UNSAVED, call, [energy, objective], [streams])


@check(
    "an energy without a second derivative is refused where one is needed",
    "build() is overridden and does not call super().build(energy) first",
    lambda case: "smooth" in case.requires,
)
def refuses_rough_energies(case: Case) -> None:
    """As `requires` announces."""
    rough = energies.create("mlp", event_shape=(2,), activation="relu")
    try:
        case.create().build(rough)
    except InputError:
        return
    expect(False, "an energy of relu is accepted")


CHECKS = checks_of(globals())


def _parts(energy: nn.Module, objective: nn.Module) -> dict[str, list[Any]]:
    """List trained parameters by parts, each of which training clips: the energy and others."""
    named = {"energy": energy, **dict(objective.named_children())}
    trained = {name: _trained(part) for name, part in named.items()}
    return {name: parameters for name, parameters in trained.items() if parameters}


def _trained(*parts: nn.Module) -> list[Any]:
    return [p for part in parts for p in part.parameters() if p.requires_grad]


@contextmanager
def _samples_held() -> Iterator[None]:
    """Chains that stay where they first ended: samples of the model are held constant."""
    with ExitStack() as stack:
        for name in samplers.names():
            kind = type(samplers.create(name))

            def run(self, energy, x, streams, proper=kind.run, ends={}):  # noqa: B006
                if id(self) not in ends:
                    ends[id(self)] = proper(self, energy, x, streams)
                return ends[id(self)]

            stack.enter_context(mock.patch.object(kind, "run", run))
        yield
