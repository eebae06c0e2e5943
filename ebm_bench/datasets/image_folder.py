"""Images of the user, from a folder."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Lt
from PIL import Image, ImageOps

from ebm_bench.datasets.inspection import constant
from ebm_bench.datasets.pixels import Images
from ebm_bench.datasets.splits import Split
from ebm_bench.datasets.tables import listed
from ebm_bench.errors import InputError
from ebm_bench.registry import register

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
# Images of 16 bits that use fewer are most likely not scaled to their full range.
_FULL = 2**14
# What a run holds in memory: values of an image, of which batches have many, and bytes of all.
_VALUES, _BYTES = 2**20, 2**32
# Pillow's names of layouts with 16 bits for each colour, and not with 5 or 6 as in BGR;16.
_DEEP = re.compile("(?<!BGR);16")


@register
@dataclass(eq=False, kw_only=True)
class ImageFolder(Images):
    """Images of a folder and the folders in it, dequantised, in logit space with λ = 0.05.

    Files are taken in the order of their paths and split at random; files of other types are
    left out. Images of 16 bits keep their upper byte. Images with transparent pixels, with
    several frames or in other colour spaces than grey and RGB are refused, and so are images of
    different sizes without `resize`.

    Parameters
    ----------
    path : str
        Folder, relative to the suite.
    channels : {1, 3}, optional
        Grey (colours become their luma) or RGB (grey is repeated). RGB if any image has colours.
    resize : int, optional
        Side in pixels to which images are brought, after their longer side is cropped at both
        ends to a square.
    validation, test : float
        Shares of the images for validation and test.
    split_seed : int
        Seed of the random split.
    """

    licence = "that of the images"
    citation = "the images of the user"
    files = ("path",)
    lam = 0.05

    path: str
    channels: Literal[1, 3] | None = None
    resize: Annotated[int, Ge(1)] | None = None
    validation: Annotated[float, Gt(0), Lt(1)] = 0.1
    test: Annotated[float, Gt(0), Lt(1)] = 0.1
    split_seed: Annotated[int, Ge(0)] = 0

    @property
    def event_shape(self) -> tuple[int, int, int]:
        """Shape of one image: (C, H, W)."""
        _, channels, height, width = self._data.pixels.shape
        return channels, height, width

    @property
    def space(self) -> str:  # type: ignore[override]  # depends on the folder
        """How points were made from the images."""
        notes = [f"{self._data.split.rows} images, at random {self._data.split}"]
        if self.resize:
            notes.append(f"cropped to squares and resized to {self.resize} × {self.resize}")
        notes += self._data.notes
        return "; ".join([*notes, "logit of 0.05 + 0.9 (pixel + u) / 256"])

    def pixels(self, split: str) -> np.ndarray:
        """Bytes of a split, shape (N, C, H, W)."""
        return self._data.pixels[self._data.split.of(split)]

    @cached_property
    def _data(self) -> "_Data":
        folder = Path(self.path)
        files, notes = _find(folder)
        split = Split(len(files), self.validation, self.test, self.split_seed)
        split.refuse_small(folder)
        if self.resize:
            _refuse_large(folder, len(files), (self.channels or 1) * self.resize**2)
        found = []
        for file in files:
            found.append(_load(file, self.channels, self.resize))
            _refuse_large(folder, len(files), found[-1].pixels.size)
        _refuse_dark(folder, files, found)
        channels = self.channels or max(len(each.pixels) for each in found)
        shape = found[0].pixels.shape[1:]
        for file, each in zip(files, found, strict=True):
            if each.pixels.shape[1:] != shape:
                raise InputError(
                    f"{file}: {_size(each.pixels)}, and {files[0]} is {_size(found[0].pixels)}; "
                    "bring all images to one size with the setting 'resize'"
                )
        pixels = np.stack([np.broadcast_to(each.pixels, (channels, *shape)) for each in found])
        if (pixels == pixels[0]).all():
            raise InputError(f"{folder}: {constant(['every pixel'])}")
        if deep := sum(each.deep is not None for each in found):
            notes.append(f"{deep} of 16 bits reduced to their upper byte")
        if grey := sum(len(each.pixels) < channels for each in found):
            notes.append(f"{grey} grey ones repeated in {channels} channels")
        if coloured := sum(each.luma for each in found):
            notes.append(f"{coloured} in colour reduced to their luma")
        return _Data(pixels, split, notes)


class _Data(NamedTuple):
    """Bytes of all images, (N, C, H, W), their split, and what was done to them."""

    pixels: np.ndarray
    split: Split
    notes: list[str]


class _Loaded(NamedTuple):
    """Bytes of an image, (1 or 3, H, W); its largest value if it had 16 bits; colours dropped."""

    pixels: np.ndarray
    deep: int | None
    luma: bool


def _refuse_large(folder: Path, images: int, values: int) -> None:
    """Refuse images that take too much memory, before all are read."""
    if values > _VALUES:
        what = f"{values} values in an image are more than {_VALUES}"
    elif images * values > _BYTES:
        what = f"{images} images of {values} bytes are more than {_BYTES // 2**30} GiB"
    else:
        return
    raise InputError(f"{folder}: {what}; bring them to a smaller size with the setting 'resize'")


def _find(folder: Path) -> tuple[list[Path], list[str]]:
    """List the images of a folder in the order of their paths, and what is left out."""
    if not folder.is_dir():
        what = "is no folder of images" if folder.exists() else "does not exist"
        raise InputError(f"{folder}: {what}")
    # Links to nothing are refused when they are read; those to folders are left out.
    every = ((path.relative_to(folder), path) for path in folder.rglob("*")
             if path.is_file() or path.is_symlink())  # fmt: skip
    shown = sorted((_printable(p.as_posix()), path) for p, path in every
                   if not any(part.startswith(".") for part in p.parts))  # fmt: skip
    files = [path for _, path in shown if path.suffix.lower() in ENDINGS]
    others = [name for name, path in shown if path.suffix.lower() not in ENDINGS]
    if not files:
        seen = f"; it has {listed(others)}" if others else ", it is empty"
        raise InputError(f"{folder}: has no images ({', '.join(ENDINGS)}){seen}")
    return files, [f"left out, as no images: {listed(others)}"] if others else []


def _printable(name: str) -> str:
    """Replace what is no UTF-8 in the name of a file, and could not be recorded."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _load(file: Path, channels: int | None, side: int | None) -> _Loaded:
    """Read an image as bytes, or refuse it."""
    try:
        with Image.open(file) as opened:
            if getattr(opened, "n_frames", 1) > 1:
                raise InputError(f"{file}: has several frames; save one image per file")
            # What Pillow reads of colours of 16 bits is their upper byte.
            reduced = any(_DEEP.search(str(tile[3])) for tile in getattr(opened, "tile", []))
            image, deep = _to_bytes(ImageOps.exif_transpose(opened), file)
            if reduced and deep is None:
                deep = 256 * int(np.asarray(image).max()) + 255
    except InputError:
        raise
    except Exception as error:  # of many kinds, one for each decoder
        raise InputError(f"{file}: cannot be read as an image ({error})") from None
    luma = channels == 1 and image.mode == "RGB"
    if luma:
        image = image.convert("L")
    if side:
        image = ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
    array = np.asarray(image)
    return _Loaded(array[None] if array.ndim == 2 else array.transpose(2, 0, 1), deep, luma)


def _to_bytes(image: Image.Image, file: Path) -> tuple[Image.Image, int | None]:
    """Bring an image to mode L or RGB without loss, save the lower byte of 16 bits."""
    if image.has_transparency_data:
        if (np.asarray(image.convert("RGBA").getchannel("A")) < 255).any():
            raise InputError(f"{file}: has transparent pixels; put it on a background first")
        return _opaque(image), None
    if image.mode in ("L", "RGB"):
        return image, None
    if image.mode == "1":
        return image.convert("L"), None
    if image.mode == "P":
        return _opaque(image), None
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() >= 0 and values.max() < 2**16:
            return Image.fromarray((values // 256).astype(np.uint8)), int(values.max())
    raise InputError(
        f"{file}: has pixels of Pillow's mode {image.mode}; convert it to grey or RGB of 8 or 16 "
        "bits first"
    )


def _opaque(image: Image.Image) -> Image.Image:
    """Look colours of a palette up and drop an opaque alpha channel; grey stays grey."""
    if image.mode == "LA":
        return image.convert("L")
    colours = image.convert("RGBA").convert("RGB")
    red, green, blue = (np.asarray(band) for band in colours.split())
    if image.mode in ("P", "PA") and (red == green).all() and (green == blue).all():
        return colours.getchannel("R")
    return colours


def _refuse_dark(folder: Path, files: list[Path], found: list[_Loaded]) -> None:
    """Refuse images of 16 bits whose upper byte is nearly empty."""
    deep = [(each.deep, file) for each, file in zip(found, files, strict=True)
            if each.deep is not None]  # fmt: skip
    if deep and max(deep)[0] < _FULL:
        top, file = max(deep)
        raise InputError(
            f"{folder}: no image of 16 bits is brighter than {top} of 65535 ({file.name}), so that "
            "little is left in 8 bits; scale their values to the full range first"
        )


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[2]} × {pixels.shape[1]} pixels"
