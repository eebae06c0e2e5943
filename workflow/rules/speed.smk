"""Measure how fast training steps are: `snakemake speed`, apart from the benchmark."""

from benchmarks.speed import code as speed_code

MEASURED = Path("results/speed")


localrules:
    speed,


rule speed:
    input:
        relative(speed_code.files()),
    output:
        # The record beside them stays when a job is interrupted, and the next one goes on.
        expand("{folder}/table.{ending}", folder=MEASURED, ending=["md", "csv", "tex"]),
        expand(
            "{folder}/{kind}.{ending}",
            folder=MEASURED,
            kind=["cost", "memory"],
            ending=["png", "pdf"],
        ),
    log:
        f"{MEASURED}/speed.log",
    conda:
        "../../environment.yml"
    # Other jobs would change the timings.
    threads: min(workflow.cores, os.cpu_count() or 1)
    resources:
        mem_mb=10000,
        # What it measures are processors.
        gpu=0,
    params:
        checkout=CHECKOUT,
        out=subpath(output[0], parent=True),
    message:
        "measure training steps beside the published way and other libraries"
    shell:
        "PYTHONPATH={params.checkout:q}:${{PYTHONPATH:-}} python -m benchmarks.speed --out {params.out:q} 2>&1 | tee {log:q} >&2"
