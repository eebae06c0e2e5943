"""Studies, apart from the suite: a broken file of one stops those who ask for it, and no others."""

from ebm_bench.studies.estimation import suite as estimation_suite
from ebm_bench.studies.papers import suite as papers_suite
from ebm_bench.studies.stress import suite as stress_suite

STRESS_FILE = found("benchmarks/stress.yaml")
ESTIMATION_FILE = found("benchmarks/estimation.yaml")

PAPERS_FOLDER = found("benchmarks/papers")
# By name, which is that of the file. NAME-gpu.yaml is NAME.yaml for GPUs.
PAPER_FILES = {
    path.stem: str(path) for path in sorted(Path(PAPERS_FOLDER).glob("*.yaml"))
}
ON_GPU = {name for name in PAPER_FILES if name.endswith("-gpu")}
ALONE = {name for name in ON_GPU if name.removesuffix("-gpu") not in PAPER_FILES}
PAPER_FILES = {
    name: path
    for name, path in PAPER_FILES.items()
    if (f"{name}-gpu" not in ON_GPU if GPUS else name not in ON_GPU - ALONE)
}
for name in ALONE:
    BROKEN[PAPER_FILES[name]] = InputError(
        f"{PAPER_FILES[name]}: is for GPUs what {name.removesuffix('-gpu')}.yaml is for CPUs,"
        " which is not beside it; add that, or take a name that does not end in -gpu"
    )

STRESS = loaded(stress_suite.load, STRESS_FILE)
ESTIMATION = loaded(estimation_suite.load, ESTIMATION_FILE)
PAPERS = {
    name: paper
    for name, path in PAPER_FILES.items()
    if name not in ALONE and (paper := loaded(papers_suite.load_named, path))
}
if not PAPER_FILES:
    BROKEN[PAPERS_FOLDER] = InputError(f"{PAPERS_FOLDER}: has no file of a paper")

if STRESS:

    include: "stress.smk"

else:

    rule stress:
        input:
            refuse(STRESS_FILE),

    rule stress_files:
        input:
            refuse(STRESS_FILE),
        output:
            "results/stress/{file}",


if ESTIMATION:

    include: "estimation.smk"

else:

    rule estimation:
        input:
            refuse(ESTIMATION_FILE),

    rule estimation_files:
        input:
            refuse(ESTIMATION_FILE),
        output:
            "results/estimation/{file}",


include: "papers.smk"
