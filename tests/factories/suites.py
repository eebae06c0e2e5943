"""A small suite whose runs take moments."""

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
