"""Compiled training steps: loss and gradient of an objective as one compiled function.

Compilation takes from seconds to two minutes, so that it saves time only in long trainings; see
`should_compile`. What a compiler has made for one dataset is found in its cache for others of the
same shape, as all data are inputs.
"""

import logging
import shutil
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ebm_bench.derivatives import sweeps
from ebm_bench.derivatives.compiled import CompiledSlopes, compile_method
from ebm_bench.energies.base import Energy
from ebm_bench.objectives.base import Objective
from ebm_bench.runs import contracts
from ebm_bench.runs.cost import FlopCounter, is_out_of_memory
from ebm_bench.streams import Recording, Replay, Streams

log = logging.getLogger("ebm_bench")

# From where a compilation is cheaper than the steps it speeds up. Measured on networks of the size
# that toys have, where a CPU saves a tenth of a millisecond or two for each replicate and step,
# and a GPU the launches of a step.
REPLICATE_STEPS, STEPS_ON_GPU = 50_000, 2_000


def should_compile(objective: Objective, steps: int, replicates: int, device: torch.device) -> bool:
    """Decide before the training whether its steps are compiled.

    Parameters
    ----------
    objective : Objective
        What is compiled of one that draws samples of the model is chosen for CPUs.
    steps, replicates : int
        Of the training.
    device : torch.device
        Where it runs. A CPU needs a C++ compiler.
    """
    if device.type == "cuda":
        return steps >= STEPS_ON_GPU and not objective.samples_model
    return steps * replicates >= REPLICATE_STEPS and shutil.which("g++") is not None


def attempt(objective: Objective, *arguments: Any) -> "CompiledLoss | CompiledSampling | None":
    """Compile a loss, or say why it cannot be; arguments as for `CompiledLoss`."""
    kind = CompiledSampling if objective.samples_model else CompiledLoss
    try:
        compiled = kind(objective, *arguments)
    except Exception as error:  # of torch, its compiler, or the folder of its cache
        if is_out_of_memory(error):
            raise
        why = (str(error).splitlines() or [""])[0]
        log.warning("not compiled: %s", why or type(error).__name__)
        return None
    log.info("compiled in %.1f s", compiled.seconds)
    return compiled


class CompiledLoss:
    """The loss of an objective and its gradient, for batches of one shape.

    Random numbers are drawn outside of the compiled function, in the order in which the loss
    draws them, so that it sees the same ones as without compilation.

    Parameters
    ----------
    objective : Objective
        Built and fitted.
    energy : Energy
        What it trains.
    streams : Streams
        From which the loss draws.
    x : Tensor of shape (R, B, *event_shape)
        A batch, for its shape.
    parameters : sequence of torch.nn.Parameter
        By which to differentiate.
    mixed : bool
        Whether matrix products on a GPU run in bfloat16.

    Attributes
    ----------
    evaluations : int
        Energy evaluations of one call, for one replicate.
    flops : int
        Floating-point operations of one call.
    seconds : float
        Wall-clock time of the compilation.

    Raises
    ------
    RuntimeError
        Where torch cannot compile the loss as a whole.
    """

    def __init__(
        self,
        objective: Objective,
        energy: Energy,
        streams: Streams,
        x: Tensor,
        parameters: Sequence[nn.Parameter],
        mixed: bool = False,
    ):
        started = time.perf_counter()
        self._module = _Loss(objective, energy, mixed)
        names = {parameter: name for name, parameter in self._module.named_parameters()}
        self._values = {names[parameter]: parameter.detach() for parameter in parameters}
        counted = energy.evaluations
        trial = Recording(streams.child("trial"))
        progress = torch.zeros((), dtype=x.dtype, device=x.device)
        with FlopCounter() as counter:
            loss = objective.loss_at(energy, x, trial, progress)
            contracts.LOSS.require(objective.name, objective, loss, x)
            torch.autograd.grad(loss.sum(), list(parameters), allow_unused=True)
        self.flops, self.evaluations = counter.total, energy.evaluations - counted
        energy.evaluations = counted
        self._draws = trial.on(streams)
        options = {"triton.cudagraphs": True} if x.device.type == "cuda" else {}
        self._function = compile_method(CompiledLoss._differentiate, self, **options)
        self._call(x, trial.draws, progress)
        self.seconds = time.perf_counter() - started

    def __call__(self, x: Tensor, progress: float = 1.0) -> tuple[tuple[Tensor, ...], Tensor]:
        """Differentiate the loss of a batch.

        Parameters
        ----------
        x : Tensor of shape (R, B, *event_shape)
            Batch.
        progress : float
            Share of the steps of the training that were taken.

        Returns
        -------
        gradients : tuple of Tensor
            In the order of the parameters.
        loss : Tensor of shape (R,)
        """
        # A tensor of its own, as a number would be compiled as the constant that it is now.
        share = torch.full((), progress, dtype=x.dtype, device=x.device)
        return self._call(x, self._draws.redraw(), share)

    def _differentiate(self, values: dict[str, Tensor], *inputs: Any):
        return torch.func.grad(self._total, has_aux=True)(values, *inputs)

    def _total(self, values: dict[str, Tensor], *inputs: Any):
        loss = torch.func.functional_call(self._module, values, inputs)
        return loss.sum(), loss

    @torch.no_grad()
    def _call(self, *inputs: Any) -> tuple[tuple[Tensor, ...], Tensor]:
        gradients, loss = self._function(self._values, *inputs)
        return tuple(gradients.values()), loss


class CompiledSampling:
    """The loss of an objective that draws samples, of which the sampler's derivatives are compiled.

    The loss itself stays as it is, since a sampler may do what cannot be compiled. Parameters and
    attributes are those of `CompiledLoss`; the energy counts its evaluations itself.

    Raises
    ------
    RuntimeError
        Where the sampler uses no derivatives that can be compiled.
    """

    evaluations = 0

    def __init__(
        self,
        objective: Objective,
        energy: Energy,
        streams: Streams,
        x: Tensor,
        parameters: Sequence[nn.Parameter],
        mixed: bool = False,
    ):
        started = time.perf_counter()
        self._objective, self._energy, self._parameters = objective, energy, parameters
        if not sweeps.supports(energy):
            raise RuntimeError("the energy is no network whose derivatives samplers know")
        self._slopes = CompiledSlopes(energy)
        self._streams = streams.child("trial")
        with FlopCounter() as counter:
            self._differentiate(x, 1.0)
        self.flops = counter.total
        with self._slopes:
            self._differentiate(x, 1.0)
        self._slopes.learns, self._streams = False, streams
        self.seconds = time.perf_counter() - started

    def __call__(self, x: Tensor, progress: float = 1.0) -> tuple[tuple[Tensor, ...], Tensor]:
        """Differentiate the loss of a batch; see `CompiledLoss`."""
        with self._slopes:
            return self._differentiate(x, progress)

    def _differentiate(self, x: Tensor, progress: float) -> tuple[tuple[Tensor, ...], Tensor]:
        share = torch.full((), progress, dtype=x.dtype, device=x.device)
        loss = self._objective.loss_at(self._energy, x, self._streams, share)
        gradients = torch.autograd.grad(
            loss.sum(), list(self._parameters), allow_unused=True, materialize_grads=True
        )
        return gradients, loss.detach()


class _Loss(nn.Module):
    """An objective and its energy as one module, so that both get their parameters as values."""

    def __init__(self, objective: Objective, energy: Energy, mixed: bool):
        super().__init__()
        self.objective, self.energy, self.mixed = objective, energy, mixed

    def forward(self, x: Tensor, draws: list[Tensor], progress: Tensor) -> Tensor:
        if not self.mixed:
            return self.objective.loss_at(self.energy, x, Replay(draws), progress)
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.objective.loss_at(self.energy, x, Replay(draws), progress).float()
