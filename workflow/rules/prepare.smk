"""Fetch and verify data sets; densities need no data."""

IMAGE_SETS = sorted(
    entry.name
    for entry in registry.packaged("datasets")
    if entry.kind == "image" and not entry.files
)
STAMPS = {name: f"{RESULTS}/data/{name}.json" for name in IMAGE_SETS}


localrules:
    prepare,


rule prepare:
    output:
        f"{RESULTS}/data/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/prepare_{{dataset}}.log",
    wildcard_constraints:
        dataset="|".join(IMAGE_SETS),
    # Before anything else: what waits for the data takes longest.
    priority: 100
    conda:
        "../../environment.yml"
    params:
        out=subpath(output[0], parent=True),
    message:
        "prepare {wildcards.dataset}"
    shell:
        "ebm-bench prepare --dataset {wildcards.dataset:q} --out {params.out:q} 2>&1 | tee {log:q} >&2"
