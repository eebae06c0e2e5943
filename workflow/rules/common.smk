"""Read the suite, name the files, guard the results."""

import math
import os
import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path

import ebm_bench
from ebm_bench import registry
from ebm_bench.errors import InputError, explanation, unknown
from ebm_bench.records import fingerprint
from ebm_bench.report import outputs
from ebm_bench.suites import suite
from ebm_bench.runs import packing, processes, tasks
from ebm_bench.utils import leases, slurm, yaml_files
from ebm_bench.utils.files import require_folder

# Where the workflow itself lies: `snakemake -s FILE` and `--directory` run it from elsewhere.
CHECKOUT = Path(workflow.basedir)


def found(path):
    """Find a file from where the workflow runs, or else beside the workflow."""
    beside = CHECKOUT / path
    return os.path.relpath(
        path if os.path.exists(path) or not beside.exists() else beside
    )


def plain(path):
    """Refuse a path with braces, which Snakemake takes for wildcards."""
    if "{" in str(path) or "}" in str(path):
        print(f"{path}: braces in a path; rename the file or folder", file=sys.stderr)
        sys.exit(2)
    return path


def relative(paths):
    """Name input files as Snakemake prints them."""
    return sorted(plain(os.path.relpath(path)) for path in paths)


def code_of(files):
    """Name the code among files: of data only the digest counts, there can be many, of any name."""
    return relative(file for file in files if file.suffix == ".py")


try:
    for key in config.keys() - {"suite", "minutes_per_job"}:
        raise unknown("configuration key", key, ["suite", "minutes_per_job"])
    given = config.get("suite", "benchmarks/quick.yaml")
    if not isinstance(given, str) or not given:
        # Snakemake reads values as YAML.
        raise InputError(
            f"--config suite: {given!r} is not a path; quote it: suite='\"FILE\"'"
        )
    MINUTES_PER_JOB = config.get("minutes_per_job", packing.MINUTES)
    if type(MINUTES_PER_JOB) not in (int, float) or not 0 < MINUTES_PER_JOB < math.inf:
        raise InputError(
            f"--config minutes_per_job: {MINUTES_PER_JOB!r} is not a positive number"
        )
    plain(CHECKOUT)
    SUITE_FILE = plain(found(given))
    SUITE = suite.load(SUITE_FILE)
    # What the runs on each dataset depend on: code, and files of data.
    SOURCES = {
        dataset: {
            *fingerprint.evaluation_files(SUITE, dataset),
            *(
                f
                for m in methods
                for f in fingerprint.training_files(SUITE, dataset, m)
            ),
        }
        for dataset, methods in SUITE.jobs().items()
    }
    DIGESTS = {
        dataset: fingerprint.digest("", files) for dataset, files in SOURCES.items()
    }
    RESULTS = f"results/{SUITE.name}"
    require_folder(Path(RESULTS))
    suite.refuse_other_file(SUITE_FILE, SUITE, Path(RESULTS))
except (InputError, OSError) as error:
    print(explanation(error) or error, file=sys.stderr)
    sys.exit(2)
RUNS = f"{RESULTS}/runs"
OUTPUTS = outputs(SUITE, Path(RESULTS))
# Jobs call `ebm-bench`, which is installed beside this Python, whether it is activated or not.
PROGRAMS = Path(sys.executable).parent
# They end with this process, also when that is killed.
QUOTED = shlex.quote(str(PROGRAMS)).replace("{", "{{").replace("}", "}}")
shell.prefix(
    f"set -euo pipefail; PATH={QUOTED}:$PATH; export {processes.WORKFLOW}=$PPID; "
)
# Snakemake chooses the executor after it has read this; `workflow.local_exec` is always true here.
CLUSTER = workflow.remote_exec or "cluster" in workflow.global_resources
DEFAULTS = workflow.resource_settings.default_resources or {}
GPUS = "gpu" in workflow.global_resources or "gpu" in DEFAULTS
# Jobs share the memory of a machine as they share its cores; `--resources mem_mb=N` limits it.
if not CLUSTER and "mem_mb" not in workflow.global_resources:
    MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    workflow.register_resource("mem_mb", MEMORY // 10**6)
MEMORY_OF_RUN = 3000  # MB
# On a cluster, before a run that takes too much memory is given up: `retries` of profiles/slurm.
ATTEMPTS = 2
CORES_OF_JOB = workflow.resource_settings.max_threads or 8  # on a cluster
if CLUSTER and not workflow.remote_exec:
    if len(str(PROGRAMS).split()) > 1:
        # Which Slurm's plugin does not quote: jobs would end at once.
        print(
            f"{PROGRAMS}: a space in the path of the environment, which jobs of a cluster do not"
            " find; install into another folder",
            file=sys.stderr,
        )
        sys.exit(2)
    partition = DEFAULTS.get("slurm_partition")
    # Given as an expression: a name in quotes is itself, without them.
    partition = partition and str(partition.raw).strip("'\"")
    LONGEST, LARGEST, CORES_OF_JOB = slurm.limits(
        partition, CORES_OF_JOB, MEMORY_OF_RUN
    )
    # Jobs read this file, too, where there may be no sinfo.
    os.environ.update(EBM_BENCH_NODE_MEMORY=str(LARGEST))
else:
    LONGEST = math.inf
    LARGEST = float(os.environ.get("EBM_BENCH_NODE_MEMORY", math.inf))
if CLUSTER:
    # Snakemake passes it on to jobs.
    workflow.resource_settings.max_threads = CORES_OF_JOB
    # A job may have more than the machine that submits it.
    workflow.register_resource("_cores", max(workflow.cores, CORES_OF_JOB))


def digest(texts):
    """Digest texts: Snakemake keeps parameters with each output, and thousands would fill disks."""
    return fingerprint.digest("\n".join(texts), [])


# Files of runs that are asked for by name.
ASKED = {os.path.relpath(word) for word in sys.argv[1:] if word}


def files_of(run):
    """Files of a run, (dataset, method), that Snakemake looks at: one, if all are there or none.

    It searches all outputs of a job for each file that it looks at.
    """
    folder = f"{RUNS}/{run[0]}/{run[1]}"
    files = [f"{folder}/{name}" for name in (*tasks.TRAINED, *tasks.EVALUATED)]
    shown = f"{folder}/{tasks.EVALUATED[0]}"
    done = os.path.exists(shown)
    lost = {file for file in files if done and not os.path.exists(file)}
    return [shown, *(f for f in files if f != shown and f in lost | ASKED)]


def at_once(runs):
    """Number of runs that a job has at once, each with a core and memory of its own."""
    if GPUS:
        return 1
    if CLUSTER:
        return min(runs, CORES_OF_JOB)
    memory = workflow.global_resources["mem_mb"].value // MEMORY_OF_RUN
    return max(1, min(runs, workflow.cores, memory))


def memory(wildcards, threads, attempt):
    """Memory of a job in MB, by the number of runs at once; more where that was not enough.

    An attempt that asks for more than any node has would be refused.
    """
    first = MEMORY_OF_RUN * threads
    return int(max(first, min(first * attempt, LARGEST)))


def allowed(wildcards, threads, attempt):
    """Memory of a run in MB, at which it ends with a status in a job that is the last; else 0."""
    last = CLUSTER and attempt > ATTEMPTS
    return int(0.9 * memory(wildcards, threads, attempt) / threads) if last else 0


def limited(minutes):
    """Time limit of a job in minutes; longer where that was not enough."""
    return lambda wildcards, attempt: int(min(math.ceil(minutes * attempt), LONGEST))


def described(path, category):
    """Describe a file for `snakemake --report`, by a word that begins or ends its name."""
    words = sorted(file.stem for file in (CHECKOUT / "workflow/report").glob("*.rst"))
    fitting = (w for w in words if path.stem.startswith(w) or path.stem.endswith(w))
    kind = next(fitting, category)
    return {
        "caption": f"../report/{kind}.rst",
        "category": category.title(),
        "labels": {"name": path.stem, "format": path.suffix[1:]},
    }


BROKEN = {}


def loaded(load, path):
    """Load the file of a study, or keep the reason why it cannot be loaded."""
    try:
        return load(path)
    except InputError as error:
        BROKEN[path] = error


def refuse(*paths):
    """Make an input that ends Snakemake, with these reasons, once its rule is asked for."""

    def stop(wildcards):
        print(*(BROKEN[path] for path in paths), sep="\n", file=sys.stderr)
        sys.exit(2)

    return stop


onstart:
    # In place of Snakemake's own lock, which would outlive a killed process.
    global LOCK
    try:
        LOCK = leases.lock(Path(RESULTS))
        suite.keep_file(SUITE_FILE, Path(RESULTS))
        if CLUSTER:
            packing.write(PACKED, PACKING_KEY, PACKING)
        if asking := getattr(workflow.executor_settings, "status_command", None):
            slurm.require_states(asking)
    except (InputError, OSError) as error:
        print(explanation(error) or error, file=sys.stderr)
        sys.exit(2)


onerror:
    for path in log if CLUSTER else []:
        with suppress(OSError):
            text = Path(path).read_text(encoding="utf-8", errors="replace")
            for failure in slurm.failures(text):
                print(failure, file=sys.stderr)
    program = shlex.quote(str(PROGRAMS / "ebm-bench"))
    options = f"--suite {shlex.quote(SUITE_FILE)} --results {RESULTS}"
    print(
        "Some jobs failed. Run again to go on, or report what is there:\n"
        f"  {program} collect {options}\n"
        f"  {program} report {options}",
        file=sys.stderr,  # which can write every letter, in any locale
    )
