"""Minimise deterministic losses of many replicates at once, to convergence."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

GRADIENT, STEP = 1e-5, 1e-3
CONVERGED, NO_OPTIMUM, UNFINISHED = "converged", "no_finite_optimum", "not_converged"
# A gradient so small where a Newton step is still long: the loss falls forever.
_FLAT = 1e-10
_FAR = 1e3
_ARMIJO = 1e-4
_LONGEST = 2.0


@dataclass
class Minimum:
    """Where the losses of all replicates are smallest.

    Attributes
    ----------
    theta : Tensor of shape (R, p)
        The parameters at the end.
    inverse : Tensor of shape (R, p, p)
        Approximate inverse Hessians there.
    gradient : Tensor of shape (R,)
        Largest entry of the gradient in absolute value.
    status : list of str
        ``converged``: the gradient is below 1e-5 and the Newton step below 1e-3;
        ``no_finite_optimum``: the loss goes on falling towards infinity; ``not_converged``:
        neither within the evaluations.
    evaluations : Tensor of int, shape (R,)
        Evaluations of loss and gradient that each replicate took.
    """

    theta: Tensor
    inverse: Tensor
    gradient: Tensor
    status: list[str]
    evaluations: Tensor


def minimise(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    theta: Tensor,
    inverse: Tensor | None = None,
    evaluations: int = 300,
) -> Minimum:
    """Minimise by BFGS with backtracking, each replicate at its own pace.

    An evaluation is a trial step of every replicate: one whose loss falls enough takes it and
    gets a new direction, one whose loss does not tries a shorter step next.

    Parameters
    ----------
    function : callable
        From parameters (R, p) to losses (R,) and gradients (R, p).
    theta : Tensor of shape (R, p)
        Initial parameters.
    inverse : Tensor of shape (R, p, p), optional
        Approximate inverse Hessians to start with.
    evaluations : int
        Maximum number of evaluations.

    References
    ----------
    Nocedal and Wright, "Numerical optimization", 2006, chapter 6,
    doi:10.1007/978-0-387-40065-5.
    """
    count, size = theta.shape
    fresh = torch.full((count,), inverse is None)
    inverse = torch.eye(size).to(theta).repeat(count, 1, 1) if inverse is None else inverse.clone()
    theta = theta.clone()
    value, slope = function(theta)
    used = torch.ones(count, dtype=torch.int64)
    codes = torch.zeros(count, dtype=torch.int64)  # 0 working, 1 converged, 2 no optimum
    direction, length = _direct(inverse, slope)
    for done in range(1, evaluations + 1):
        step = (inverse @ slope.unsqueeze(2)).squeeze(2).abs().amax(1)
        steepest = slope.abs().amax(1)
        still = (steepest <= GRADIENT) & (step <= STEP)
        endless = ~still & ((steepest <= _FLAT) | (theta.abs().amax(1) > _FAR))
        codes = torch.where(codes > 0, codes, still + 2 * endless)
        working = codes == 0
        if not working.any() or done == evaluations:
            break
        move = torch.where(working, length, 0.0).unsqueeze(1) * direction
        new_value, new_slope = function(theta + move)
        used += working
        along = (slope * direction).sum(1)
        fall = value + _ARMIJO * length * along + 1e-14 * value.abs()
        usable = torch.isfinite(new_value) & torch.isfinite(new_slope).all(1)
        taken = working & usable & (new_value <= fall)
        change = torch.where(taken.unsqueeze(1), new_slope - slope, 0.0)
        inverse, learned = _update(inverse, move, change, taken, fresh & taken)
        fresh &= ~learned
        theta = torch.where(taken.unsqueeze(1), theta + move, theta)
        shorter = _shorten(length, new_value - value, along, usable)
        value = torch.where(taken, new_value, value)
        slope = torch.where(taken.unsqueeze(1), new_slope, slope)
        ahead, full = _direct(inverse, slope)
        # A direction that has led nowhere is given up for that of steepest descent.
        lost = working & ~taken & (shorter < 1e-10)
        if lost.any():
            inverse[lost] = torch.eye(size).to(theta)
            fresh |= lost
            ahead[lost], full[lost] = _direct(inverse[lost], slope[lost])
        renewed = taken | lost
        direction = torch.where(renewed.unsqueeze(1), ahead, direction)
        length = torch.where(renewed, full, shorter)
    names = [UNFINISHED, CONVERGED, NO_OPTIMUM]
    status = [names[code] for code in codes.tolist()]
    return Minimum(theta, inverse, slope.abs().amax(1), status, used)


def hessian(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], theta: Tensor, step: float = 0.03
) -> Tensor:
    """Differentiate gradients by central differences.

    Parameters
    ----------
    function : callable
        From parameters (R, p) to losses (R,) and gradients (R, p).
    theta : Tensor of shape (R, p)
        Where.
    step : float
        To either side. Steps that are longer than kinks are narrow average over these.

    Returns
    -------
    Tensor of shape (R, p, p)
        Symmetric.
    """
    moves = step * torch.eye(theta.shape[1]).to(theta)
    rows = torch.stack([function(theta + m)[1] - function(theta - m)[1] for m in moves], 1)
    return (rows + rows.mT) / (4 * step)


def inverse_where_positive(matrices: Tensor, otherwise: Tensor) -> Tensor:
    """Invert symmetric matrices (R, p, p), or put others in place of those not positive."""
    root, info = torch.linalg.cholesky_ex(matrices)
    good = (info == 0).view(-1, 1, 1)
    unit = torch.eye(root.shape[1]).to(root)
    return torch.where(good, torch.cholesky_inverse(torch.where(good, root, unit)), otherwise)


def _direct(inverse: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Find the directions of descent, and how far along them to try first."""
    direction = -(inverse @ slope.unsqueeze(2)).squeeze(2)
    longest = direction.norm(dim=1).clamp_min(1e-300)
    return direction, (_LONGEST / longest).clamp(max=1.0)


def _shorten(length: Tensor, rise: Tensor, along: Tensor, usable: Tensor) -> Tensor:
    """Go to the lowest point of a parabola, within a tenth and a half of the step."""
    lowest = -0.5 * along * length.square() / (rise - length * along)
    return torch.where(usable, lowest.clamp(0.1 * length, 0.5 * length), 0.1 * length)


def _update(inverse, move, change, taken, first) -> tuple[Tensor, Tensor]:
    """Update from the accepted steps, and return which of them had positive curvature."""
    curvature = (move * change).sum(1)
    learned = taken & (curvature > 1e-12 * move.norm(dim=1) * change.norm(dim=1))
    safe = torch.where(learned, curvature, 1.0)
    ratio = torch.where(first & learned, safe / change.square().sum(1).clamp_min(1e-300), 1.0)
    inverse = inverse * ratio.view(-1, 1, 1)
    turned = (inverse @ change.unsqueeze(2)).squeeze(2)
    weight = (1 + (change * turned).sum(1) / safe) / safe
    both = move.unsqueeze(2) * turned.unsqueeze(1) / safe.view(-1, 1, 1)
    square = weight.view(-1, 1, 1) * move.unsqueeze(2) * move.unsqueeze(1)
    better = inverse + square - both - both.mT
    return torch.where(learned.view(-1, 1, 1), better, inverse), learned
