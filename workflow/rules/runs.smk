"""Train and evaluate: a job for each dataset, with several of its methods at once.

The grid is known, so that each dataset is a rule of its own; a wildcard would need outputs that
depend on it. A job runs when anything changes that one of its runs depends on; the command
itself repeats only the runs, and of these only the stages, that the change concerns.
"""

for dataset, methods in SUITE.jobs().items():

    rule:
        name:
            f"run_{dataset}"
        input:
            suite=ancient(SUITE_FILE),
            # Of data only the digest counts: there can be many files, of any name.
            sources=relative(f for f in SOURCES[dataset] if f.suffix == ".py"),
            # Image sets are compared with each other, as out-of-distribution data.
            data=(
                STAMPS.values()
                if dataset in STAMPS or "ood_auroc" in SUITE.datasets[dataset].metrics
                else []
            ),
        output:
            expand(f"{RUNS}/{dataset}/{{method}}/{{file}}", method=methods, file=FILES),
        log:
            f"{RESULTS}/logs/run_{dataset}.log",
        # Images take longest: started first, they leave no core idle at the end.
        priority: len(methods) + 10 * (dataset in STAMPS)
        conda:
            "../../environment.yml"
        threads: at_once(len(methods))
        resources:
            mem_mb=memory,
            runtime=minutes(
                len(methods), SUITE.datasets[dataset].budget.seconds / 60 + 20
            ),
        params:
            dataset=dataset,
            # Times of files can be older than outputs: moved and unpacked files keep theirs.
            code=DIGESTS[dataset],
            slices=[SUITE.training_slice(dataset, method) for method in methods]
            + [SUITE.evaluation_slice(dataset)],
            out=subpath(output[0], ancestor=3),
        message:
            f"train and evaluate {len(methods)} methods on {dataset}"
        shell:
            "ebm-bench train --evaluate --suite {input.suite:q} --dataset {params.dataset:q}"
            " --out {params.out:q} --jobs {threads} 2>{log:q}"
