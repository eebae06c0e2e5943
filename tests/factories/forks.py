"""Python modules run in processes that have imported what these need of other packages.

They are forked from a process that did so once, which takes as long as most of what they do.
Nothing of this project is imported before: each of them reads the code of its own folder.
"""

import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from functools import cache

# What Snakemake and the workflow import.
PRELOADED = (
    *("snakemake.cli", "snakemake.profiles", "snakemake.report.html_reporter", "snakemake.storage"),
    *("filelock", "platformdirs", "safetensors", "scipy.special", "typer"),
)


def run(module, *arguments, python, cwd, env):
    """Run a module as ``python -m`` does in a folder; the output has standard error in it.

    ``python`` is what the module finds in ``sys.executable``.
    """
    with tempfile.NamedTemporaryFile() as output:
        call = {
            "argv": [module, *map(str, arguments)],
            "python": str(python),
            "cwd": str(cwd),
            "env": env,
            "output": output.name,
        }
        server = _server()
        print(json.dumps(call), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        text = output.read().decode(errors="replace")
    return subprocess.CompletedProcess(call["argv"], code, text)


@cache
def _server():
    """Start the process to fork from, which ends with this one."""
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        [sys.executable, "-P", __file__], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def _serve():
    """Fork for every call; returns the call in a fork, and None at the end."""
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def _main():
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    if call := _serve():
        with open(call["output"], "wb") as output, open(os.devnull) as nothing:
            for number, file in enumerate((nothing, output, output)):
                os.dup2(file.fileno(), number)
        os.chdir(call["cwd"])
        os.environ.clear()
        os.environ.update(call["env"])
        sys.path[:0] = [call["cwd"], *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        sys.argv, sys.executable = call["argv"], call["python"]
        runpy.run_module(call["argv"][0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
