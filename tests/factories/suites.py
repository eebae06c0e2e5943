"""A small suite whose runs take moments, and one that is tuned."""

import copy

from ebm_bench.suites.suite import check

METHODS = {
    "dsm": {"objective": "denoising_score_matching", "settings": {"sigma": 0.3}},
    "nce": {"objective": "noise_contrastive"},
    "pcd": {"objective": "contrastive_divergence", "settings": {"persistent": True, "steps": 2}},
    "fce": {"objective": "flow_contrastive", "settings": {"noise_settings": {"steps": 3}}},
    "gaussian": {"objective": "untrained", "energy": {"name": "quadratic"}, "control": True},
    "truth": {"objective": "untrained", "energy": {"name": "truth"}, "control": True},
}


def make_suite(replicates=2, steps=12, seconds=60.0, methods=METHODS, compute="eager", **budget):
    content = {
        "name": "test",
        "version": 1,
        "datasets": {
            "eight_gaussians": {
                "energy": {"name": "mlp", "settings": {"width": 8}},
                "replicates": replicates,
                "budget": {
                    "steps": steps,
                    "batch_size": 16,
                    "fit_samples": 100,
                    "seconds": seconds,
                    **budget,
                },
                "sampler": {"name": "langevin", "settings": {"steps": 2}},
                "metrics": {"hyvarinen_score": {}},
                "rank_by": "hyvarinen_score",
                "curve": "hyvarinen_score",
                "curve_points": 4,
                "compute": compute,
            }
        },
        "methods": methods,
    }
    return check(content, "test")


_TOY = {
    "energy": {"name": "mlp"},
    "budget": {"steps": 10, "learning_rate": 0.1},
    "sampler": {"name": "langevin"},
    "metrics": {"hyvarinen_score": {"points": 77}},
    "rank_by": "hyvarinen_score",
    "curve": "hyvarinen_score",
}
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
    content = copy.deepcopy(content)
    node = content
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = to
    return content
