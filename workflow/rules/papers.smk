"""Published comparisons, `snakemake papers`: a job for each, then all claims.

`snakemake results/papers/NAME/values.parquet` runs one of them. With GPUs NAME-gpu stands for NAME.
"""

from ebm_bench.report.files import papers_outputs

PAPERS_RESULTS = "results/papers"
PAPERS_OUTPUTS = papers_outputs(PAPERS_RESULTS, list(PAPER_FILES))
PAPERS_VALUES = f"{PAPERS_RESULTS}/{{paper}}/values.parquet"
PAPERS_BROKEN = [
    path for path in (*PAPER_FILES.values(), PAPERS_FOLDER) if path in BROKEN
]


localrules:
    papers,


rule paper:
    input:
        suite=lambda wildcards: ancient(PAPER_FILES[wildcards.paper]),
        code=lambda wildcards: code_of(PAPERS[wildcards.paper].files()),
    output:
        PAPERS_VALUES,
    log:
        f"{PAPERS_RESULTS}/logs/paper-{{paper}}.log",
    wildcard_constraints:
        paper="|".join(map(re.escape, PAPERS)),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory,
        runtime=lambda wildcards, attempt: limited(
            20 + 3 * PAPERS[wildcards.paper].minutes
        )(wildcards, attempt),
        # Others are so small that a CPU is faster.
        gpu=lambda wildcards: int(wildcards.paper in ON_GPU),
    params:
        device=lambda wildcards: "auto" if wildcards.paper in ON_GPU else "cpu",
        slices=lambda wildcards: PAPERS[wildcards.paper].slices(),
        # Times of files can be older than outputs: moved and unpacked files keep theirs.
        code=lambda wildcards: fingerprint.digest("", PAPERS[wildcards.paper].files()),
        out=subpath(output[0], parent=True),
    message:
        "run what {wildcards.paper} compares"
    shell:
        "ebm-bench paper --suite {input.suite:q} --out {params.out:q} --device {params.device:q}"
        " --threads {threads} >{log:q} 2>&1"


if PAPERS_BROKEN:

    rule broken_paper:
        input:
            lambda wildcards: refuse(PAPER_FILES.get(wildcards.paper, PAPERS_FOLDER))(
                wildcards
            ),
        output:
            PAPERS_VALUES,
        wildcard_constraints:
            paper="|".join(re.escape(Path(path).stem) for path in PAPERS_BROKEN),


rule papers:
    input:
        (
            refuse(*PAPERS_BROKEN)
            if PAPERS_BROKEN
            else expand(PAPERS_VALUES, paper=PAPERS)
        ),
        suites=list(PAPER_FILES.values()),
        extended=relative(
            {
                file
                for name in PAPERS
                for file in yaml_files.extended(PAPER_FILES[name])
            }
        ),
        code=relative(fingerprint.files([], "studies/papers/report.py")),
    output:
        claims=report(
            PAPERS_OUTPUTS["claims"][0],
            **described(PAPERS_OUTPUTS["claims"][0], "claims"),
        ),
        figures=[
            report(path, **described(path, "papers"))
            for path in PAPERS_OUTPUTS["figures"]
        ],
    log:
        f"{PAPERS_RESULTS}/logs/claims.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=0,
    params:
        suites=[f"--suite={path}" for path in PAPER_FILES.values()],
        results=subpath(output.claims, parent=True),
    message:
        "decide the claims of papers"
    shell:
        "ebm-bench claims {params.suites:q} --results {params.results:q} 2>{log:q}"
