#!/usr/bin/env bash
# torch 2.14.1 (CPU): with the same seed, randn(n) does not begin with the numbers of a smaller n. Up to 15
# numbers are drawn one by one, from 16 on in blocks with other values; and where n is no multiple of 16,
# the last 16 numbers are drawn again from the generator, over those that were there. One point more in a
# sample therefore changes some that were drawn before it, or all of them; so does one dimension more.
# Output seen (Python 3.11), of equal seeds:
#   of the first 15 of 16 numbers, 15 differ
#   of the first 1000 of 1001 numbers, 2 differ
#   of the first 1008 of 1009 numbers, 15 differ
# Exits with 1 if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cat > "$folder/prefix.py" <<'PYTHON'
import sys

import torch

found = {}
for n in (15, 1000, 1008):
    fewer, more = (torch.randn(m, generator=torch.Generator().manual_seed(0)) for m in (n, n + 1))
    found[n] = (fewer != more[:n]).sum().item()
    print(f"of the first {n} of {n + 1} numbers, {found[n]} differ")
sys.exit(found != {15: 15, 1000: 2, 1008: 15})
PYTHON
"$folder/venv/bin/python" "$folder/prefix.py"
