"""Suites whose runs take moments, and one that is tuned."""

import json

from ebm_bench.suites.suite import check

CONTROL = {"objective": "untrained", "energy": {"name": "quadratic"}, "control": True}
METHODS = {
    "dsm": {"objective": "denoising_score_matching", "settings": {"sigma": 0.3}},
    "nce": {"objective": "noise_contrastive"},
    "pcd": {"objective": "contrastive_divergence", "settings": {"persistent": True, "steps": 2}},
    "fce": {"objective": "flow_contrastive", "settings": {"noise_settings": {"steps": 3}}},
    "gaussian": CONTROL,
    "truth": {"objective": "untrained", "energy": {"name": "truth"}, "control": True},
}


def few(*names):
    """Some of the methods."""
    return {name: METHODS[name] for name in names}


def toy(steps=3, width=8, **changes):
    """What a suite says of a dataset; changes stand in place of what is here."""
    return {
        "energy": {"name": "mlp", "settings": {"width": width}},
        "replicates": 2,
        "budget": {"steps": steps, "batch_size": 16, "fit_samples": 100},
        "sampler": {"name": "langevin", "settings": {"steps": 2}},
        "metrics": {"hyvarinen_score": {}},
        "rank_by": "hyvarinen_score",
        "curve": "hyvarinen_score",
        "curve_points": 2,
        **changes,
    }


def describe(methods, datasets=None, name="small", **head):
    """What the file of a suite says."""
    datasets = datasets or {"two_moons": toy()}
    return {"name": name, "version": 1, **head, "datasets": datasets, "methods": methods}


def toy_panel(methods=("dsm",), **changes):
    """What a suite of stress tests says of a panel."""
    data = toy(
        settings={"dimension": 1},
        energy={"name": "quadratic", "settings": {"start_precision": 4.0}},
        budget={"steps": 3, "batch_size": 8, "fit_samples": 20},
        metrics={"sampled_kl_divergence": {"points": 50}},
        rank_by="sampled_kl_divergence",
    )
    known = {
        "dsm": {"objective": "denoising_score_matching", "settings": {"sigma": "$knob"}},
        "ml": {"objective": "maximum_likelihood"},
    }
    return {
        "title": "A failure",
        "knob": {"label": "σ", "values": [0.1, 1]},
        "theory": {"bias": {"curve": "dsm_bias_kl"}},
        "datasets": {"gaussian": data},
        "methods": {name: known[name] for name in methods},
        **changes,
    }


def make_suite(replicates=2, steps=12, seconds=60.0, methods=METHODS, compute="eager", **budget):
    data = toy(steps, replicates=replicates, curve_points=4, compute=compute)
    data["budget"] |= {"seconds": seconds, **budget}
    return check(describe(methods, {"eight_gaussians": data}, "test"), "test")


_TOY = toy(
    energy={"name": "mlp"},
    budget={"steps": 10, "learning_rate": 0.1},
    metrics={"hyvarinen_score": {"points": 77}},
)
SEARCHED = {
    "name": "small",
    "version": 1,
    "tuning": {
        "trials": 3,
        "steps": 5,
        "learning_rates": [0.001, 0.01, 0.1],
        "datasets": {"two_moons": ["pinwheel"], "ring": []},
    },
    "datasets": {name: _TOY for name in ("two_moons", "pinwheel", "banana", "ring")},
    "methods": {
        "dsm": {"objective": "denoising_score_matching"},
        "dsm-0.1": {"objective": "denoising_score_matching", "settings": {"sigma": 0.1}},
        "nce": {"objective": "noise_contrastive", "overrides": {"pinwheel": {"ratio": 3.0}}},
        "ssm": {"objective": "sliced_score_matching"},
        "cnce": {"objective": "conditional_noise_contrastive"},
        "gaussian": {"objective": "untrained", "energy": {"name": "quadratic"}},
    },
}


def changed(content, *path, to):
    """A copy of nested mappings with another value at a path."""
    content = json.loads(json.dumps(content))  # what is shared is not, in a copy
    node = content
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = to
    return content
