"""Small pictures of single models for the page: densities and samples."""

import matplotlib as mpl
import numpy as np
import seaborn as sns  # noqa: F401 - registers its colour maps

from ebm_bench.report.figures.pictures import Pictures, tiled
from ebm_bench.report.figures.style import DENSITY
from ebm_bench.report.page.embedding import uri
from ebm_bench.report.results import Results

SIDE, SMALL = 128, 64  # pixels of a density, and where the page has more than
MANY = 1000  # pictures


def thumbnails(results: Results, dataset: str) -> dict[str, str]:
    """Make a small picture of each model of a dataset.

    Returns
    -------
    dict of str to str
        Pictures as data addresses, by label of the row; ``data`` holds samples of the data if
        there are any. Densities share one colour scale.
    """
    pictures = Pictures(results, dataset, figure=False)
    side = SIDE if len(results.runs) <= MANY else SMALL
    densities, samples = pictures.all("density"), pictures.all("samples")
    if pictures.data is not None:
        samples["data"] = pictures.data
    return {
        **{label: _density(d, pictures.top, side) for label, d in densities.items()},
        **{label: uri(tiled(images), "webp", quality=85) for label, images in samples.items()},
    }


def _density(density: np.ndarray, top: float, most: int) -> str:
    """Colour a density of shape (H, W), its second axis pointing up, on so many pixels a side."""
    step = max(1, len(density) // most)
    side = len(density) // step * step
    pooled = density[:side, :side].reshape(side // step, step, side // step, step).mean((1, 3))
    coloured = mpl.colormaps[DENSITY](np.nan_to_num(pooled[::-1]) / top, bytes=True)
    return uri(coloured[..., :3], "webp", quality=80)
