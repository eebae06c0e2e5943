"""Tune: `snakemake tune`, apart from the benchmark, writes the values that suites use.

As for training, the methods of one objective on one dataset share a process. Trials that are
done are kept beside the outputs, so that a job that was stopped goes on.
"""

# Tuning begins at the suite's own values, whatever was tuned before.
UNTUNED = suite.load(SUITE_FILE, tuned=False)
TRIALS = f"{RESULTS}/tuning"


localrules:
    tune,


rule tune:
    input:
        [
            f"{TRIALS}/{dataset}/{method}.json"
            for dataset, objective in UNTUNED.tuning_jobs()
            for method in UNTUNED.methods_of(dataset, objective)
        ],
        suite=ancient(SUITE_FILE),
    output:
        # Kept until the new values are there: the suite may be reading them.
        update(os.path.relpath(suite.tuned_file(SUITE_FILE, UNTUNED))),
    log:
        f"{RESULTS}/logs/tune.log",
    conda:
        "../../environment.yml"
    params:
        serving=UNTUNED.tuning.datasets if UNTUNED.tuning else {},
        out=TRIALS,
    message:
        "choose among the trials"
    shell:
        "ebm-bench tune --suite {input.suite} --out {params.out} 2>&1 | tee {log} >&2"


for dataset, objective in UNTUNED.tuning_jobs():
    methods = UNTUNED.methods_of(dataset, objective)
    criterion = UNTUNED.criterion_of(dataset)
    sources = {
        path
        for method in methods
        for path in fingerprint.tuning_files(UNTUNED, dataset, method)
    }

    rule:
        name:
            f"tune_{dataset}_{objective}"
        input:
            suite=ancient(SUITE_FILE),
            sources=sorted(map(os.path.relpath, sources)),
            data=STAMPS.get(dataset, []),
        output:
            expand(f"{TRIALS}/{dataset}/{{method}}.json", method=methods),
        log:
            f"{RESULTS}/logs/tune_{dataset}_{objective}.log",
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=3000,
            runtime=round(
                10
                + len(methods)
                * UNTUNED.tuning.trials
                * UNTUNED.datasets[dataset].budget.seconds
                / 60
            ),
        params:
            dataset=dataset,
            methods=expand("--method {method}", method=methods),
            criterion=criterion.model_dump_json(),
            searches=[
                [UNTUNED.training_slice(dataset, method)]
                + [
                    values.model_dump_json()
                    for values in UNTUNED.search_of(dataset, method)
                ]
                for method in methods
            ],
            spent=[UNTUNED.tuning.steps, UNTUNED.tuning.replicates],
            out=TRIALS,
        message:
            f"tune {', '.join(methods)} on {dataset}"
        shell:
            "ebm-bench tune --suite {input.suite} --dataset {params.dataset} {params.methods}"
            " --out {params.out} --threads {threads} >{log} 2>&1"
