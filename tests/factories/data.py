"""Files of data, and suites that use them."""

import numpy as np
import yaml
from PIL import Image

from factories.suites import describe, few, toy


def correlated(n=500, d=2, seed=0):
    """Gaussian points far from the origin, of different scales."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((d, d)) + 3 * np.eye(d)
    return rng.standard_normal((n, d)) @ mixing + 100 * np.arange(1, d + 1)


def save_images(folder, n=40, side=8, mode="L", ending="png"):
    """Random images, half of them in a folder of their own."""
    rng = np.random.default_rng(0)
    (folder / "more").mkdir(parents=True, exist_ok=True)
    for i in range(n):
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        file = folder / ("more" if i % 2 else ".") / f"{i:03}.{ending}"
        Image.fromarray(pixels).convert(mode).save(file)


POINTS = toy(
    energy={"name": "mlp", "settings": {"width": 8, "depth": 2}},
    budget={"steps": 4, "batch_size": 16, "fit_samples": 300, "learning_rate": 0.01},
    metrics={"negative_log_likelihood": {"points": 20, "chains": 4, "levels": 5},
             "hyvarinen_score": {"points": 20}, "denoising_error": {"points": 20}},
    rank_by="negative_log_likelihood",
    compute="eager",
)  # fmt: skip
IMAGES = {
    **POINTS,
    "energy": {"name": "conv", "settings": {"channels": 2}},
    "metrics": {"hyvarinen_score": {"points": 4},
                "bits_per_dim": {"points": 4, "chains": 4, "levels": 5}},
    "rank_by": "bits_per_dim",
}  # fmt: skip
METHODS = few("dsm", "gaussian")


def write_suite(folder, datasets, methods=METHODS, **head):
    """Write a suite to a folder; datasets map names to their part of the suite."""
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(describe(methods, datasets, "own", **head)))
    return path


# A small stand-in for MNIST.
DIGITS = {
    "train_images": np.arange(4 * 28 * 28, dtype=np.uint8).reshape(4, 28, 28),
    "train_labels": np.array([1, 2, 3, 4], dtype=np.uint8),
    "test_images": np.ones((2, 28, 28), dtype=np.uint8),
    "test_labels": np.array([5, 6], dtype=np.uint8),
}
