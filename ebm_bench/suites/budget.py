"""What each method may spend on a dataset: steps, points per step, time.

Nothing here imports torch.
"""

from typing import Annotated

from annotated_types import Ge, Gt

from ebm_bench.suites.base import Strict


class Budget(Strict):
    """Budget of each method on a dataset.

    Attributes
    ----------
    steps, batch_size : int
        Number of optimiser steps, and of data points per step.
    seconds : float
        Limit on the time of fitting and training: processor time on a CPU, wall-clock time on a
        GPU, compilation not counted. A run that reaches it takes no further step,
        has the status ``timeout`` and is evaluated as it is. The fit of a noise is not
        interrupted.
    learning_rate : float
        Learning rate of Adam.
    gradient_clip : float
        Largest gradient norm of a replicate; longer gradients are scaled down.
    fit_samples : int
        Number of data points for fitting base measures and noise distributions. A Gaussian control
        takes all training points of finite data.
    """

    steps: Annotated[int, Ge(0)]
    batch_size: Annotated[int, Ge(2)] = 256
    seconds: Annotated[float, Gt(0)] = 3600
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    gradient_clip: Annotated[float, Gt(0)] = 10.0
    fit_samples: Annotated[int, Ge(10)] = 10_000
