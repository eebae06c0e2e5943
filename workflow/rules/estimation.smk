"""Estimate known parameters: a job for each model and method, then the comparison with theory."""

from ebm_bench.report.files import estimation_outputs

ESTIMATES = f"results/{ESTIMATION.name}"
JOBS = [(model, method) for model in ESTIMATION.models for method in ESTIMATION.methods]
COMPARISON_CODE = fingerprint.files([], "studies/estimation/report.py")


localrules:
    estimation,


for model, method in JOBS:

    rule:
        name:
            # No name has an @: names joined by it are as different as what they are of.
            f"estimate_{model}@{method}"
        input:
            suite=ancient(ESTIMATION_FILE),
            sources=code_of(ESTIMATION.files(model, method)),
        output:
            f"{ESTIMATES}/runs/{model}/{method}/estimates.parquet",
            f"{ESTIMATES}/runs/{model}/{method}/record.json",
        log:
            f"{ESTIMATES}/logs/{model}/{method}.log",
        benchmark:
            f"{ESTIMATES}/benchmarks/{model}/{method}.tsv"
        # The largest models take longest: begun first, they leave no core idle at the end.
        priority: ESTIMATION.work(model, method)
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=memory,
            runtime=limited(60),
            # Models this small are faster on a CPU.
            gpu=0,
        params:
            model=model,
            method=method,
            slice=ESTIMATION.slices(model, method),
            code=fingerprint.digest("", ESTIMATION.files(model, method)),
            out=subpath(output[0], ancestor=3),
        message:
            f"estimate the parameters of {model} by {method}"
        shell:
            "ebm-bench estimate --suite {input.suite:q} --model {params.model:q}"
            " --method {params.method:q} --out {params.out:q} --threads {threads} >{log:q} 2>&1"


rule estimation:
    input:
        expand(
            "{folder}/{file}",
            folder=[f"{ESTIMATES}/runs/{model}/{method}" for model, method in JOBS],
            file=["estimates.parquet", "record.json"],
        ),
        suite=ESTIMATION_FILE,
        extended=relative(yaml_files.extended(ESTIMATION_FILE)),
        code=relative(COMPARISON_CODE),
    output:
        **{
            kind: [report(path, **described(path, kind)) for path in paths]
            for kind, paths in estimation_outputs(ESTIMATES).items()
        },
    log:
        f"{ESTIMATES}/logs/compare.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=0,
    params:
        results=subpath(output[0], ancestor=2),
    message:
        "compare the estimates with theory"
    shell:
        "ebm-bench compare --suite {input.suite:q} --results {params.results:q} 2>{log:q}"
