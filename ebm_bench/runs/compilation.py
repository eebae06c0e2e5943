"""Compiled training steps: loss and gradient of an objective as one compiled function.

Compilation takes from seconds to two minutes, so that it saves time only in long trainings; see
`should_compile`. What a compiler has made for one dataset is found in its cache for others of the
same shape, as all data are inputs.
"""

import itertools
import logging
import shutil
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

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
_COUNT = itertools.count()


def should_compile(objective: Objective, steps: int, replicates: int, device: torch.device) -> bool:
    """Decide before the training whether its steps are compiled.

    Parameters
    ----------
    objective : Objective
        One that draws samples of the model runs a sampler, which is not compiled.
    steps, replicates : int
        Of the training.
    device : torch.device
        Where it runs. A CPU needs a C++ compiler.
    """
    if objective.samples_model:
        return False
    if device.type == "cuda":
        return steps >= STEPS_ON_GPU
    return steps * replicates >= REPLICATE_STEPS and shutil.which("g++") is not None


def is_mixed(compute: str, device: torch.device) -> bool:
    """Whether compiled steps run in bfloat16, which they do on a GPU alone."""
    return compute == "mixed" and device.type == "cuda"


def attempt(*arguments: Any) -> "CompiledLoss | None":
    """Compile a loss, or say why it cannot be; arguments as for `CompiledLoss`."""
    try:
        compiled = CompiledLoss(*arguments)
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
        Whether matrix products run in bfloat16; see `is_mixed`.

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
        self._function = _compile(CompiledLoss._differentiate, self, **options)
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


def _compile(
    method: Callable[..., Any], owner: object, **options: str | int | bool | Callable[..., Any]
) -> Callable[..., Any]:
    """Compile a method of an owner as a whole, for inputs like those of its first call.

    Shapes, dtypes and modules must stay what they are, so that nothing is guarded: all the more
    must no other owner find what is compiled here under the same code.
    """
    assert isinstance(method, types.FunctionType)
    options["guard_filter_fn"] = torch.compiler.skip_all_guards_unsafe
    code = method.__code__.replace(co_name=f"{method.__name__}_{next(_COUNT)}")
    function = types.FunctionType(code, method.__globals__).__get__(owner)
    return torch.compile(function, fullgraph=True, dynamic=False, options=options)


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
