"""A benchmark of training objectives for energy-based models.

Conventions, kept everywhere: an energy ``E`` stands for the density
``p(x) = exp(−E(x)) / Z``; the score is ``s(x) = ∇ log p(x) = −∇E(x)``; logarithms are
natural and information is in nats. Every tensor of a run has a leading replicate axis: data
are ``(R, B, *event)``, energies ``(R, B)``, losses ``(R,)``.
"""

__version__ = "0.1.0"

__all__ = ["Fit", "Streams", "fit"]


def __getattr__(name: str):
    """Import what needs torch only when it is asked for."""
    if name in ("fit", "Fit"):
        from ebm_bench import api

        return getattr(api, name)
    if name == "Streams":
        from ebm_bench.streams import Streams

        return Streams
    raise AttributeError(f"module 'ebm_bench' has no attribute '{name}'")
