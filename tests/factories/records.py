"""Records of small made-up runs."""

import json

import numpy as np

from ebm_bench import records

PROVENANCE = dict.fromkeys(
    ("version", "commit", "lock", "python", "torch", "device", "machine", "date"), "x"
) | {"dirty": False, "threads": 1}
# What differs between runs of the same numbers.
COSTS = {
    *("seconds", "setup_seconds", "train_seconds", "peak_memory_bytes", "segments", "provenance")
}


def make_run(method="dsm", dataset="two_moons", suite_version=1, dataset_version=1):
    return records.Run(
        suite="small",
        suite_version=suite_version,
        dataset=dataset,
        dataset_version=dataset_version,
        method=method,
        objective="denoising_score_matching",
        settings={"sigma": 0.1},
        energy={"name": "mlp", "settings": {}},
        budget={"steps": 10},
        seed=0,
        control=False,
        fingerprint="f",
        outcomes=[
            records.Outcome(replicate=0, status="ok", step=10),
            records.Outcome(replicate=1, status="diverged", step=4),
        ],
        cost=records.Cost(
            setup_seconds=0.5,
            train_seconds=2.0,
            energy_evaluations=100,
            flops_per_step=1e3,
            peak_memory_bytes=1000,
            parameters=10,
        ),
        curve=[
            records.CurvePoint(
                step=10, seconds=1.0, energy_evaluations=10, replicate=0, metric="kl", value=0.1
            )
        ],
        provenance=PROVENANCE,
    )


def make_evaluation(method="dsm", metric_version=1, value=0.1, fingerprint="f"):
    values = [
        records.Value(
            model="energy",
            replicate=replicate,
            metric="kl",
            metric_version=metric_version,
            value=number,
            standard_error=None,
            split="test",
        )
        for replicate, number in enumerate((value, None))
    ]
    return records.Evaluation(
        suite="small",
        suite_version=1,
        dataset="two_moons",
        method=method,
        fingerprint=fingerprint,
        values=values,
        seconds=1.0,
        provenance=PROVENANCE,
    )


def leave(folder, run, evaluation=None):
    records.write(run, folder / "run.json")
    if evaluation:
        records.write(evaluation, folder / "evaluation.json")
    return folder


def numbers(folder):
    """All that a run left, without what it cost."""

    def without_costs(content):
        if isinstance(content, dict):
            return {k: without_costs(v) for k, v in content.items() if k not in COSTS}
        return [without_costs(v) for v in content] if isinstance(content, list) else content

    records = {
        name: without_costs(json.loads((folder / name).read_text(encoding="utf-8")))
        for name in ("run.json", "evaluation.json")
    }
    pictures = {k: v.tobytes() for k, v in np.load(folder / "pictures.npz").items()}
    return {**records, "weights": (folder / "weights.safetensors").read_bytes(), **pictures}
