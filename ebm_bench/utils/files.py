"""Reading of tables, and atomic writing of files."""

import glob
import os
import shutil
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ebm_bench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replacing(path: str | Path):
    """Write a file under a temporary name, and move it into place on success.

    Parameters
    ----------
    path : str or Path
        Final path of the file; its folder is created.

    Yields
    ------
    Path
        Temporary path to write to.

    Raises
    ------
    InputError
        If the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f"{_start_of_temporary(path)}{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # it was moved, or could not be made
            temporary.unlink()


def _start_of_temporary(path: Path) -> str:
    """Begin a temporary name, which has room for that of a machine whatever the file's length."""
    return f".{path.name[:40]}.{socket.gethostname()}."


def _remove_leftovers(path: Path) -> None:
    """Remove what processes of this machine that were killed left half written."""
    start = _start_of_temporary(path)
    for left in path.parent.glob(f"{glob.escape(start)}*.tmp"):
        process = left.name.removeprefix(start).removesuffix(".tmp")
        if process.isdigit() and not process_exists(int(process)):
            left.unlink(missing_ok=True)


def process_exists(process: int) -> bool:
    """Whether this machine has a process of a number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def require_utf8(path: Path) -> None:
    """Raise an `InputError` if a path is in another encoding, which most file formats refuse."""
    whole = os.fsencode(path.absolute())
    shown = whole.decode("utf-8", errors="replace")
    if shown.encode("utf-8") != whole:
        raise InputError(f"{shown}: its letters are not in UTF-8; rename the file or folder")


def require_folder(path: Path) -> None:
    """Raise an `InputError` if a folder cannot be made, since there is a file in its place."""
    require_utf8(path)
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not there.is_dir():
        raise InputError(f"{there}: is a file, where there should be a folder")


def link(source: Path, target: Path) -> None:
    """Make a file available under a second name, by a copy where there are no hard links.

    Nothing is written where it is available already.

    Parameters
    ----------
    source, target : Path
        Existing file, and its other name; folders are made.

    Raises
    ------
    InputError
        Where the target cannot be written.
    """
    if target.exists() and target.samefile(source):
        return
    with replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def read_table(path: Path, advice: str) -> "pd.DataFrame":
    """Read a table in the Parquet format.

    Parameters
    ----------
    path : Path
        File of the table.
    advice : str
        How to get the file where it is missing or damaged.

    Raises
    ------
    InputError
        If there is no such file, or it is no valid table.
    """
    import pandas as pd  # takes time, which the workflow would spend whenever it starts

    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist; {advice}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {advice}") from None
