"""Unite the records; make tables, figures and the leaderboard."""

REPORT_CODE = [
    *fingerprint.files([], "report/__init__.py"),
    *Path(ebm_bench.__file__).parent.glob("report/page/templates/*"),
]


localrules:
    collect,
    report,


rule collect:
    input:
        SHOWN,
        suite=ancient(SUITE_FILE),
        code=relative(fingerprint.files([], "records/collection.py")),
    output:
        expand(
            f"{RESULTS}/records/{{table}}.{{ending}}",
            table=["runs", "values", "curves"],
            ending=["parquet", "csv"],
        ),
        f"{RESULTS}/records/suite.yaml",
    log:
        f"{RESULTS}/logs/collect.log",
    conda:
        "../../environment.yml"
    params:
        # Which methods are controls, what tuning says of its values: no run depends on it.
        suite=digest([SUITE.model_dump_json()]),
        results=subpath(output[0], ancestor=2),
    message:
        "collect the records"
    shell:
        "ebm-bench collect --suite {input.suite:q} --results {params.results:q} >{log:q} 2>&1"


rule report:
    input:
        rules.collect.output,
        suite=SUITE_FILE,
        extended=relative(yaml_files.extended(SUITE_FILE)),
        code=relative(REPORT_CODE),
    output:
        [report(path, **described(path, "tables")) for path in OUTPUTS["tables"]],
        [report(path, **described(path, "figures")) for path in OUTPUTS["figures"]],
        page=report(OUTPUTS["page"][0], **described(OUTPUTS["page"][0], "leaderboard")),
    log:
        f"{RESULTS}/logs/report.log",
    conda:
        "../../environment.yml"
    params:
        results=subpath(output.page, parent=True),
    message:
        "make tables, figures and the leaderboard"
    shell:
        "ebm-bench report --suite {input.suite:q} --results {params.results:q} >{log:q} 2>&1"
