"""A copy of the repository's workflow, in which files may be changed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from factories import forks

REPOSITORY = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "profiles", "benchmarks", "ebm_bench", "environment.yml")

# A suite of two jobs, and the jobs that follow them.
_TOY = {
    "energy": {"name": "mlp"},
    "budget": {"steps": 10},
    "sampler": {"name": "hmc"},
    "metrics": {"hyvarinen_score": {}, "denoising_error": {}},
    "rank_by": "hyvarinen_score",
    "curve": "hyvarinen_score",
}

SUITE = {
    "name": "small",
    "version": 1,
    "datasets": {"two_moons": _TOY, "mnist": {**_TOY, "energy": {"name": "conv"}}},
    "methods": {
        "dsm-0.1": {"objective": "denoising_score_matching", "settings": {"sigma": 0.1}},
        "dsm-0.2": {"objective": "denoising_score_matching", "settings": {"sigma": 0.2}},
        "nce": {"objective": "noise_contrastive", "settings": {"noise": "gaussian"}},
        "cd": {"objective": "contrastive_divergence"},
    },
}

END = {"collect", "report", "all"}
RUNS = {"run_two_moons", "run_mnist"}


class Checkout:
    """A copy of the repository, and how its workflow is run."""

    def __init__(self, folder, environment="an environment"):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            source = REPOSITORY / part
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / part)
        # The copy's own code, and the environment the tests run in, under a name with a space.
        (folder / environment).symlink_to(sys.prefix)
        self.python = folder / environment / Path(sys.executable).relative_to(sys.prefix)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "OMP_NUM_THREADS": "1",
        }

    def write_suite(self, content, name="suite.yaml"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def command(self, *arguments, **config):
        """The command that runs the workflow; ``suite=None`` stands for the default suite."""
        config = {"suite": "suite.yaml", **config}
        pairs = [f"{key}={value}" for key, value in config.items() if value is not None]
        options = ["--config", *pairs] if pairs else []
        return [self.python, "-m", "snakemake", *arguments, *options]

    def snakemake(self, *arguments, **config):
        """Run the workflow, in a fork where it runs no job; the output has standard error in it."""
        python, _, *command = self.command(*arguments, **config)
        place = {"cwd": self.folder, "env": self.environment}
        if {"--dry-run", "--lint", "--touch"} & {*arguments}:
            return forks.run(*command, python=python, **place)
        return subprocess.run(
            [python, "-m", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            **place,
        )

    def planned(self, *arguments, **config):
        """Names of the jobs that a dry run schedules."""
        done = self.snakemake("--dry-run", *arguments, **config)
        assert done.returncode == 0, done.stdout
        table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", done.stdout, re.DOTALL)
        if table:
            return {line.split()[0] for line in table[1].splitlines()}
        assert "Nothing to be done" in done.stdout, done.stdout
        return set()


PROBE = """
import json
from types import SimpleNamespace
KINDS = ("run_", "stress_panel", "estimate_", "paper")
TRAINING = [r for r in workflow.rules if r.name.startswith(KINDS) and r.name != "papers"]
THIRD = {"attempt": 3, "threads": 1}
WILDCARDS = SimpleNamespace(paper=next(iter(PAPERS)))
found = {
    "limits": {name: limit.value for name, limit in workflow.global_resources.items()},
    "gpus": {
        r.name: r.resources.get("gpu").evaluate(WILDCARDS, **THIRD).value for r in workflow.rules
    },
    "threads": {rule.name: rule.resources.get("_cores").value for rule in workflow.rules},
    "outputs": {rule.name: len(rule.output) for rule in workflow.rules},
    "local": list(workflow._localrules),
    "third": {
        name: {r.name: r.resources[name].evaluate(WILDCARDS, **THIRD).value for r in TRAINING}
        for name in ("mem_mb", "runtime")
    },
}
print("FOUND", json.dumps(found), file=sys.stderr)
"""


def probe(checkout, *arguments, **config):
    """What a dry run works with.

    Limits of resources, GPUs, threads and numbers of outputs of rules, local rules,
    and what jobs of training ask for at the third attempt.
    """
    snakefile = checkout.folder / "Snakefile"
    before = snakefile.read_text()
    snakefile.write_text(before + PROBE)
    try:
        done = checkout.snakemake("--dry-run", *arguments, **config)
    finally:
        snakefile.write_text(before)
    assert done.returncode == 0, done.stdout
    return json.loads(re.search("FOUND (.*)", done.stdout)[1])
