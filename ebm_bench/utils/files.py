"""Files that are written whole or not at all."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from ebm_bench.errors import InputError


@contextmanager
def replacing(path: str | Path):
    """Write a file under a temporary name and move it into place when all is well.

    Parameters
    ----------
    path : str or Path
        Where the file is to stand; folders are made.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    InputError
        Where the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Make a file available under a second name, by a copy where there are no hard links.

    Parameters
    ----------
    source, target : Path
        Existing file, and its other name; folders are made.

    Raises
    ------
    InputError
        Where the target cannot be written.
    """
    with replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
