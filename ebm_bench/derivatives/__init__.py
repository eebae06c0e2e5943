"""Derivatives of energies with respect to points: the compute core."""

from ebm_bench.derivatives.energy import curvature, gradient, laplacian

__all__ = ["curvature", "gradient", "laplacian"]
