#!/usr/bin/env bash
# torch 2.14.1: a compiled gradient through torch.nn.functional.silu computes the exponential of
# every unit twice on a CPU, once for the value and once more for the derivative; written as
# a * torch.sigmoid(a), the same function has one, which both use. The compiler decomposes the value
# into x / (1 + exp(-x)) and the derivative into terms of sigmoid(x): no node of the graph is common
# to them, so that nothing is kept from the one for the other. Exponentials are most of the time of
# the elementwise kernels of a small network.
# Output seen (Python 3.11): exponentials in the generated kernels: silu 2, a * sigmoid(a) 1
# Needs a C++ compiler. Exits with 1 if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cat > "$folder/silu.py" <<'PYTHON'
import torch
from torch._inductor.utils import run_and_get_code

x, w, v = torch.randn(128, 64), torch.randn(64, 64), torch.randn(64, 64)


def exponentials(silu):
    def loss(w):
        return (silu(x @ w) @ v).square().sum()

    _, code = run_and_get_code(torch.compile(torch.func.grad(loss)), w)
    return "".join(code).count(".exp()")


print(exponentials(torch.nn.functional.silu), exponentials(lambda a: a * torch.sigmoid(a)))
PYTHON
found=$(TORCHINDUCTOR_CACHE_DIR="$folder/cache" "$folder/venv/bin/python" "$folder/silu.py" 2> "$folder/log")
echo "exponentials in the generated kernels: silu ${found% *}, a * sigmoid(a) ${found#* }"
[ "$found" = "2 1" ]
