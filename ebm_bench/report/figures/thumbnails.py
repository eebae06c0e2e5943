"""Small pictures of single models, to be laid beside each other: densities and samples."""

import math

import matplotlib as mpl
import numpy as np
import seaborn as sns  # noqa: F401 - registers its colour maps

from ebm_bench.report.figures.style import DENSITY
from ebm_bench.report.page.embedding import uri
from ebm_bench.report.results import Results, Row

SIDE = 128  # pixels of a density
TILES = 6  # images along each side of a panel


def thumbnails(results: Results, dataset: str) -> dict[str, str]:
    """Make a small picture of each model of a dataset.

    Parameters
    ----------
    results : Results
        Whose pictures are shown.
    dataset : str
        Of the suite.

    Returns
    -------
    dict of str to str
        Addresses that hold a picture, by the label of the row; ``data`` holds samples of the
        data where there are any. Densities are on one colour scale.
    """
    rows = sorted(results.rows(dataset), key=lambda row: not row.control)
    stored: dict[str, dict[str, np.ndarray]] = {}
    for row in rows:
        if row.method not in stored:
            stored[row.method] = results.pictures(dataset, row.method)
    densities = {row.label: d for row in rows if (d := _kept(stored, row, "density")) is not None}
    found = {}
    if densities:
        top = float(np.nanmax(next(iter(densities.values()))))
        found = {label: _density(density, top) for label, density in densities.items()}
    samples = {row.label: s for row in rows if (s := _kept(stored, row, "samples")) is not None}
    data = [pictures["data.samples"] for pictures in stored.values() if "data.samples" in pictures]
    if data:
        samples["data"] = data[0]
    return found | {label: _tiles(images) for label, images in samples.items()}


def _kept(stored: dict, row: Row, kind: str) -> np.ndarray | None:
    array = stored[row.method].get(f"{row.model}.{kind}")
    return array if array is not None and np.isfinite(array).any() else None


def _density(density: np.ndarray, top: float) -> str:
    """Colour a density of shape (H, W), its second axis pointing up."""
    step = max(1, len(density) // SIDE)
    side = len(density) // step * step
    pooled = density[:side, :side].reshape(side // step, step, side // step, step).mean((1, 3))
    coloured = mpl.colormaps[DENSITY](np.nan_to_num(pooled[::-1]) / top, bytes=True)
    return uri(coloured[..., :3], "webp", quality=80)


def _tiles(images: np.ndarray) -> str:
    """Lay images of shape (n, C, H, W) out as a square."""
    side = min(TILES, math.isqrt(len(images)))
    framed = np.pad(images[: side**2], [(0, 0), (0, 0), (0, 1), (0, 1)], constant_values=255)
    rows = framed.reshape(side, side, *framed.shape[1:]).transpose(0, 3, 1, 4, 2)
    tiled = rows.reshape(rows.shape[0] * rows.shape[1], -1, rows.shape[4])
    return uri(np.ascontiguousarray(tiled if tiled.shape[2] == 3 else tiled[..., 0]), "webp",
               quality=85)  # fmt: skip
