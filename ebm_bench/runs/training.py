"""Training: one loop for every objective.

All replicates of a run are trained at once, in one process. The loop knows nothing of
objectives but their loss, and nothing of the past but what a checkpoint holds.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ebm_bench import metrics, records
from ebm_bench.datasets import inspection
from ebm_bench.optim.adam import Optimiser
from ebm_bench.records import fingerprint
from ebm_bench.runs import checkpoints, compilation, contracts, cost, outcomes, recording
from ebm_bench.runs.assembly import Parts, assemble
from ebm_bench.runs.compilation import CompiledLoss
from ebm_bench.runs.state import Watch, changed, held
from ebm_bench.runs.surroundings import guarded, settings
from ebm_bench.runs.walk import plain_state
from ebm_bench.streams import Streams
from ebm_bench.suites.suite import Suite
from ebm_bench.utils.files import replacing
from ebm_bench.utils.progress import track

log = logging.getLogger("ebm_bench")

CHECKPOINT_SECONDS = 60.0
WATCHED = 2  # eager steps at the beginning, between which changes of plain attributes are sought


def train(
    suite: Suite, dataset: str, methods: list[str], out: str | Path, device: str = "cpu"
) -> None:
    """Train methods of a suite on a dataset and leave a record of each.

    Writes ``run.json`` and ``weights.safetensors`` to ``out/dataset/method``. A checkpoint lies
    beside them during training: a training that was killed resumes from it when it is started
    again.

    Parameters
    ----------
    suite : Suite
        Suite that describes the runs.
    dataset : str
        Name of a dataset of the suite.
    methods : list of str
        Names of methods of the suite.
    out : path
        Folder of runs.
    device : str
        Torch's name of the device.
    """
    for method in methods:
        folder = Path(out, dataset, method)
        checkpoint = folder / "checkpoint.pt"
        parts, run = train_method(suite, dataset, method, device, checkpoint)
        with replacing(folder / "weights.safetensors") as temporary:
            # Copies, as weights that are tied share their memory, which the format has not.
            state = {key: value.contiguous().clone() for key, value in parts.state_dict().items()}
            temporary.write_bytes(safetensors.torch.save(state))
            # An older record must not vouch for these weights, nor an evaluation.
            (folder / "run.json").unlink(missing_ok=True)
            (folder / "evaluation.json").unlink(missing_ok=True)
        records.write(run, folder / "run.json")
        checkpoint.unlink(missing_ok=True)


def train_method(
    suite: Suite,
    dataset: str,
    method: str,
    device: str = "cpu",
    checkpoint: Path | None = None,
    rates: Sequence[float] = (),
) -> tuple[Parts, records.Run]:
    """Train all replicates of one method on one dataset.

    Parameters
    ----------
    suite, dataset, method, device
        As for `assemble`.
    checkpoint : Path, optional
        Where to save progress, and to resume from.
    rates : sequence of float
        Learning rates in place of the budget's. All replicates are trained with each of them, side
        by side: those of the first rate, those of the second, and so on.

    Returns
    -------
    parts : Parts
        The trained parts.
    run : Run
        The record.
    """
    started = time.perf_counter()
    trainer = _Trainer(suite, dataset, method, device, rates)
    try:
        saved = checkpoints.read(checkpoint, trainer.identity, trainer.parts.streams.device)
        if saved and not trainer.resume(saved):
            saved, trainer = None, _Trainer(suite, dataset, method, device, rates)
        if not saved:
            log.info("%s: fitting to data", trainer.label)
            trainer.setup()
        with track(trainer.label, trainer.total) as update:
            while trainer.should_continue():
                trainer.take_step()
                if checkpoint and trainer.is_due():
                    trainer.save(checkpoint)
                update(trainer.step, f"{trainer.seconds:.0f} s")
        trainer.finish()
    except (MemoryError, RuntimeError) as error:
        if not cost.is_out_of_memory(error):
            raise
        trainer.status = "out_of_memory"
    parts = trainer.parts
    parts.outcomes = outcomes.of_replicates(parts, trainer.optimiser, trainer.status, trainer.step)
    ended = ", ".join(f"{o.status}@{o.step}" for o in parts.outcomes)
    log.info("%s: %s in %.1f s", trainer.label, ended, time.perf_counter() - started)
    return parts, recording.record(trainer, suite, dataset, method)


class _Trainer:
    """The state of one training."""

    def __init__(
        self, suite: Suite, dataset: str, method: str, device: str, rates: Sequence[float] = ()
    ):
        parts = self.parts = assemble(suite, dataset, method, device, copies=len(rates) or 1)
        self.spec = suite.datasets[dataset]
        self.label, self.device = f"{dataset} {method}", device
        self.fingerprint = fingerprint.of_training(suite, dataset, method)
        self.identity = [self.fingerprint, self.parts.streams.device.type]
        each = rates or [self.parts.budget.learning_rate]
        self.rates = [rate for rate in each for _ in range(self.spec.replicates)]
        self.total = self.parts.budget.steps if self.parts.objective.trains else 0
        self.status: records.Status = "ok"
        self.step, self.setup_seconds, self.train_seconds = 0, 0.0, 0.0
        self.flops, self.peak = 0.0, 0
        self.curve: list[dict] = []
        self.made: list[str] = []  # by `fit`: names of plain state
        self.shapes = contracts.shapes(self.parts)
        self.earlier: list[dict] = []  # segments of a run that was interrupted
        self.compiled_steps = 0  # in this process
        self.streams = {n: self.parts.streams.child(n) for n in ("data", "objective")}
        # Metrics are made anew for each point of a curve, and keep what their classes hold.
        given = self.spec.metrics.get(self.spec.curve, {})
        self.make_metric = partial(metrics.create, self.spec.curve, **given)
        watched = parts.energy, parts.objective, parts.dataset, parts.sampler, self.make_metric()
        self.watch = Watch(watched, [*self.streams.values()], parts.put_back)
        self.saved_at = time.monotonic()
        self.due = recording.curve_steps(self.total, self.spec.curve_points)
        self.optimiser: Optimiser | None = None
        self.compiled: CompiledLoss | None = None
        self.look_every = 50 if self.device.startswith("cuda") else 1

    @property
    def _optimiser(self) -> Optimiser:
        assert self.optimiser is not None  # where there are steps to take
        return self.optimiser

    @property
    def seconds(self) -> float:
        """Training time so far, evaluation not counted."""
        return self.setup_seconds + self.train_seconds

    def setup(self) -> None:
        """Fit the energy's base and the objective's own parts."""
        cost.warm_up(self.device)
        cost.reset_peak(self.device)
        parts, streams = self.parts, self.parts.streams.child("fit")
        before, process = plain_state(parts.energy, parts.objective), settings()
        started = cost.seconds(self.device)
        data = parts.draw(parts.budget.fit_samples, streams)
        inspection.look_at(data, parts.dataset, "points to fit to")
        batches = None if parts.objective.trains else parts.dataset.batches(streams.child("all"))
        if batches is None or not parts.energy.fit_all(batches):
            parts.energy.fit(data)
        started += cost.seconds_of(self.device, self._look_at_plugins, data)
        try:
            with guarded(parts.put_back):
                parts.objective.fit(parts.energy, data, streams)
        except Exception as error:  # of many kinds, as noise may return anything
            contracts.blame_noise(parts, error)
            raise
        started += cost.seconds_of(self.device, contracts.require_fitted, parts)
        self._optimise()
        self._synchronise()
        self.setup_seconds = cost.seconds(self.device) - started
        self.made = [n for n in plain_state(parts.energy, parts.objective) if n not in before]
        self.made += changed(process, settings())
        self.shapes = contracts.shapes(parts)
        self._measure()
        self.watch.begin()

    def _look_at_plugins(self, data: Tensor) -> None:
        """Refuse parts that break their contract."""
        measures = [metrics.create(name) for name in {self.spec.curve, *self.spec.metrics}]
        second = any(metric.second_derivatives for metric in measures)
        second |= self.parts.objective.trains and "smooth" in self.parts.objective.requires
        with guarded(self.parts.put_back):
            contracts.require_parts(self.parts, data, second)

    def should_continue(self) -> bool:
        """Whether another step is to be taken."""
        if self.step >= self.total:
            return False
        # Seldom on a GPU, where asking waits for all that is under way.
        if self.step % self.look_every == 0 and not self._optimiser.alive.any():
            return False
        if self.seconds > self.parts.budget.seconds:
            self.status = "timeout"
            return False
        return True

    def take_step(self) -> None:
        """Take a step, and measure where the curve has a point."""
        watched = self.step > 0 and self.step + 1 in self.due and self.compiled is None
        with self.watch.around() if watched else nullcontext():
            started = cost.seconds(self.device)
            if self.step == 0:
                with cost.FlopCounter() as counter:
                    self._update()
                self.flops = float(counter.total)
            else:
                self._update()
            self.step += 1
            if self.step in self.due:
                self._synchronise()
            self.train_seconds += cost.seconds(self.device) - started
        self.parts.progress = self.step / self.total
        if self.step in self.due:
            self._measure()
        if self.step <= WATCHED:
            self._look()
        if self.step == min(WATCHED, self.total):
            contracts.require_own(self.parts, self._trial, self.watch.unsaved, self.total == 1)
            self._compile()

    def finish(self) -> None:
        """Measure the last step, unless the curve has it."""
        if self.optimiser and not any(point["step"] == self.step for point in self.curve):
            self._measure()
        if self.step > WATCHED:
            self._look()

    def is_due(self) -> bool:
        """Whether it is time to save, which it is not before what is unsaved is known."""
        due = self.step in self.due or time.monotonic() > self.saved_at + CHECKPOINT_SECONDS
        return due and self.watch.looks >= WATCHED

    def save(self, checkpoint: Path) -> None:
        """Write a checkpoint; of a training with unsaved state only the names of this."""
        self._look()
        state: dict[str, Any] = {"fingerprint": self.identity, "unsaved": self.watch.unsaved}
        if not self.watch.unsaved:
            state |= {
                "parts": self.parts.state_dict(),
                "optimiser": self._optimiser.state_dict(),
                "streams": {name: s.state_dict() for name, s in self.streams.items()},
                "evaluations": self.parts.energy.evaluations,
                "plain": {name: getattr(self, name) for name in self._PLAIN},
                "segments": recording.segments(self),
                "seen": self.watch.seen,
            }
        checkpoints.write(state, checkpoint)
        self.saved_at = time.monotonic()

    _PLAIN = ("step", "setup_seconds", "train_seconds", "flops", "peak", "curve", "status", "made")

    def resume(self, state: dict) -> bool:
        """Continue from a checkpoint, if a call of the loss leaves all as it was then."""
        self.parts.progress = state["plain"]["step"] / self.total
        try:
            self.parts.load_state_dict(state["parts"])
            with held(self.parts), self.watch.around():
                self._loss(self._trial(), self.streams["objective"].child("trial"))
            found = self.watch.differences(state["seen"])
            missing = [name for name in state["plain"]["made"] if name not in self.watch.seen]
            why = ", ".join([*found, *missing])
        except Exception as error:  # of a loss that misses what `fit` or a step left
            if cost.is_out_of_memory(error):
                raise
            why = f"{type(error).__name__}: {error}"
        if why:
            log.warning("%s: not all state was saved (%s); training starts again", self.label, why)
            return False
        self._optimise()
        self._optimiser.load_state_dict(state["optimiser"])
        for name, saved in state["streams"].items():
            self.streams[name].load_state_dict(saved)
        self.parts.energy.evaluations, self.earlier = state["evaluations"], state["segments"]
        for name, value in state["plain"].items():
            setattr(self, name, value)
        self._compile()
        log.info("%s: resumed at step %d", self.label, self.step)
        return True

    def _optimise(self) -> None:
        if self.total == 0:
            return
        parts = self.parts
        # The gradients of the energy and of each part of the objective are clipped separately.
        groups = [list(part.parameters()) for part in (parts.energy, *parts.objective.children())]
        self.optimiser = Optimiser(
            [[p for p in group if p.requires_grad] for group in groups],
            parts.energy.replicates,
            self.rates,
            parts.budget.gradient_clip,
            self.total,
        )

    def _compile(self) -> None:
        """Compile the step if the suite asks for it, or leaves it open and it saves time.

        The seconds of a compilation are not the method's, and end no training.
        """
        parts, chosen, device = self.parts, self.spec.compute, self.parts.streams.device
        wanted = chosen in ("compiled", "mixed")
        automatic = chosen == "auto" and compilation.should_compile(
            parts.objective, self.total, parts.energy.replicates, device
        )
        if self.step >= self.total or self.watch.unsaved or not (wanted or automatic):
            return
        streams, parameters = self.streams["objective"], self._optimiser.parameters
        mixed = compilation.is_mixed(chosen, device)
        with held(parts):
            self.compiled = compilation.attempt(
                parts.objective, parts.energy, streams, self._trial(), parameters, mixed
            )
        if self.compiled:
            self.flops = float(self.compiled.flops)

    def _trial(self) -> Tensor:
        """Draw a batch that no step takes."""
        return self.parts.draw(self.parts.budget.batch_size, self.parts.streams.child("trial"))

    def _look(self) -> None:
        """Look for state that is not saved; where there is some, compiled code misses it too."""
        contracts.require_shapes(self.parts, self.shapes)
        if self.watch.look():
            why = contracts.unsaved(self.watch.unsaved, self.spec.curve)
            log.warning("%s: %s", self.label, why)
            self.compiled = None

    def _update(self) -> None:
        parts = self.parts
        x = parts.draw(parts.budget.batch_size, self.streams["data"])
        if self.compiled is not None:
            gradients, loss = self.compiled(x, self.parts.progress)
            parts.energy.evaluations += self.compiled.evaluations
            self._optimiser.update(gradients, torch.isfinite(loss), self.step)
            self.compiled_steps += 1
            return
        loss = self._loss(x, self.streams["objective"])
        if self.step < WATCHED:
            contracts.require_shapes(parts, self.shapes)
        if self.step == 1:  # the operations of the first step are counted
            self.train_seconds -= cost.seconds_of(self.device, contracts.require_apart, parts, loss)
        self._optimiser.step(loss, self.step)

    def _loss(self, x: Tensor, streams: Streams) -> Tensor:
        parts = self.parts
        share = torch.full((), parts.progress, dtype=x.dtype, device=x.device)
        with guarded(parts.put_back):
            loss = parts.objective.loss_at(parts.energy, x, streams, share)
        contracts.LOSS.require(parts.objective.name, parts.objective, loss, x)
        return loss

    def _measure(self) -> None:
        """Add a point to the curve of every replicate, with the counters held."""
        self.peak = max(self.peak, cost.peak(self.device))
        parts, counted = self.parts, self.parts.energy.evaluations
        model = parts.model("curve", cells=128)
        found = contracts.measured(self.make_metric(), model, parts.dataset, model.streams)
        parts.energy.evaluations = counted
        cost.reset_peak(self.device)
        self.curve += [
            {
                "step": self.step,
                "seconds": self.seconds,
                "energy_evaluations": counted,
                "replicate": replicate,
                "metric": self.spec.curve,
                "value": float(value),
            }
            for replicate, value in zip(parts.streams.indices, found["value"], strict=True)
        ]

    def _synchronise(self) -> None:
        if self.parts.streams.device.type == "cuda":
            torch.cuda.synchronize()
