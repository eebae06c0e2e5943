"""Read the suite, name the files, guard the results."""

import os
import re
import shlex
import sys
from pathlib import Path

import ebm_bench
from ebm_bench import registry
from ebm_bench.errors import InputError, unknown
from ebm_bench.records import fingerprint
from ebm_bench.report import outputs
from ebm_bench.suites import suite
from ebm_bench.warm.server import Server
from filelock import FileLock, Timeout

SUITE_FILE = os.path.relpath(config.get("suite", "benchmarks/quick.yaml"))
try:
    for key in config.keys() - {"suite"}:
        raise unknown("configuration key", key, ["suite"])
    SUITE = suite.load(SUITE_FILE)
except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(2)

RESULTS = f"results/{SUITE.name}"
RUNS = f"{RESULTS}/runs"
FOLDERS = [f"{RUNS}/{d}/{m}" for d in SUITE.datasets for m in SUITE.methods_of(d)]
TRAINED = ["run.json", "weights.safetensors"]
EVALUATED = ["evaluation.json", "pictures.npz"]
OUTPUTS = outputs(SUITE, Path(RESULTS))
# In place of Snakemake's own lock, which would outlive a killed process.
LOCK = FileLock(f"{RESULTS}/.lock")
# Jobs call `ebm-bench`, which is installed beside this Python, whether it is activated or not.
PROGRAMS = Path(sys.executable).parent
PREFIX = f"set -euo pipefail; PATH={shlex.quote(str(PROGRAMS))}:$PATH; "
shell.prefix(PREFIX)
# Jobs on this machine fork from a process that has torch loaded; see `onstart`.
SERVER = Server()
# Jobs share the memory of a machine as they share its cores; `--resources mem_mb=N` limits it.
if workflow.local_exec and "mem_mb" not in workflow.global_resources:
    MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    workflow.register_resource("mem_mb", MEMORY // 10**6)


def described(path, category):
    """Say what `snakemake --report` tells about a file, by a word that begins or ends its name."""
    words = sorted(file.stem for file in Path("workflow/report").glob("*.rst"))
    fitting = (w for w in words if path.stem.startswith(w) or path.stem.endswith(w))
    kind = next(fitting, category)
    return {
        "caption": f"../report/{kind}.rst",
        "category": category.title(),
        "labels": {"name": path.stem, "format": path.suffix[1:]},
    }


BROKEN = {}


def loaded(study, load, path):
    """Load the suite of a study, or keep the reason why it cannot be loaded."""
    try:
        return load(path)
    except InputError as error:
        BROKEN[study] = error


def refuse(study):
    """Make an input that ends Snakemake, with that reason, once its rule is asked for."""

    def stop(wildcards):
        print(BROKEN[study], file=sys.stderr)
        sys.exit(2)

    return stop


onstart:
    try:
        LOCK.acquire(blocking=False)
    except Timeout:
        print(f"another process works on {RESULTS}; wait for it", file=sys.stderr)
        sys.exit(2)
    if workflow.local_exec:
        # To keep a limit of jobs per second, Snakemake looks through all jobs once a second for
        # every job that has ended: soon that takes most of a core.
        workflow.scheduler.job_rate_limiter = None
    # Not on a cluster, whose jobs run elsewhere, nor where jobs have environments of their own.
    if (
        sys.platform == "linux"
        and workflow.local_exec
        and not workflow.deployment_settings.deployment_method
    ):
        definition = SERVER.start().replace("{", "{{").replace("}", "}}")
        shell.prefix(PREFIX + definition)


onerror:
    program = shlex.quote(str(PROGRAMS / "ebm-bench"))
    print(
        "Some jobs failed. Run again to go on, or report what is there:\n"
        f"  {program} collect --suite {SUITE_FILE} --results {RESULTS}\n"
        f"  {program} report --suite {SUITE_FILE} --results {RESULTS}"
    )
