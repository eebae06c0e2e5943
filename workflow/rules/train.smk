"""Train: the methods of one objective on one dataset share a process.

The grid is known, so that each (dataset, objective) is a rule of its own; a wildcard would
need outputs that depend on it. What a run depends on is what defines it, in files and in its
slice of the suite: other code and other keys may change without training it again.
"""

for dataset, objective in SUITE.jobs():
    methods = SUITE.methods_of(dataset, objective)
    sources = {
        path
        for method in methods
        for path in fingerprint.training_files(SUITE, dataset, method)
    }

    rule:
        name:
            f"train_{dataset}_{objective}"
        input:
            suite=ancient(SUITE_FILE),
            sources=sorted(map(os.path.relpath, sources)),
            data=STAMPS.get(dataset, []),
        output:
            expand(
                f"{RUNS}/{dataset}/{{method}}/{{file}}", method=methods, file=TRAINED
            ),
        log:
            f"{RESULTS}/logs/train_{dataset}_{objective}.log",
        # Images take longest: begun first, they leave no core idle at the end.
        priority: len(methods) + 10 * (dataset in STAMPS)
        group:
            f"{dataset}_{objective}"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=3000,
            runtime=round(
                10 + len(methods) * SUITE.datasets[dataset].budget.seconds / 60
            ),
        params:
            dataset=dataset,
            methods=expand("--method {method}", method=methods),
            slices=[SUITE.training_slice(dataset, method) for method in methods],
            out=subpath(output[0], ancestor=3),
        message:
            f"train {', '.join(methods)} on {dataset}"
        shell:
            "ebm-bench train --suite {input.suite} --dataset {params.dataset} {params.methods}"
            " --out {params.out} --threads {threads} >{log} 2>&1"
