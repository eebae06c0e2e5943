"""Evaluate: a job for each job of training, after it."""

for dataset, objective in SUITE.jobs():
    methods = SUITE.methods_of(dataset, objective)
    sources = fingerprint.evaluation_files(SUITE, dataset)

    rule:
        name:
            f"evaluate_{dataset}_{objective}"
        input:
            expand(
                f"{RUNS}/{dataset}/{{method}}/{{file}}", method=methods, file=TRAINED
            ),
            suite=ancient(SUITE_FILE),
            sources=sorted(map(os.path.relpath, sources)),
            # Image sets are measured against each other, as data from elsewhere.
            data=STAMPS.values() if dataset in STAMPS else [],
        output:
            expand(
                f"{RUNS}/{dataset}/{{method}}/{{file}}", method=methods, file=EVALUATED
            ),
        log:
            f"{RESULTS}/logs/evaluate_{dataset}_{objective}.log",
        # Images take longest: begun first, they leave no core idle at the end.
        priority: len(methods) + 10 * (dataset in STAMPS)
        group:
            f"{dataset}_{objective}"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=3000,
            runtime=10 + 20 * len(methods),
        params:
            dataset=dataset,
            methods=expand("--method {method}", method=methods),
            slice=SUITE.evaluation_slice(dataset),
            out=subpath(output[0], ancestor=3),
        message:
            f"evaluate {', '.join(methods)} on {dataset}"
        shell:
            "ebm-bench evaluate --suite {input.suite} --dataset {params.dataset} {params.methods}"
            " --out {params.out} --threads {threads} >{log} 2>&1"
