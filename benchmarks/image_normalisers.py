"""How many levels log Z of trained image energies takes: score matching on known images.

``python -m benchmarks.image_normalisers`` trains two energies with each of three objectives as the
suite of digits does, or with ``cifar10`` that of photographs, anneals to them with 16 chains and
the best start, and prints a row for each energy and number of levels. Takes three to eight minutes
of one core.
"""

import argparse
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
# Dataset, channels, steps and learning rate of a suite's images.
SUITES: dict[str, tuple[str, int, int, float]] = {
    "mnist": ("mnist_mixture", 16, 600, 0.01),
    "cifar10": ("cifar10_mixture", 8, 300, 0.05),
}
CHAINS, LEVELS = 16, (400, 1600)


def rows(suite: str, objective: str, settings: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Train two replicates as a suite of images does, and anneal with more and more levels."""
    dataset, channels, steps, learning_rate = SUITES[suite]
    fit = ebm_bench.fit(
        dataset,
        objective,
        settings,
        "conv",
        energy_settings={"channels": channels},
        replicates=2,
        steps=steps,
        batch_size=32,
        learning_rate=learning_rate,
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
    """Print all rows of the suite that is named."""
    parser = argparse.ArgumentParser(description="How many levels log Z of image energies takes.")
    parser.add_argument("suite", nargs="?", default="mnist", choices=[*SUITES])
    suite = parser.parse_args().suite
    torch.set_num_threads(1)
    for method, found in METHODS.items():
        print(method, pd.DataFrame(rows(suite, *found)).round(2).to_string(index=False), sep="\n")


if __name__ == "__main__":
    main()
