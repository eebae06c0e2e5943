"""A results folder of a small suite, made up so that the right conclusions are known."""

from pathlib import Path

import numpy as np

from ebm_bench import records, registry
from ebm_bench.records import collection
from ebm_bench.registry.entries import FAMILIES
from ebm_bench.suites.suite import Suite

REPLICATES = 6
PROVENANCE = {
    "version": "0.1.0",
    "commit": "0123456789ab",
    "dirty": False,
    "lock": "abcdef012345",
    "python": "3.11.2",
    "torch": "2.9.0",
    "device": "cpu",
    "threads": 1,
    "machine": "A processor",
    "date": "2025-01-01T00:00:00+00:00",
}
# Mean of the ranking metric, and the seconds of training, by dataset and model.
KL = {
    ("truth", "energy"): (0.0001, 0.0),
    ("gaussian_fit", "energy"): (1.9, 0.0),
    ("winner", "energy"): (0.02, 30.0),
    ("equal", "energy"): (0.02, 60.0),
    ("slow_100", "energy"): (0.4, 120.0),
    ("slow_100", "flow"): (0.3, 120.0),
    ("unlucky", "energy"): (0.05, 15.0),
}
OBJECTIVES = {"slow_100": "guessing", "gaussian_fit": "waiting"}  # all others are fitted
FAILED = {"unlucky": (1, 4)}  # replicates that diverge


DOCSTRING = """The {} & its <first> line.

More of ``it``, over
two lines.

Parameters
----------
points : int
    Not to be shown.

References
----------
Somebody, "A paper", 2020, arXiv:2004.05675.
"""


# Attributes that a base class would set.
DEFAULTS = {
    "datasets": {"version": 1, "licence": "", "citation": "", "knows": (), "files": (),
                 "downloads": ""},
    "energies": {"rough": {}, "rough_for": (), "normalised": False, "needs": (),
                 "levels": False},
    "objectives": {"requires": (), "trains": True, "samples_model": False, "search": {}},
    "metrics": {"version": 1, "requires": (), "unit": "", "higher_is_better": False,
                "lower_bound": False, "scale": "linear"},
}  # fmt: skip


def _entry(family, name, settings=None, **attributes):
    return FAMILIES[family].entry(
        family=family,
        name=name,
        path=Path(__file__),
        class_name="Made",
        docstring=DOCSTRING.format(name.replace("_", " ")),
        settings=settings or {},
        **{**DEFAULTS.get(family, {}), **attributes},
    )


def make_up_names(monkeypatch):
    """Register the names of a made-up benchmark, so that no other family matters here."""
    density = ("log_prob",)
    families = {
        "datasets": [
            _entry("datasets", "plane", kind="toy", knows=density),
            _entry("datasets", "space", {"dimension": (int, 5)}, kind="toy", knows=density),
            _entry("datasets", "pixels", kind="image"),
        ],
        "energies": [_entry("energies", "net")],
        "noise": [],
        "samplers": [_entry("samplers", "walk", {"steps": (int, 7)})],
        "objectives": [
            _entry("objectives", "fitting", {"rate": (float, 0.5)}, kind="score matching"),
            _entry("objectives", "guessing", {"rate": (float, 0.5)}, kind="noise contrastive"),
            _entry("objectives", "waiting", {"rate": (float, 0.5)}, kind="none", trains=False),
        ],
        "metrics": [
            _entry("metrics", "kl", unit="nats", label="KL", scale="log"),
            _entry("metrics", "auroc", label="AUROC", higher_is_better=True),
            _entry("metrics", "hyvarinen", unit="nats", label="Hyvärinen score"),
            _entry("metrics", "bits", label="bits", lower_bound=True),
            _entry("metrics", "log_z_error", label="log Z error", requires=("learned_log_z",)),
        ],
    }
    tables = {family: {e.name: e for e in found} for family, found in families.items()}
    monkeypatch.setattr(registry, "entries", lambda family: tables[family])


def make_suite(replicates=REPLICATES, **methods):
    """A suite on a toy density and on images; methods are given as control or not."""
    common = {
        "energy": {"name": "net"},
        "sampler": {"name": "walk"},
        "replicates": replicates,
        "budget": {"steps": 1000, "seconds": 60},
    }
    methods = methods or {
        "truth": True,
        "gaussian_fit": True,
        "winner": False,
        "equal": False,
        "slow_100": False,
        "unlucky": False,
    }
    return Suite(
        name="small",
        version=2,
        title="A small <suite> & its results",
        datasets={
            "plane": {**common, "metrics": {"auroc": {}, "kl": {}}, "rank_by": "kl", "curve": "kl"},
            "pixels": {
                **common,
                "metrics": {"hyvarinen": {}, "auroc": {}},
                "rank_by": "auroc",
                "curve": "hyvarinen",
            },
        },
        methods={
            name: {"objective": OBJECTIVES.get(name, "fitting"), "control": control}
            for name, control in methods.items()
        },
    )


def make_run(suite, dataset, method, outcomes, seconds, curve):
    spec = suite.methods[method]
    return records.Run(
        suite=suite.name,
        suite_version=suite.version,
        dataset=dataset,
        dataset_version=1,
        method=method,
        objective=spec.objective,
        settings=spec.settings,
        energy=suite.energy_of(dataset, method).model_dump(),
        budget=suite.datasets[dataset].budget.model_dump(),
        seed=0,
        control=spec.control,
        fingerprint="f",
        outcomes=outcomes,
        cost=records.Cost(
            setup_seconds=1.0,
            train_seconds=seconds,
            energy_evaluations=round(seconds * 10_000),
            flops_per_step=1e6,
            peak_memory_bytes=2**28,
            parameters=8000,
        ),
        curve=curve,
        provenance=records.Provenance(**PROVENANCE),
    )


def fabricate(suite, folder):
    """Write runs, evaluations, pictures and collected records of a suite."""
    rng = np.random.default_rng(1)
    shared = 0.1 * rng.standard_normal(REPLICATES)  # luck that all methods share
    for dataset in suite.datasets:
        for method in suite.methods_of(dataset):
            _write_run(suite, folder, dataset, method, shared, rng)
    collect(suite, folder)


def collect(suite, folder):
    """Collect what runs there are, as the command does."""
    folders = sorted(p.parent for p in folder.glob("runs/*/*/run.json"))
    collection.collect(folders).write(folder / "records")


def _write_run(suite, folder, dataset, method, shared, rng):
    seconds = KL[method, "energy"][1]
    failed = FAILED.get(method, ())
    outcomes = [
        records.Outcome(replicate=r, status="diverged", step=120)
        if r in failed
        else records.Outcome(replicate=r, status="ok", step=1000 if seconds else 0)
        for r in range(REPLICATES)
    ]
    values, pictures, curve = [], {"box": np.array([-4.0, 4.0, -4.0, 4.0])}, []
    for (name, model), (mean, _) in KL.items():
        if name != method:
            continue
        draw = mean * np.exp(shared + 0.02 * rng.standard_normal(REPLICATES))
        measured = {"kl": draw, "auroc": 1 / (1 + draw), "hyvarinen": -300 + 100 * draw}
        measured["kl.gap"] = draw + 1
        for metric in [*suite.datasets[dataset].metrics, *(["kl.gap"] * (dataset == "plane"))]:
            for r in range(REPLICATES):
                value = None if r in failed else float(measured[metric][r])
                values.append(
                    records.Value(
                        model=model, replicate=r, metric=metric, metric_version=1, value=value,
                        standard_error=None, split="test",
                    )
                )  # fmt: skip
        width = 0.4 + mean
        x, y = np.meshgrid(*[np.linspace(-4, 4, 256)] * 2)
        bumps = sum(
            np.exp(-((x - 2.8 * np.cos(a)) ** 2 + (y - 2.8 * np.sin(a)) ** 2) / 2 / width**2)
            for a in np.arange(8) * np.pi / 4
        )
        pictures[f"{model}.density"] = (bumps / (8 * 2 * np.pi * width**2)).astype(np.float32)
        noise = rng.integers(0, 256, (64, 3, 16, 16), dtype=np.uint8)
        pictures[f"{model}.samples"] = pictures["data.samples"] = noise
        for step in [0, 1, 3, 10, 32, 100, 316, 1000] if seconds and model == "energy" else [0]:
            at = -300 if dataset == "pixels" else 0
            for r in range(REPLICATES):
                level = at + draw[r] + 2 * np.exp(-step / 100)
                curve.append(
                    records.CurvePoint(
                        step=step, seconds=1 + seconds * step / 1000, energy_evaluations=step,
                        replicate=r, metric=suite.datasets[dataset].curve, value=level,
                    )
                )  # fmt: skip
    out = folder / "runs" / dataset / method
    records.write(make_run(suite, dataset, method, outcomes, seconds, curve), out / "run.json")
    records.write(
        records.Evaluation(
            suite=suite.name,
            suite_version=suite.version,
            dataset=dataset,
            method=method,
            fingerprint="f",
            values=values,
            seconds=1.0,
            provenance=records.Provenance(**PROVENANCE),
        ),
        out / "evaluation.json",
    )
    kind = "density" if dataset == "plane" else "samples"
    kept = {k: v for k, v in pictures.items() if kind in k or (k == "box" and kind == "density")}
    np.savez(out / "pictures.npz", **kept)


def late(record):
    """Give the curve of a run a point at three quarters."""
    record["curve"] += [
        {**p, "step": 750, "value": 2 * p["value"]} for p in record["curve"] if p["step"] == 1000
    ]
