"""Studies, apart from the suite: a broken file of one stops those who ask for it, and no others."""

from ebm_bench.studies.estimation import suite as estimation_suite
from ebm_bench.studies.papers import suite as papers_suite
from ebm_bench.studies.stress import suite as stress_suite

STRESS_FILE = found("benchmarks/stress.yaml")
ESTIMATION_FILE = found("benchmarks/estimation.yaml")

# By name, which is that of the file.
PAPER_FILES = {
    path.stem: str(path)
    for path in sorted(Path(found("benchmarks/papers")).glob("*.yaml"))
}

STRESS = loaded("stress", stress_suite.load, STRESS_FILE)
ESTIMATION = loaded("estimation", estimation_suite.load, ESTIMATION_FILE)
PAPERS = loaded("papers", papers_suite.load_all, list(PAPER_FILES.values()))

if STRESS:

    include: "stress.smk"

else:

    rule stress:
        input:
            refuse("stress"),


if ESTIMATION:

    include: "estimation.smk"

else:

    rule estimation:
        input:
            refuse("estimation"),


if PAPERS:

    include: "papers.smk"

else:

    rule papers:
        input:
            refuse("papers"),

    rule paper:
        input:
            refuse("papers"),
        output:
            "results/papers/{paper}/values.parquet",
