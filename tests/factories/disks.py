"""Small file systems of their own, which can be filled or made read-only."""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest

_FILLER = ".filler"


class Disk:
    """A mounted file system; its results stand in ``results``."""

    def __init__(self, folder):
        self.folder, self.results = folder, folder / "results"

    def fill(self):
        """Leave no room."""
        left = os.statvfs(self.folder)
        with (self.folder / _FILLER).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_bsize)

    def protect(self):
        """Make it read-only, for whoever opens a file from now on."""
        _mount("--bind", self.folder, self.folder)
        _mount("-o", "remount,bind,ro", self.folder)

    def free(self):
        """Undo the one or the other."""
        if os.statvfs(self.folder).f_flag & os.ST_RDONLY:
            subprocess.run(["umount", "--lazy", self.folder], check=True)
        (self.folder / _FILLER).unlink(missing_ok=True)


@contextmanager
def mounted(folder):
    """Mount a file system of sixteen megabytes, or skip the test where that is not allowed."""
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no command to mount a file system")
    try:
        _mount("-t", "tmpfs", "-o", "size=16m", "none", folder)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no file system can be mounted: {error.stderr.strip()}")
    disk = Disk(folder)
    try:
        yield disk
    finally:
        disk.free()
        subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(*arguments):
    subprocess.run(["mount", *arguments], check=True, capture_output=True, encoding="utf-8")
