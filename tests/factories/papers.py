"""Papers with made-up values."""

import pandas as pd

from ebm_bench.studies.papers.suite import Paper
from factories.suites import toy

KL = "kl_divergence"
DATASET = toy(
    energy={"name": "mlp", "settings": {"width": 4, "depth": 1}},
    replicates=4,
    budget={"steps": 2, "batch_size": 8, "fit_samples": 20},
    metrics={KL: {}, "negative_log_likelihood": {}},
    rank_by=KL,
    curve=KL,
)
CLAIM = {"claim": "a is better", "published": "0.1 and 1", "ratio": ["a", "b"], "below": 1}


def content(*claims, datasets=("two_moons",), **changes):
    """Content of the file of a paper that compares methods a and b."""
    return {
        "kind": "paper",
        "name": "made_up",
        "version": 1,
        "title": "Made up",
        "paper": {"citation": "A, B and C, 2020", "arxiv": "2001.00001"},
        "suite": {
            "datasets": {name: DATASET for name in datasets},
            "methods": {
                "a": {"objective": "denoising_score_matching"},
                "b": {"objective": "noise_contrastive"},
            },
        },
        "claims": list(claims) or [CLAIM],
        **changes,
    }


def varied(*claims, **changes):
    """The same with a knob, the width of the noise of a."""
    made = content(*claims, **changes)
    method = {"objective": "denoising_score_matching", "settings": {"sigma": "$knob"}}
    methods = {**made["suite"]["methods"], "a": method}
    return {
        **made,
        "knob": {"label": "σ", "values": [0.1, 1, 10], "scale": "log"},
        "suite": {**made["suite"], "methods": methods},
    }


def make_paper(*claims, **changes):
    return Paper.model_validate(content(*claims, **changes))


def make_varied(*claims, **changes):
    return Paper.model_validate(varied(*claims, **changes))


def values(numbers, dataset="two_moons", metric=KL, model="energy", knob=float("nan")):
    """A table of the values of methods, by name; None is a replicate that diverged."""
    return pd.DataFrame(
        {
            "dataset": dataset,
            "method": method,
            "model": model,
            "metric": metric,
            "replicate": replicate,
            "status": "diverged" if value is None else "ok",
            "value": float("nan") if value is None else value,
            "standard_error": float("nan"),
            "knob": knob,
        }
        for method, own in numbers.items()
        for replicate, value in enumerate(own)
    )
