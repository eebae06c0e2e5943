"""How many levels log Z of trained image energies takes: score matching on known digits.

``python -m benchmarks.image_normalisers`` trains two energies with each of three objectives,
anneals to them with 16 chains and the best start, and prints a row for each energy and number of
levels. Takes three to eight minutes of one core.
"""

import time
from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch

import ebm_bench
from ebm_bench.metrics.points import energies
from ebm_bench.samplers.annealed_importance_sampling import annealed_importance_sampling
from ebm_bench.streams import Streams

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "dsm-0.05": ("denoising_score_matching", {"sigma": 0.05}),
    "ssm": ("sliced_score_matching", {"variance_reduced": False}),
    "ssm-vr": ("sliced_score_matching", {"variance_reduced": True}),
}
CHAINS, LEVELS = 16, (400, 1600)


def rows(objective: str, settings: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Train two replicates as the suite of digits does, and anneal with more and more levels."""
    fit = ebm_bench.fit(
        "mnist_mixture",
        objective,
        settings,
        "conv",
        energy_settings={"channels": 16},
        replicates=2,
        steps=600,
        batch_size=32,
        learning_rate=0.01,
        device="cpu",
    )
    fit.energy.eval().requires_grad_(False)
    x = fit.dataset.sample(1000, Streams(5, 2).child("data"), split="test")
    divergence = (fit.dataset.log_prob(x) + energies(fit.energy, x)).mean(1)
    for levels in LEVELS:
        begin = time.process_time()
        found = annealed_importance_sampling(
            fit.energy,
            Streams(0, 2).child("log_z"),
            CHAINS,
            levels,
            proposal=fit.dataset,
            best_start=True,
        )
        seconds = (time.process_time() - begin) / 2
        parts = {"KL": divergence + found.log_z, "error": found.standard_error, **found.details}
        for r in range(2):
            yield {"levels": levels, "seconds": seconds} | {k: parts[k][r].item() for k in parts}


def main() -> None:
    """Print all rows."""
    torch.set_num_threads(1)
    for method, found in METHODS.items():
        print(method, pd.DataFrame(rows(*found)).round(2).to_string(index=False), sep="\n")


if __name__ == "__main__":
    main()
