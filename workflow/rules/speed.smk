"""Measure how fast training steps are: `snakemake speed`, apart from the benchmark."""

MEASURED = Path("results/speed")
PACKAGE = Path(ebm_bench.__file__).parent
SPEED_CODE = [
    *PACKAGE.glob("derivatives/*.py"),
    *PACKAGE.glob("optim/*.py"),
    *PACKAGE.glob("nn/*.py"),
    *PACKAGE.glob("energies/*.py"),
    *PACKAGE.glob("objectives/*.py"),
    *Path("benchmarks/speed").glob("*.py"),
]


localrules:
    speed,


rule speed:
    input:
        sorted(map(os.path.relpath, SPEED_CODE)),
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
    # Beside other jobs the timings would tell of them.
    threads: workflow.cores
    resources:
        mem_mb=10000,
        # What it measures are processors.
        gpu=0,
    params:
        out=subpath(output[0], parent=True),
    message:
        "measure training steps beside the published way and other libraries"
    shell:
        "python -m benchmarks.speed --out {params.out} 2>&1 | tee {log} >&2"
