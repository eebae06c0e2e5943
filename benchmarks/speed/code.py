"""The code on which timings depend; that of tables and figures is no part of it.

Nothing here imports torch: the workflow asks for the files each time it starts.
"""

from pathlib import Path

from ebm_bench import registry
from ebm_bench.records import fingerprint


def files() -> list[Path]:
    """List the files that rows import, and those of all classes that they create by name."""
    folder = Path(__file__).parent
    created = ("energies", "noise", "objectives", "samplers")
    return fingerprint.closure(
        folder / "rows.py",
        folder / "timing.py",
        *(entry.path for family in created for entry in registry.packaged(family)),
    )
