#!/usr/bin/env bash
# statsmodels 0.15.0: each call of statsmodels.stats.multitest.multipletests(method="holm") runs
# a full collection of Python's garbage (gc.collect()); other methods do not.
# A correction of 78 p values takes some microseconds of arithmetic; in a process that holds a
# few million objects (here two million small lists) it takes a good part of a second, and a
# report that corrects hundreds of families takes minutes.
# Output seen (Python 3.11, 2 cores):
#   10 calls of multipletests: 10 full collections
#   with them / without them: 2817 times the processor time
# Exits with 1 if a call collects no longer, or if it no longer matters.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 statsmodels==0.15.0
"$folder/venv/bin/python" - <<'PYTHON'
import gc
import sys
import time

import numpy as np
from statsmodels.stats.multitest import multipletests

collect, calls = gc.collect, []
p = np.random.default_rng(0).uniform(size=78)


def seconds(replacement):
    gc.collect = replacement
    start = time.process_time()
    for _ in range(10):
        multipletests(p, method="holm")
    return time.process_time() - start


objects = [[i] for i in range(2_000_000)]  # what a process with large libraries has
seconds(collect)  # warm
with_collections = seconds(lambda *given: (calls.append(1), collect(*given))[1])
without = seconds(lambda *given: 0)
ratio = with_collections / without
print(f"10 calls of multipletests: {len(calls)} full collections")
print(f"with them / without them: {ratio:.0f} times the processor time")
sys.exit(not (len(calls) == 10 and ratio > 20))
PYTHON
