"""User-facing errors."""

import difflib
from collections.abc import Collection, Iterable


class InputError(ValueError):
    """Bad input: the message names the file, key or value and the valid choices.

    The command line prints it without a traceback and exits with code 2.
    """


def explanation(error: BaseException) -> str | None:
    """Message for bad input, and for a file that the system refuses; None for other errors."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) if isinstance(error, InputError) else None


def shortened(text: str, longest: int = 200) -> str:
    """Leave the middle of a long text out, so that a message that quotes it can be read."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


def unknown(kind: str, name: str, choices: Iterable[str]) -> InputError:
    """Build the error for a name that is not among the choices.

    Parameters
    ----------
    kind : str
        Kind of thing that was named (``"objective"``).
    name : str
        Name that was given.
    choices : iterable of str
        Valid names.

    Returns
    -------
    InputError
        Not raised, so that the caller can add where the name was found.
    """
    choices = sorted(choices)
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return InputError(f"unknown {kind} '{shortened(name)}'.{hint} Valid: {', '.join(choices)}")


def choose(
    kind: str, given: Iterable[str] | None, choices: Collection[str], where: object
) -> list[str]:
    """Check names that were given, and drop repetitions; all choices if none was given.

    Parameters
    ----------
    kind, choices
        As for `unknown`.
    given : iterable of str, optional
        Names that were given.
    where : str or Path
        File or folder that has the choices.

    Raises
    ------
    InputError
        If a name is not among the choices.
    """
    given = list(given or choices)
    for name in given:
        if name not in choices:
            raise InputError(f"{where}: {unknown(kind, name, choices)}")
    return list(dict.fromkeys(given))
