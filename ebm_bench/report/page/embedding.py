"""Embedding of files in the page: compressed, with pictures small enough for it."""

import base64
import gzip
import io
import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ebm_bench.errors import InputError

# Files of packages that the page uses: sortable tables and interactive plots.
LIBRARIES = {
    "tables": ("itables", "html/dt_bundle.js"),
    "tables-style": ("itables", "html/dt_bundle.css"),
    "plots": ("plotly", "package_data/plotly.min.js"),
}
_PICTURE = re.compile(r"data:image/png;base64,([^\"]+)")


def pack(content: str | bytes) -> str:
    """Compress a file with gzip and encode it in base64, which any script element may hold."""
    data = content.encode() if isinstance(content, str) else content
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def pack_json(content: Any) -> str:
    """Pack data; numbers must be finite."""
    return pack(json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def library(name: str) -> str:
    """Read and pack one of `LIBRARIES`.

    Raises
    ------
    InputError
        If the package lacks the file.
    """
    package, file = LIBRARIES[name]
    try:
        return pack(Path(str(distribution(package).locate_file(f"{package}/{file}"))).read_bytes())
    except (PackageNotFoundError, OSError):
        raise InputError(
            f"the page needs {file} of the package {package}; install it again"
        ) from None


def lighten(svg: str) -> str:
    """Replace the pictures inside an SVG by JPEG of high quality, which is a quarter as large."""
    return _PICTURE.sub(lambda found: _as_jpeg(found[1]), svg)


def _as_jpeg(encoded: str) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    return uri(np.asarray(picture.convert("RGB")), "jpeg", quality=90, subsampling=0)


def uri(pixels: np.ndarray, kind: str, **settings: Any) -> str:
    """Encode pixels of shape (H, W, 3) or (H, W) as a data address."""
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, kind, **settings)
    return f"data:image/{kind};base64,{base64.b64encode(written.getvalue()).decode()}"
