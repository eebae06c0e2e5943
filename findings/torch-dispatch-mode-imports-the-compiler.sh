#!/usr/bin/env bash
# torch 2.14.1: the first operation under any TorchDispatchMode (a counter of operations, a
# logger, torch's own FlopCounterMode) imports torch's compiler, torch._dynamo with sympy, though
# nothing is compiled. Its import takes about as long as that of torch itself. The reason is that
# TorchDispatchMode wraps __torch_dispatch__ of every subclass so that the compiler skips it, and
# the wrapper imports the compiler when it is called. A subclass whose private class method
# _should_skip_dynamo returns False is not wrapped, and imports nothing.
# Output seen (Python 3.11):
#   before: False, after one product under a dispatch mode: True
#   not wrapped: False
# Exits with 1 if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cat > "$folder/mode.py" <<'PYTHON'
import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Counter(TorchDispatchMode):
    if "plain" in sys.argv:

        @classmethod
        def _should_skip_dynamo(cls):
            return False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


before = "torch._dynamo" in sys.modules
with Counter():
    torch.ones(2, 2) @ torch.ones(2, 2)
print(before, "torch._dynamo" in sys.modules)
PYTHON
wrapped=$("$folder/venv/bin/python" "$folder/mode.py")
plain=$("$folder/venv/bin/python" "$folder/mode.py" plain)
echo "before: ${wrapped% *}, after one product under a dispatch mode: ${wrapped#* }"
echo "not wrapped: ${plain#* }"
[ "$wrapped" = "False True" ] && [ "$plain" = "False False" ]
