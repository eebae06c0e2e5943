"""Trainings that are killed."""

from contextlib import contextmanager

import pytest

from ebm_bench.runs import training


@contextmanager
def killed_before(step, seconds=0.0):
    """Inside of this a training is killed before a step.

    It saves after each of its steps, or when so many seconds have passed and where its learning
    curve has a point.
    """
    proper = training._Trainer.take_step

    def take_step(self):
        if self.step == step:
            raise KeyboardInterrupt
        proper(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CHECKPOINT_SECONDS", seconds)
        patch.setattr(training._Trainer, "take_step", take_step)
        with pytest.raises(KeyboardInterrupt):
            yield
