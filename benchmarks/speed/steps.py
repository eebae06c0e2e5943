"""Training steps of a suite's methods, timed on request; for `benchmarks.speed.suite`.

Run as a script by the Python of any checkout, of today's layout or the one before, so that it
imports nothing of `benchmarks`. Reads lines "METHOD STEPS"; answers each with a line of JSON.
"""

import importlib
import json
import sys
import time


def main(path: str, dataset: str, replicates: int, steps: int) -> None:
    """Answer requests until the input ends."""
    training = _module("ebm_bench.runs.training", "ebm_bench.training")
    suite = _module("ebm_bench.suites.suite", "ebm_bench.suite").load(path, tuned=False)
    spec = suite.datasets[dataset]
    budget = spec.budget.model_copy(update={"steps": steps, "seconds": 1e9})
    spec = spec.model_copy(update={"replicates": replicates, "budget": budget})
    suite = suite.model_copy(update={"datasets": {dataset: spec}})
    _module("ebm_bench.utils.devices", "ebm_bench.devices").prepare_process()
    trainers = {}
    for line in sys.stdin:
        method, count = line.split()
        before = time.process_time()
        if method not in trainers:
            trainer = trainers[method] = training._Trainer(suite, dataset, method, "cpu")
            trainer._compile = Waits(trainer._compile)
            trainer.setup()
            trainer.due = set()  # the learning curve is not timed
        trainer = trainers[method]
        take = getattr(trainer, "take_step", None) or trainer.advance
        started = time.process_time()
        for _ in range(int(count)):
            take()
        answer = {
            "seconds": time.process_time() - started,
            "setup": started - before,
            "compiled": trainer._compile.seconds,
        }
        print(json.dumps(answer), flush=True)


class Waits:
    """A function whose wall-clock time is measured: compilers are processes of their own."""

    def __init__(self, function):
        self._function, self.seconds = function, 0.0

    def __call__(self) -> None:
        """Call the function."""
        started = time.perf_counter()
        self._function()
        self.seconds = time.perf_counter() - started


def _module(*names: str):
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise SystemExit(f"none of {', '.join(names)} is here")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
