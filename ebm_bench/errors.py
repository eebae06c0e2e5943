"""User-facing errors."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: the message names the file, key or value and the valid choices.

    The command line prints it without a traceback and exits with code 2.
    """


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
    return InputError(f"unknown {kind} '{name}'.{hint} Valid: {', '.join(choices)}")
