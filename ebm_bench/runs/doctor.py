"""A self-test of the ways to execute training steps, on the user's own device.

What is compared with is computed on the CPU in double precision, from the same weights, batches and
random numbers; and its derivatives are compared with finite differences.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ebm_bench import datasets, energies, objectives, registry
from ebm_bench.energies.base import Energy
from ebm_bench.errors import InputError, choose
from ebm_bench.objectives.base import Objective
from ebm_bench.optim.adam import Optimiser
from ebm_bench.runs import cost
from ebm_bench.runs.compilation import CompiledLoss
from ebm_bench.streams import Streams
from ebm_bench.utils.progress import track

REPLICATES, BATCH, POINTS = 2, 128, 1000
STEPS, TIMED = 40, 20
RATE, CLIP = 3e-3, 10.0
# Objectives whose steps are compiled, which takes from seconds to two minutes each, and trained.
USUAL = ("denoising_score_matching",)
_DIFFERENCE = 1e-5  # of weights, for finite differences
_DATA = "eight_gaussians"
_ENERGIES = ("mlp", "quadratic")  # an objective is looked at with the first that it accepts
# Largest relative errors, by precision. Rounding stays below, also 1e-3 in differences of energies.
_TOLERANCES = {torch.float64: 1e-7, torch.float32: 5e-3, torch.bfloat16: 1e-1}
_OF_DIFFERENCES, _OF_TRAINING = 1e-5, 10  # the latter as a multiple, as errors add up


class Drawn(Streams):
    """Streams that draw in double precision on the CPU: the same numbers on every device.

    Parameters
    ----------
    seed : int
        Seed.
    device : str or torch.device
        Where the numbers are wanted.
    scope : tuple of str
        As for `Streams`.
    """

    def __init__(self, seed: int, device: str | torch.device = "cpu", scope: tuple[str, ...] = ()):
        super().__init__(seed, REPLICATES, scope=scope)
        self.device = torch.device(device)

    def child(self, *purpose: str) -> "Drawn":
        """Open streams for a purpose."""
        return Drawn(self.seed, self.device, (*self.scope, *purpose))

    def _fill(self, shape, dtype, draw) -> Tensor:
        wanted = dtype or torch.get_default_dtype()
        exact = torch.float64 if wanted.is_floating_point else wanted
        out = torch.empty(REPLICATES, *shape, dtype=exact)
        for row, generator in zip(out, self._generators, strict=True):
            draw(row, generator)
        return out.to(self.device, wanted)


@dataclass(frozen=True)
class Path:
    """A way to execute steps.

    Attributes
    ----------
    name : str
        As a suite's ``compute`` has it.
    precision : torch.dtype
        Of most operations.
    device : str
        Torch's name of the device.
    """

    name: str
    precision: torch.dtype
    device: str

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return torch.float64 if self.precision == torch.float64 else torch.float32

    @property
    def label(self) -> str:
        """Name, with what is special on a GPU."""
        graphs = ", CUDA graphs" if self.name != "eager" and self.device != "cpu" else ""
        return f"{self.name}{graphs}, {str(self.precision).removeprefix('torch.')}"

    @property
    def missing(self) -> str:
        """Why this machine does not have it; empty where it does."""
        if self.name == "mixed" and self.device == "cpu":
            return "only on a GPU"
        if self.name == "compiled" and self.device == "cpu" and shutil.which("g++") is None:
            return "needs a C++ compiler, g++"
        return ""


@dataclass
class Finding:
    """What was found of a path.

    Attributes
    ----------
    label : str
        Name of the path.
    missing : str
        Why it was not looked at; empty if it was.
    objectives : int
        Number of objectives.
    loss, gradient, training : float or None
        Largest relative errors, over objectives: of their losses, of their gradients, and of the
        losses of a short training. None where there was none.
    peak : int or None
        Bytes at the peak of it.
    rate : float or None
        Steps a second: of processor time on a CPU.
    faults : list of str
        Why the path is not to be trusted.
    """

    label: str
    missing: str = ""
    objectives: int = 0
    loss: float | None = None
    gradient: float | None = None
    training: float | None = None
    peak: int | None = None
    rate: float | None = None
    faults: list[str] = field(default_factory=list)

    def note(self, quantity: str, objective: str, error: float, tolerance: float) -> None:
        """Note an error, and whether it is too large; NaN is."""
        seen = getattr(self, quantity) or 0.0
        setattr(self, quantity, max(seen, error, key=lambda one: (math.isnan(one), one)))
        if not error <= tolerance:
            self.faults.append(f"{objective}: {quantity} off by {error:.1e}, not {tolerance:.0e}")


class Subject:
    """An objective and its energy, fitted to data and moved to a device.

    Parameters
    ----------
    name : str
        Of the objective.
    device : str
        Torch's name of the device.
    dtype : torch.dtype
        Of the weights.
    like : Subject, optional
        One of the same name, whose weights are taken in place of a fit.
    """

    def __init__(
        self,
        name: str,
        device: str = "cpu",
        dtype: torch.dtype = torch.float64,
        like: "Subject | None" = None,
    ):
        self.name, self.device = name, device
        dataset = datasets.create(_DATA)
        data = dataset.sample(POINTS, Streams(0, REPLICATES, scope=("data",)))
        noise = registry.describe("objectives", name).noise
        settings = {"noise_settings": {"steps": 20}} if noise == "flow" else {}
        self.objective: Objective = objectives.create(name, **settings)
        self.objective.attach(dataset)
        self.energy = _accepted(self.objective)
        if like is None:
            self.energy.fit(data)
            # In single precision, so that all paths can start from the same weights.
            self.objective.fit(self.energy, data, Streams(0, REPLICATES, scope=("fit",)))
        for part in ("energy", "objective"):
            own = getattr(self, part)
            if like is not None:
                own.load_state_dict(getattr(like, part).state_dict())
            own.to(device, dtype)
        self.data = data.to(device, dtype)

    @property
    def groups(self) -> list[list[torch.nn.Parameter]]:
        """What is trained, as it is clipped."""
        parts = self.energy, *self.objective.children()
        return [[p for p in part.parameters() if p.requires_grad] for part in parts]

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """What is trained."""
        return [parameter for group in self.groups for parameter in group]

    def batch(self, step: int) -> Tensor:
        """Points of a step, (R, B, 2)."""
        places = Drawn(step, self.device, ("batch",)).integers(POINTS, BATCH)
        return self.data[torch.arange(REPLICATES, device=self.device)[:, None], places]

    def loss(self, step: int, progress: float = 0.5) -> Tensor:
        """Loss of a step, (R,)."""
        streams = Drawn(step, self.device, ("loss",))
        return self.objective.loss_at(self.energy, self.batch(step), streams, progress)

    def differentiate(self, step: int, progress: float = 0.5) -> tuple[tuple[Tensor, ...], Tensor]:
        """Gradients and loss of a step, as a compiled step gives them."""
        loss = self.loss(step, progress)
        found = torch.autograd.grad(
            loss.sum(), self.parameters, allow_unused=True, materialize_grads=True
        )
        return found, loss.detach()


def _accepted(objective: Objective) -> Energy:
    """Make an energy that an objective accepts."""
    refusals = []
    for name in _ENERGIES:
        streams = Streams(0, REPLICATES, scope=("weights",))
        energy = energies.create(name, event_shape=(2,), replicates=REPLICATES, streams=streams)
        try:
            objective.build(energy)
        except InputError as error:
            refusals.append(str(error))
        else:
            return energy
    raise InputError("; ".join(refusals))


Step = Callable[[int, float], tuple[tuple[Tensor, ...], Tensor]]


def _steps(subject: Subject, path: Path) -> Step:
    """Make the function of step and progress that gives gradients and loss by a path."""
    if path.name == "eager":
        return subject.differentiate
    source = Drawn(0, subject.device, ("loss",))
    compiled = CompiledLoss(
        subject.objective, subject.energy, source, subject.batch(0), subject.parameters,
        path.precision == torch.bfloat16,
    )  # fmt: skip

    def step(number: int, progress: float = 0.5) -> tuple[tuple[Tensor, ...], Tensor]:
        source.load_state_dict(Drawn(number, scope=("loss",)).state_dict())
        gradients, loss = compiled(subject.batch(number), progress)
        # With CUDA graphs the next call writes its results to the same place.
        return tuple(g.clone() for g in gradients), loss.clone()

    return step


def examine(device: str, only: list[str]) -> Iterator[Finding]:
    """Examine all paths, one after the other.

    Parameters
    ----------
    device : str
        Torch's name of the device.
    only : list of str
        Objectives; all if none is named, of which `USUAL` alone are compiled and trained.

    Yields
    ------
    Finding
        First that of the derivatives themselves.

    Raises
    ------
    InputError
        Where there is no such objective, or it trains nothing.
    """
    trained = [n for n in objectives.names() if registry.describe("objectives", n).trains]
    names = choose("objective that trains", only, trained, "--only")
    subjects = {name: Subject(name) for name in _followed(names, "set up")}
    # Chains that persist are moved by each loss.
    expected = {name: Subject(name, like=one).differentiate(0) for name, one in subjects.items()}
    yield _derivatives(subjects, expected)
    usual = [name for name in names if only or name in USUAL]
    # The samples of others take their time, and are not compiled.
    compiled = [n for n in usual if not registry.describe("objectives", n).samples_model]
    double, single, half = torch.float64, torch.float32, torch.bfloat16
    for path in (
        Path("eager", double, device),
        Path("eager", single, device),
        Path("compiled", single, device),
        Path("mixed", half, device),
    ):
        chosen = [subjects[name] for name in (names if path.name == "eager" else compiled)]
        yield _examined(path, chosen, expected, usual[0])


def _derivatives(subjects: dict[str, Subject], expected: dict) -> Finding:
    """Compare derivatives by the weights of the energy with finite differences on the CPU.

    Not those of objectives that sample the model, whose samples depend on the weights too.
    """
    finding = Finding("derivatives, float64, CPU")
    for name, subject in subjects.items():
        if subject.objective.samples_model:
            continue
        gradients, _ = expected[name]
        parameters: list[Tensor] = [*subject.energy.parameters()]
        streams = Streams(1, REPLICATES)
        directions = [streams.normal(*p.shape[1:], dtype=p.dtype) for p in parameters]
        parts = zip(gradients, directions, strict=False)  # the energy's are first
        along = sum(((g * v).sum() for g, v in parts), torch.zeros(()))
        values = []
        for move in (_DIFFERENCE, -2 * _DIFFERENCE, _DIFFERENCE):
            with torch.no_grad():
                torch._foreach_add_(parameters, directions, alpha=move)
            values.append(subject.loss(0).detach().sum())
        slope = (values[0] - values[1]) / (2 * _DIFFERENCE)
        finding.objectives += 1
        finding.note("gradient", name, _error(along, slope), _OF_DIFFERENCES)
    return finding


def _examined(path: Path, subjects: list[Subject], expected: dict, trained: str) -> Finding:
    finding = Finding(
        path.label, path.missing or ("" if subjects else "none of these objectives is compiled")
    )
    if finding.missing:
        return finding
    tolerance = _TOLERANCES[path.precision]
    given = {subject.name: subject for subject in subjects}
    for name in _followed([*given], path.label):
        try:
            subject = Subject(name, path.device, path.dtype, given[name])
            step = _steps(subject, path)
            gradients, loss = step(0, 0.5)
            finding.objectives += 1
            finding.note("loss", name, _error(loss, expected[name][1]), tolerance)
            found, wanted = (_flat(each) for each in (gradients, expected[name][0]))
            finding.note("gradient", name, _error(found, wanted), tolerance)
            if name == trained and path.precision != torch.float64:
                _train(finding, subject, step, tolerance, Subject(name, like=given[name]))
        except Exception as error:  # of the device, a compiler, or an operation that is missing
            first = (str(error).splitlines() or [""])[0]
            finding.faults.append(f"{name}: {type(error).__name__}: {first}")
    return finding


def _train(
    finding: Finding, subject: Subject, step: Step, tolerance: float, reference: Subject
) -> None:
    """Compare a short training with that on the CPU in double precision, and time steps."""
    wanted = _curve(reference, reference.differentiate)
    cost.reset_peak(subject.device)
    found = _curve(subject, step)
    finding.peak = cost.peak(subject.device)
    worst = max(_error(a, b) for a, b in zip(found, wanted, strict=True))
    finding.note("training", subject.name, worst, _OF_TRAINING * tolerance)
    _wait(subject.device)
    started = cost.seconds(subject.device)
    for number in range(TIMED):
        step(number, 0.5)
    _wait(subject.device)
    finding.rate = TIMED / (cost.seconds(subject.device) - started)


def _curve(subject: Subject, step: Step) -> list[Tensor]:
    """Train, and return the loss of each step, (R,)."""
    optimiser = Optimiser(subject.groups, REPLICATES, RATE, CLIP, STEPS)
    losses = []
    for number in range(STEPS):
        gradients, loss = step(number, number / STEPS)
        optimiser.update(gradients, torch.isfinite(loss), number)
        losses.append(loss)
    return losses


def _error(found: Tensor, expected: Tensor) -> float:
    """Relative error by the norm, which counts as 0.001 at least: losses may be near zero."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    return float((found - expected).norm() / expected.norm().clamp_min(1e-3))


def _flat(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _followed(names: list[str], label: str) -> Iterator[str]:
    """Go through objectives and show progress."""
    with track(label, len(names), "objectives") as update:
        for done, name in enumerate(names):
            update(done, name)
            yield name
        update(len(names), "")
