"""A benchmark of training objectives for energy-based models.

Conventions, kept everywhere: an energy ``E`` stands for the density
``p(x) = exp(−E(x)) / Z``; the score is ``s(x) = ∇ log p(x) = −∇E(x)``; logarithms are
natural and information is in nats. Every tensor of a run has a leading replicate axis: data
are ``(R, B, *event)``, energies ``(R, B)``, losses ``(R,)``.
"""

import importlib

__version__ = "0.1.0"

__all__ = ["Fit", "Streams", "fit"]

_HOMES = {"fit": "ebm_bench.api", "Fit": "ebm_bench.api", "Streams": "ebm_bench.streams"}


def __getattr__(name: str):
    """Import what needs torch only when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ebm_bench' has no attribute '{name}'")
    # By a string: an import statement would make every result depend on the whole package.
    return getattr(importlib.import_module(_HOMES[name]), name)
