"""Train and evaluate: many runs in a job, several of them at once.

The grid is known, so that each job is a rule of its own; a wildcard would need outputs that
depend on it. A job runs when anything changes that one of its runs depends on; the command
itself repeats only the runs, and of these only the stages, that the change concerns.
"""

# What must have been fetched; image sets are compared with each other.
DATA = {
    dataset: (
        sorted(set(STAMPS.values()))
        if "ood_auroc" in SUITE.datasets[dataset].metrics
        else [STAMPS[dataset]] if dataset in STAMPS else []
    )
    for dataset in SUITE.jobs()
}
# On one machine a job has all datasets that wait for the same data: its processes import torch
# once, and no core is idle but at its end. GPUs share the work dataset by dataset. On a cluster runs
# are packed by what they take; the jobs themselves read how they were packed.
PACKING = Path(RESULTS, ".jobs.json")
if CLUSTER:
    PACKING_KEY = packing.key(SUITE, MINUTES_PER_JOB, at_once(CORES_OF_JOB))
    PACKED = packing.read(
        PACKING, None if workflow.remote_exec else PACKING_KEY
    ) or packing.pack(
        SUITE,
        {dataset: tuple(data) for dataset, data in DATA.items()},
        Path(RUNS),
        MINUTES_PER_JOB,
        at_once(CORES_OF_JOB),
    )
else:
    together = {}
    for dataset in SUITE.jobs():
        shared = dataset if GPUS else "images" if DATA[dataset] else "vectors"
        together.setdefault(shared, []).append(dataset)
    PACKED = [packing.whole(SUITE, datasets) for datasets in together.values()]

SHOWN = []  # files of all runs
LOST = []  # one of each job with missing files

for job in PACKED:
    datasets, runs = job.datasets, job.runs(SUITE)
    files = [file for run in runs for file in files_of(run)]
    SHOWN += files
    LOST += [file for file in files if not os.path.exists(file)][:1]
    awaited = sorted({stamp for d in datasets for stamp in DATA[d]})

    rule:
        name:
            f"run_{job.name}"
        input:
            suite=ancient(SUITE_FILE),
            sources=code_of({f for d in datasets for f in SOURCES[d]}),
            data=awaited,
        output:
            files,
        log:
            f"{RESULTS}/logs/run_{job.name}.log",
        # Images take longest: started first, they leave no core idle at the end.
        priority: len(awaited)
        conda:
            "../../environment.yml"
        threads: at_once(len(runs))
        resources:
            mem_mb=memory,
            run_memory=allowed,
            runtime=limited(job.limit(at_once(len(runs)))),
        params:
            datasets=[f"--dataset={d}" for d in datasets]
            + ([f"--method={method}" for method in job.methods] if job.part else []),
            # Times of files can be older than outputs: moved and unpacked files keep theirs.
            code=digest(DIGESTS[d] for d in datasets),
            slices=digest(
                [
                    *(SUITE.training_slice(*run) for run in runs),
                    *(SUITE.evaluation_slice(d) for d in datasets),
                ]
            ),
            out=subpath(output[0], ancestor=3),
        message:
            f"train and evaluate {len(runs)} methods on {', '.join(datasets)}"
        shell:
            "ebm-bench train --evaluate --suite {input.suite:q} {params.datasets:q}"
            " --out {params.out:q} --jobs {threads} --memory {resources.run_memory:q} 2>{log:q}"
