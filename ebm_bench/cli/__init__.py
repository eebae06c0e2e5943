"""The command line: one command per stage.

Whatever needs torch is imported inside the commands, after the number of threads is set.
"""

# Each module adds its commands; `--help` lists them in this order.
from ebm_bench.cli import inspecting, plugins, runs, results, studies  # noqa: F401, I001
from ebm_bench.cli.options import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    app(prog_name="ebm-bench")
