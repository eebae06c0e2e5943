"""The command line: one command per stage.

Whatever needs torch is imported inside the commands, after the number of threads is set.
"""

import io
import sys

# Each module adds its commands; `--help` lists them in this order.
from ebm_bench.cli import inspecting, machines, plugins, results, stages, studies  # noqa: F401
from ebm_bench.cli.options import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack a letter
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="ebm-bench")
