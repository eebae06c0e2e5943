"""Provenance of records: code, pinned dependencies, libraries and machine."""

import hashlib
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch

from ebm_bench import __version__
from ebm_bench.records import Provenance

_ROOT = Path(__file__).parents[2]


def collect(device: str) -> Provenance:
    """Describe this process.

    Parameters
    ----------
    device : str
        Device of the computation, in torch's notation.
    """
    commit, dirty = _checkout(_ROOT)
    return Provenance(
        version=__version__,
        commit=commit,
        dirty=dirty,
        lock=_digest(_ROOT / "constraints.txt"),
        python=platform.python_version(),
        torch=torch.__version__,
        device=device,
        threads=torch.get_num_threads(),
        machine=_machine(device),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@cache
def _checkout(root: Path) -> tuple[str, bool]:
    """Read the commit and whether files were changed, or code is new; the version without git."""
    if not (root / ".git").exists():  # installed: a repository further up is not ours
        return f"v{__version__}", False
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
        new = _git(root, "ls-files", "--others", "--exclude-standard", "--", "ebm_bench/*.py")
        return commit, bool(changed or new)
    except (OSError, subprocess.CalledProcessError):
        return f"v{__version__}", True


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout.strip()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else "none"


@cache
def _machine(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
