"""The benchmark: prepare → train and evaluate → collect → report, for one suite.

`snakemake` runs the quick suite, `snakemake --config suite=benchmarks/toy.yaml` another one,
`snakemake stress` the stress tests, `snakemake estimation` compares estimates of known
parameters with theory, and `snakemake papers` makes published comparisons again. `snakemake tune`
chooses learning rates and settings of a suite.
"""

from snakemake.utils import min_version

min_version("9.20")


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/tune.smk"
include: "workflow/rules/speed.smk"
include: "workflow/rules/studies.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        OUTPUTS.values(),
        # Named here, or a run whose repetition failed would not be missed.
        LOST,
    message:
        f"the leaderboard is {OUTPUTS['page'][0]}"
