"""Reading of tables, and atomic writing of files."""

import os
import shutil
from contextlib import contextmanager
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
