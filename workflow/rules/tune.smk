"""Tune: `snakemake tune`, apart from the benchmark, writes the values that suites use.

A job for each dataset, as for training. Finished trials are kept beside the outputs, so that a
job that was stopped continues.
"""

# Tuning starts from the suite's own values, whatever was tuned before.
UNTUNED = suite.load(SUITE_FILE, tuned=False) if SUITE.tuned else SUITE
TRIALS = f"{RESULTS}/tuning"


localrules:
    tune,


rule tune:
    input:
        [
            f"{TRIALS}/{dataset}/{method}.json"
            for dataset, methods in UNTUNED.tuning_jobs().items()
            for method in methods
        ],
        suite=ancient(SUITE_FILE),
    output:
        # Kept until the new values are there: the suite may be reading them.
        update(*relative([suite.tuned_file(SUITE_FILE, UNTUNED)])),
    log:
        f"{RESULTS}/logs/tune.log",
    conda:
        "../../environment.yml"
    params:
        serving=UNTUNED.tuned_on,
        out=TRIALS,
    message:
        "choose among the trials"
    shell:
        "ebm-bench tune --suite {input.suite:q} --out {params.out:q} 2>&1 | tee {log:q} >&2"


for dataset, methods in UNTUNED.tuning_jobs().items():
    criterion = UNTUNED.criterion_of(dataset)
    sources = {
        path
        for method in methods
        for path in fingerprint.tuning_files(UNTUNED, dataset, method)
    }

    rule:
        name:
            f"tune_{dataset}"
        input:
            suite=ancient(SUITE_FILE),
            sources=code_of(sources),
            data=STAMPS.get(dataset, []),
        output:
            expand(f"{TRIALS}/{dataset}/{{method}}.json", method=methods),
        log:
            f"{RESULTS}/logs/tune_{dataset}.log",
        conda:
            "../../environment.yml"
        threads: at_once(len(methods))
        resources:
            mem_mb=memory,
            runtime=limited(
                10
                + math.ceil(len(methods) / at_once(len(methods)))
                * UNTUNED.tuning.trials
                * UNTUNED.datasets[dataset].budget.seconds
                / 60
            ),
        params:
            dataset=dataset,
            code=fingerprint.digest("", sources),
            criterion=criterion.model_dump_json(),
            searches=digest(
                f"{UNTUNED.training_slice(dataset, method)}"
                f" {UNTUNED.search_of(dataset, method).settings}"
                for method in methods
            ),
            tuning=UNTUNED.tuning.model_dump_json(exclude={"datasets"}),
            out=TRIALS,
        message:
            f"tune {len(methods)} methods on {dataset}"
        shell:
            "ebm-bench tune --suite {input.suite:q} --dataset {params.dataset:q}"
            " --out {params.out:q} --jobs {threads} 2>{log:q}"
