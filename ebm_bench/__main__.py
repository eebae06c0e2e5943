"""``python -m ebm_bench``, the same as ``ebm-bench``."""

from ebm_bench.cli import main

main()
