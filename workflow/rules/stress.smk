"""Stress tests, `snakemake stress`: a job for each panel, which repeats only what has changed."""

from ebm_bench.report.files import stress_outputs

STRESS_RESULTS = "results/stress"
STRESS_VALUES = "values.parquet"
STRESS_OUTPUTS = [str(path) for path in stress_outputs(STRESS_RESULTS)]
STRESS_TABLES = f"{STRESS_RESULTS}/panels/{{panel}}/{STRESS_VALUES}"


localrules:
    stress,
    stress_report,


rule stress:
    input:
        STRESS_OUTPUTS,
    message:
        f"the stress tests are drawn in {STRESS_OUTPUTS[0]}"


rule stress_panel:
    input:
        suite=ancient(STRESS_FILE),
        code=lambda wildcards: code_of(STRESS.files(wildcards.panel)),
    output:
        STRESS_TABLES,
    log:
        f"{STRESS_RESULTS}/logs/panels/{{panel}}.log",
    wildcard_constraints:
        panel="|".join(map(re.escape, STRESS.panels)),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory,
        runtime=limited(60),
        # Models this small are faster on a CPU.
        gpu=0,
    params:
        settings=lambda wildcards: STRESS.settings(wildcards.panel),
        # Times of files can be older than outputs: moved and unpacked files keep theirs.
        code=lambda wildcards: fingerprint.digest("", STRESS.files(wildcards.panel)),
        out=subpath(output[0], ancestor=2),
    message:
        "stress test {wildcards.panel}"
    shell:
        "ebm-bench stress --suite {input.suite:q} --panel {wildcards.panel:q} --out {params.out:q}"
        " --device cpu --threads {threads} >{log:q} 2>&1"


rule stress_report:
    input:
        expand(STRESS_TABLES, panel=STRESS.panels),
        suite=STRESS_FILE,
        extended=relative(yaml_files.extended(STRESS_FILE)),
        code=relative(fingerprint.files([], "studies/stress/report.py")),
    output:
        [
            report(path, **described(Path(path), Path(path).parent.name))
            for path in STRESS_OUTPUTS
        ],
    log:
        f"{STRESS_RESULTS}/logs/report.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=0,
    params:
        results=subpath(output[0], ancestor=2),
    message:
        "draw the stress tests"
    shell:
        "ebm-bench stress-report --suite {input.suite:q} --results {params.results:q} >{log:q} 2>&1"
