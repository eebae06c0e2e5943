"""What the records of thousands of runs take to plan, collect and report.

``python -m benchmarks.scale`` makes up the suite and the records of 5,000 runs, trains nothing,
and times the commands on them: processor time, time that passed, peak memory, the page's size.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from ebm_bench import records, registry
from ebm_bench.records import fingerprint, provenance
from ebm_bench.suites import suite
from ebm_bench.suites.suite import Suite

STEPS, POINTS, CELLS = 1000, (0, 1, 10, 100, 750, 1000), 128
METRICS = ("kl_divergence", "negative_log_likelihood", "energy_distance")
_CHECKOUT = Path(__file__).parents[1]
_PLUGIN = '''"""Made-up datasets."""

from dataclasses import dataclass

from ebm_bench.datasets.mixtures import EightGaussians
from ebm_bench.registry import register
'''
_CLASS = '''

@register
@dataclass(eq=False, kw_only=True)
class Made{number}(EightGaussians):
    """Made-up data, number {number}."""
'''


def write_suite(folder: Path, datasets: int, methods: int, replicates: int) -> Path:
    """Write a suite with its plugin, and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = (_CLASS.format(number=number) for number in range(datasets))
    (folder / "made_up.py").write_text(_PLUGIN + "".join(classes))
    spec = {
        "energy": {"name": "mlp"},
        "replicates": replicates,
        "budget": {"steps": STEPS},
        "sampler": {"name": "langevin"},
        "metrics": {name: {} for name in METRICS},
        "rank_by": METRICS[0],
        "curve": METRICS[0],
    }
    content = {
        "kind": "leaderboard",
        "name": "scale",
        "version": 1,
        "plugins": ["made_up.py"],
        "datasets": {f"made{number}": spec for number in range(datasets)},
        "methods": {
            "gaussian": {"objective": "untrained", "energy": {"name": "quadratic"}, "control": True}
        }
        | {
            f"dsm-{number}": {
                "objective": "denoising_score_matching",
                "settings": {"sigma": number / 1000},
            }
            for number in range(1, methods)
        },
    }
    path = folder / "scale.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def write_runs(made: Suite, results: Path) -> None:
    """Write a record, an evaluation, weights and pictures of every run of a suite."""
    origin = provenance.collect("cpu")
    rng = np.random.default_rng(0)
    for dataset in made.datasets:
        for number, method in enumerate(made.methods_of(dataset)):
            folder = results / "runs" / dataset / method
            run = _run(made, dataset, method, number, origin, rng)
            records.write(run, folder / "run.json")
            records.write(_evaluation(made, run, number, rng), folder / "evaluation.json")
            (folder / "weights.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
            x, y = np.meshgrid(*[np.linspace(-4, 4, CELLS)] * 2)
            density = np.exp(-(x**2 + y**2) / (2 + 0.1 * number)).astype(np.float32)
            box = np.array([-4.0, 4.0, -4.0, 4.0])
            np.savez(folder / "pictures.npz", **{"energy.density": density, "box": box})


def _run(
    made: Suite,
    dataset: str,
    method: str,
    number: int,
    origin: records.Provenance,
    rng: np.random.Generator,
) -> records.Run:
    replicates, control = range(made.datasets[dataset].replicates), made.methods[method].control
    seconds = 0.0 if control else 10.0 + number
    return records.Run(
        suite=made.name,
        suite_version=made.version,
        dataset=dataset,
        dataset_version=1,
        method=method,
        objective=made.methods[method].objective,
        settings=made.settings_of(dataset, method),
        energy=made.energy_of(dataset, method).model_dump(),
        budget=made.budget_of(dataset, method).model_dump(),
        seed=made.seed,
        control=control,
        fingerprint=fingerprint.of_training(made, dataset, method),
        outcomes=[
            records.Outcome(replicate=r, status="ok", step=0 if control else STEPS)
            for r in replicates
        ],
        cost=records.Cost(
            setup_seconds=1.0,
            train_seconds=seconds,
            energy_evaluations=STEPS * 256,
            flops_per_step=1e6,
            peak_memory_bytes=2**28,
            parameters=10_000,
        ),
        curve=[
            records.CurvePoint(
                step=step,
                seconds=1 + seconds * step / STEPS,
                energy_evaluations=256 * step,
                replicate=r,
                metric=METRICS[0],
                value=np.exp(-step / 300) + 0.01 * number + 0.05 * rng.random(),
            )
            for step in ((0,) if control else POINTS)
            for r in replicates
        ],
        provenance=origin,
        steps="eager",
    )


def _evaluation(
    made: Suite, run: records.Run, number: int, rng: np.random.Generator
) -> records.Evaluation:
    return records.Evaluation(
        suite=made.name,
        suite_version=made.version,
        dataset=run.dataset,
        method=run.method,
        fingerprint=run.fingerprint,
        digest=fingerprint.of_evaluation(made, run.dataset, run.method),
        values=[
            records.Value(
                model="energy",
                replicate=outcome.replicate,
                metric=metric,
                metric_version=_version(metric),
                value=0.01 * number + 0.05 * rng.random(),
                standard_error=None,
                split="test",
            )
            for metric in METRICS
            for outcome in run.outcomes
        ],
        seconds=1.0,
        provenance=run.provenance,
    )


def _version(metric: str) -> int:
    return registry.describe("metrics", metric).version


def measure(command: Sequence[str | Path], folder: Path) -> tuple[float, float, float]:
    """Run a command in a folder: processor seconds, seconds, a bound on its peak memory in MB.

    The bound is not below the memory of this process, from which the other starts.
    """
    environment = os.environ | {"PYTHONPATH": str(_CHECKOUT), "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    process = subprocess.Popen([*map(str, command)], cwd=folder, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(map(str, command))}: failed")
    elapsed = time.perf_counter() - started
    return used.ru_utime + used.ru_stime, elapsed, used.ru_maxrss / 1e3


def main() -> None:
    """Make up a suite, and time the commands on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/scale"))
    parser.add_argument("--datasets", type=int, default=50)
    parser.add_argument("--methods", type=int, default=100)
    parser.add_argument("--replicates", type=int, default=5)
    chosen = parser.parse_args()
    out = chosen.out.resolve()
    path = write_suite(out, chosen.datasets, chosen.methods, chosen.replicates)
    results = out / "results" / "scale"
    started = time.process_time()
    write_runs(suite.load(path), results)
    print(f"made up in {time.process_time() - started:.0f} s", flush=True)
    programs, named = Path(sys.executable).parent, ["--suite", path, "--results", results]
    workflow = [programs / "snakemake", "-s", _CHECKOUT / "Snakefile", "--quiet", "--cores", "1"]
    dry_run = [*workflow, "--dry-run", "--config", f"suite={path}"]
    commands = {
        "dry run": dry_run,
        "collect": [programs / "ebm-bench", "collect", *named],
        "report": [programs / "ebm-bench", "report", *named],
        # As if the workflow had made all this.
        "touch": [*workflow, "--touch", "--forceall", "--config", f"suite={path}"],
        "dry run with nothing to do": dry_run,
    }
    for name, command in commands.items():
        seconds, elapsed, memory = measure(command, out)
        took = f"{seconds:.0f} s of processor time in {elapsed:.0f} s"
        print(f"{name}: {took}, {memory:.0f} MB at most", flush=True)
    size = (results / "leaderboard.html").stat().st_size
    print(f"page: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
