#!/usr/bin/env bash
# normflows 1.7.3: transforms.Shift, which moves pixels to [-1/2, 1/2] in front of a flow, works in place.
# log_prob of a flow with it moves the batch of the caller, so that the same images have another likelihood
# each time they are asked for: a second epoch over a tensor trains on other data than the first. Nothing is
# raised.
# Output seen (Python 3.11), a standard normal after Shift(-0.5), at two images of four pixels of 1/2:
#   log_prob -3.676, then -4.176, then -5.676
#   first pixel 0.5, then 0.0, then -0.5, then -1.0
# Exits with 1 if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 normflows==1.7.3
cat > "$folder/shift.py" <<'PYTHON'
import sys

import normflows as nf
import torch

flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(4, trainable=False), [nf.transforms.Shift(-0.5)])
images = torch.full((2, 4), 0.5)
pixels, values = [images[0, 0].item()], []
for _ in range(3):
    with torch.no_grad():
        values.append(flow.log_prob(images)[0].item())
    pixels.append(images[0, 0].item())
print("log_prob", ", then ".join(f"{value:.3f}" for value in values))
print("first pixel", ", then ".join(map(str, pixels)))
sys.exit(pixels != [0.5, 0.0, -0.5, -1.0] or [round(v, 3) for v in values] != [-3.676, -4.176, -5.676])
PYTHON
"$folder/venv/bin/python" "$folder/shift.py"
