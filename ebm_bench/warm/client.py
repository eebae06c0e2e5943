"""The client: ``python -I -S client.py SOCKET ARGUMENTS`` stands for ``ebm-bench ARGUMENTS``.

A file that runs by itself and imports little, since every job waits for it.
"""

import os
import signal
import socket
import struct
import sys

LENGTH, STATUS = struct.Struct("!I"), struct.Struct("!i")
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ask(path: str, arguments: list[str]) -> int | None:
    """Have a command run by a fork of the server.

    Parameters
    ----------
    path : str
        The server's socket.
    arguments : list of str
        Of `ebm-bench`.

    Returns
    -------
    int or None
        Exit code of the command, or minus the signal that ended it; None where no server
        answers, or it ended before the command did.
    """
    variables = [key + b"=" + value for key, value in os.environb.items()]
    count = str(len(arguments))
    request = b"\0".join([*map(os.fsencode, [os.getcwd(), count, *arguments]), *variables])
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
            socket.send_fds(connection, [LENGTH.pack(len(request))], [0, 1, 2])
            connection.sendall(request)
            for number in _FORWARDED:
                signal.signal(number, lambda n, _: connection.send(bytes([n])))
            answer = connection.recv(STATUS.size)
        except OSError:
            answer = b""
        for number in _FORWARDED:
            signal.signal(number, signal.SIG_DFL)
    return STATUS.unpack(answer)[0] if answer else None


def is_served(arguments: list[str]) -> bool:
    """Tell whether a command needs what the server loads, for one thread."""
    threads = arguments[arguments.index("--threads") + 1 :][:1] if "--threads" in arguments else []
    return arguments[:1] in (["train"], ["evaluate"]) and threads in ([], ["1"])


def main(path: str, *arguments: str) -> None:
    """Run the command, and end as it ends."""
    status = ask(path, list(arguments)) if is_served(list(arguments)) else None
    if status is None:
        os.execvp("ebm-bench", ["ebm-bench", *arguments])
    if status < 0:
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
