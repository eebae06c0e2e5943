"""Theoretical predictions of known failure modes, as curves over a knob.

Each function in `CURVES` maps the value of a knob, its first argument, to a number; its other
arguments are settings. Where theory has no answer the number is NaN. Nothing here is fitted to
what was measured.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from ebm_bench.errors import InputError, unknown

CURVES: dict[str, Callable[..., float]] = {}
# Nats up to which the quadratic expansion behind large-sample theory is trusted.
LOCAL = 0.1


def curve(function: Callable[..., float]) -> Callable[..., float]:
    """Make a function available to suites under its name."""
    CURVES[function.__name__] = function
    return function


def check(name: str, settings: dict[str, Any]) -> None:
    """Check that a curve can be drawn with these settings.

    Raises
    ------
    InputError
        Naming what is wrong, and what is valid.
    """
    if name not in CURVES:
        raise unknown("curve", name, CURVES)
    expected = list(inspect.signature(CURVES[name]).parameters)[1:]
    for key in settings:
        if key not in expected:
            raise unknown(f"setting of {name}", key, expected)
    if missing := [key for key in expected if key not in settings]:
        raise InputError(f"{name} needs {', '.join(missing)}")
    for key, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{name}.{key} = {value!r} is not a number")


@curve
def constant(_knob: float, value: float) -> float:
    """Level that does not depend on the knob."""
    return value


@curve
def nce_smallest_eigenvalue(gap: float) -> float:
    """Smallest eigenvalue of the Hessian of NCE's loss in (mean, c), at the optimum.

    Data ``N(gap, 1)``, noise ``N(0, 1)``, one noise sample for each data point. Liu et al.,
    "Analyzing and improving the optimization landscape of noise-contrastive estimation", 2021,
    arXiv:2110.11271.
    """
    x, step = _line(-12, gap + 12)
    p, q = _normal(x - gap), _normal(x)
    gradients = np.stack([x - gap, -np.ones_like(x)])
    hessian = step * (gradients * (p * q / (p + q))) @ gradients.T
    return float(np.linalg.eigvalsh(hessian)[0])


@curve
def nce_bayes_error(gap: float) -> float:
    """Error rate of the best classifier of ``N(gap, 1)`` against ``N(0, 1)``."""
    return float(ndtr(-gap / 2))


@curve
def nce_gaussian_kl(gap: float, points: float) -> float:
    """Divergence in nats that is expected of NCE's estimate from so many points.

    Mean and log-precision of ``N(gap, 1)`` from noise ``N(0, 1)``, one noise sample for each
    data point; asymptotic: see `_nce_kl`. NaN above `LOCAL`: so few points are not many.
    """
    x, step = _line(min(gap, 0) - 12, max(gap, 0) + 12)
    log_p, log_q = _log_normal(x - gap), _log_normal(x)
    scores = np.stack([x - gap, 0.5 - 0.5 * (x - gap) ** 2])
    divergence = _nce_kl(scores, log_p, log_q, step) / points
    return divergence if divergence <= LOCAL else math.nan


@curve
def efficient_kl(_knob: float, parameters: float, points: float) -> float:
    """Divergence in nats that is expected of maximum likelihood, for a well-specified model."""
    return parameters / (2 * points)


@curve
def efficient_gaussian_kl(dimension: float, points: float) -> float:
    """As `efficient_kl`, for a Gaussian with free mean and covariance."""
    return dimension * (dimension + 3) / (4 * points)


@curve
def weights_fisher_divergence(separation: float, weight: float) -> float:
    """Fisher divergence of equal weights from ``(weight, 1 − weight)`` of two unit Gaussians.

    What score matching sees of the error; it falls like ``exp(−separation²/8)``. Wenliang and
    Kanagawa, "Blindness of score-based methods to isolated components and mixing proportions",
    2020, arXiv:2008.10087.
    """
    x, step = _line(-separation / 2 - 12, separation / 2 + 12)
    half = separation / 2
    p = weight * _normal(x + half) + (1 - weight) * _normal(x - half)
    # The score is the mean of the ways to the two centres, by the share that each has in x.
    share = [1 / (1 + np.exp(separation * x - math.log(w / (1 - w)))) for w in (weight, 0.5)]
    return float(step * np.sum(p * (separation * (share[0] - share[1])) ** 2))


@curve
def weights_mass_error(separation: float, weight: float) -> float:
    """Mass that equal weights misplace of two unit Gaussians with ``(weight, 1 − weight)``.

    A point is of the centre to which it is nearest, and a share ``Φ(−separation/2)`` of each
    Gaussian is nearest to the other's.
    """
    return abs(0.5 - weight) * float(2 * ndtr(separation / 2) - 1)


@curve
def dsm_bias_kl(sigma: float) -> float:
    """Divergence in nats of the best Gaussian for DSM, of precision ``1/(1 + σ²)``, from N(0, 1).

    Vincent, "A connection between score matching and denoising autoencoders", 2011,
    doi:10.1162/NECO_a_00142.
    """
    variance = 1 + sigma**2
    return 0.5 * (math.log(variance) + 1 / variance - 1)


@curve
def dsm_signal_to_noise(sigma: float, precision: float, batch_size: float) -> float:
    """Signal-to-noise ratio of DSM's gradient for a batch, ``‖E g‖ / √(tr Cov g)``.

    Data N(0, 1); the model is a Gaussian around 0 of this precision ``a``, and the gradient is
    that in its mean and half the logarithm of its precision. With ``u`` the noisy point and
    ``w = a u − ε/σ``, which are jointly normal, they are ``−a w`` and ``2 a w u``.
    """
    u = 1 + sigma**2
    w = precision**2 * u - 2 * precision + 1 / sigma**2
    covariance = precision * u - 1
    variance = w + 4 * (w * u + covariance**2)
    return 2 * abs(covariance) * math.sqrt(batch_size / variance)


@curve
def exact_loss_variance(dimension: float) -> float:
    """Variance of exact score matching's loss of one point, ``½‖x‖² − d``, for N(0, I)."""
    return dimension / 2


@curve
def sliced_loss_variance(dimension: float, projections: float) -> float:
    """Variance of the sliced loss of one point with Gaussian directions, for N(0, I).

    Given the point, ``½(v·x)² − ‖v‖² = vᵀAv`` has the variance ``2 tr A²``, on average
    ``d + d²/2``; the mean over directions divides it, and the exact loss varies by ``d/2``.
    """
    return dimension / 2 + (dimension + dimension**2 / 2) / projections


@curve
def reduced_loss_variance(dimension: float, projections: float) -> float:
    """Variance of the variance-reduced sliced loss of one point, as `sliced_loss_variance`."""
    return dimension / 2 + 2 * dimension / projections


@curve
def smoothed_checkerboard_kl(squares: float, sigma: float) -> float:
    """Divergence in nats of a checkerboard smoothed by a Gaussian from the sharp one.

    The best that DSM can reach on a board of side 8 with so many squares to a side, an even
    number.
    """
    if squares % 2:
        return math.nan
    cells = int(squares)
    width, n = 8 / cells, 2000 // cells
    x = (np.arange(cells * n) + 0.5) / (cells * n) * 8 - 4
    edges = -4 + width * np.arange(cells)
    from_edge = x - edges[:, None]
    stripes = ndtr(from_edge / sigma) - ndtr((from_edge - width) / sigma)
    even, odd = stripes[::2].sum(0), stripes[1::2].sum(0)
    density = (np.outer(even, even) + np.outer(odd, odd)) / 32
    column = np.arange(cells * n) // n
    inside = (column[:, None] + column) % 2 == 0
    return float(np.mean(-np.log(density[inside])) - math.log(32))


@curve
def student_information(freedom: float) -> float:
    """Mean square of the score of Student's t: the Fisher divergence of a flat model."""
    return (freedom + 1) / (freedom + 3)


@curve
def student_gaussian_fisher(freedom: float) -> float:
    """Fisher divergence of the Gaussian that has the variance of Student's t.

    By parts, ``E(s + x/v)² = E s² − 2/v + 1/v``; where the variance v is infinite, the Gaussian
    is flat.
    """
    return student_information(freedom) - max(0.0, (freedom - 2) / freedom)


def _nce_kl(scores: np.ndarray, log_p: np.ndarray, log_q: np.ndarray, step) -> float:
    """Half the trace of NCE's asymptotic covariance against the Fisher information, for ν = 1.

    ``Cov = I⁻¹ − 2 I⁻¹ m mᵀ I⁻¹`` with ``I = E_p[P g gᵀ]``, ``m = E_p[P g]``, ``P = q/(p + q)``
    and ``g`` the gradients of the log-density in the parameters and in c. Gutmann and
    Hyvärinen, "Noise-contrastive estimation", 2012, https://jmlr.org/papers/v13/gutmann12a.html.
    """
    g = np.vstack([scores, -np.ones_like(log_p)])
    mass = step * np.exp(log_p)
    weight = mass * expit(log_q - log_p)
    inverse = np.linalg.inv((g * weight) @ g.T)
    mean = inverse @ (g @ weight)
    covariance = inverse - 2 * np.outer(mean, mean)
    fisher = (scores * mass) @ scores.T
    return float(0.5 * np.trace(fisher @ covariance[:-1, :-1]))


def _log_normal(x: np.ndarray) -> np.ndarray:
    """Log-density of the standard normal distribution."""
    return -0.5 * x**2 - 0.5 * math.log(2 * math.pi)


def _normal(x: np.ndarray) -> np.ndarray:
    return np.exp(_log_normal(x))


def _line(low: float, high: float) -> tuple[np.ndarray, float]:
    """Points of the line, and their distance."""
    return np.linspace(low, high, 8001, retstep=True)
