"""What runs import, for the process from which they are forked.

Importing this module starts no thread and uses no GPU, neither of which would survive a fork.
"""

import gc
import importlib
import sys
from contextlib import suppress
from pathlib import Path

from ebm_bench import registry
from ebm_bench.records import fingerprint
from ebm_bench.runs import evaluation, training, tuning  # noqa: F401

for family in registry.FAMILIES:
    # Plugins are left to each process: they may be edited meanwhile.
    for entry in registry.packaged(family):
        with suppress(Exception):  # the runs that need it report what is wrong
            importlib.import_module(f"ebm_bench.{family}.{entry.path.stem}")
        _ = entry.model  # cached
# The code that the runs execute is what has been imported here, whatever is edited from now on.
fingerprint.remember(
    Path(str(module.__file__))
    for name, module in sys.modules.items()
    if name.partition(".")[0] == __name__.partition(".")[0]
)
gc.collect()
gc.freeze()  # shared as long as nothing touches it
