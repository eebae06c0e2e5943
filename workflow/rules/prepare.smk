"""Fetch and verify data sets; densities need no data."""

STAMPS = {
    entry.name: f"{RESULTS}/data/{entry.downloads}.json"
    for entry in registry.packaged("datasets")
    if entry.downloads
}


localrules:
    prepare,


rule prepare:
    output:
        f"{RESULTS}/data/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/prepare_{{dataset}}.log",
    wildcard_constraints:
        dataset="|".join(sorted({Path(stamp).stem for stamp in STAMPS.values()})),
    # Before anything else: what waits for the data takes longest.
    priority: 100
    conda:
        "../../environment.yml"
    params:
        out=subpath(output[0], parent=True),
        # What the suite does not train on is only compared with.
        optional=lambda wildcards: (
            [] if wildcards.dataset in SUITE.datasets else ["--optional"]
        ),
    message:
        "prepare {wildcards.dataset}"
    shell:
        "ebm-bench prepare --dataset {wildcards.dataset:q} {params.optional:q} --out {params.out:q} 2>&1 | tee {log:q} >&2"
