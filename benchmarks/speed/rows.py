"""All rows: what is compared with what, and what the project wants of it."""

from benchmarks.speed import evaluation, flow_contrastive
from benchmarks.speed.contest import Builder, Contender, Row, Target
from benchmarks.speed.peers import ebmkit, torchebm
from benchmarks.speed.problem import Problem, compiled, one_by_one, ours, plain
from benchmarks.speed.published import published
from ebm_bench.streams import Streams

EXACT, SLICED = "exact_score_matching", "sliced_score_matching"
DENOISING, CONTRASTIVE = "denoising_score_matching", "noise_contrastive"
TITLES = {
    EXACT: "exact score matching",
    SLICED: "sliced score matching",
    DENOISING: "denoising score matching",
    CONTRASTIVE: "noise-contrastive estimation",
}
# So that all libraries do the same: both terms projected; noise with independent dimensions.
SETTINGS = {SLICED: {"variance_reduced": False}, CONTRASTIVE: {"noise": "diagonal_gaussian"}}
OTHERS = {
    EXACT: {"published": published, "torchebm": torchebm, "ebmkit": ebmkit},
    SLICED: {"published": published, "torchebm": torchebm, "ebmkit": ebmkit},
    DENOISING: {"published": published, "torchebm": torchebm, "ebmkit": ebmkit},
    CONTRASTIVE: {"published": published, "ebmkit": ebmkit},
}
# The other libraries' exact loss is that loop too, and as slow.
LOOP = {"published": published}
SHORT = {EXACT: "exact", SLICED: "sliced", DENOISING: "dsm", CONTRASTIVE: "nce"}
# Points of a batch by dimension: what the published way has the memory for.
BATCH = {2: 512, 8: 512, 64: 512, 256: 512, 784: 128}


def rows() -> list[Row]:
    """List all rows in the order of the table."""
    return [
        *_exact(),
        *_single(),
        *_compiled(),
        *_images(),
        *_replicates(),
        *_flow_contrastive(),
        *_evaluation(),
    ]


def _exact() -> list[Row]:
    wanted = {2: 2.0, 8: 4.0, 64: 7.0, 256: 25.0, 784: 100.0}
    further = {
        2: [Target("torchebm", at_least=3.0)],
        784: [
            Target("torchebm", at_least=100.0),
            Target("published", at_least=300.0, quantity="peak_bytes"),
        ],
    }
    found = [
        _row(EXACT, d, [Target("published", at_least=ratio), *further.get(d, [])])
        for d, ratio in wanted.items()
    ]
    for d, ratio in {64: 4.0, 784: 9.0}.items():
        problem = Problem(EXACT, "mlp", (d,), energy_settings={"width": 512})
        found.append(
            Row(
                f"exact-{d}-wide",
                f"{TITLES[EXACT]}, MLP {d}-512-512-1",
                _contenders(problem, LOOP),
                (Target("published", at_least=ratio),),
                batch=BATCH[d],
            )
        )
    return found


def _single() -> list[Row]:
    least = {SLICED: 1.5, DENOISING: 1.0, CONTRASTIVE: 1.0}
    return [
        _row(objective, d, [Target(other, at_least=ratio) for other in OTHERS[objective]])
        for objective, ratio in least.items()
        for d in (2, 64, 784)
    ]


def _compiled() -> list[Row]:
    found = []
    for objective, ratio in {EXACT: 4.5, SLICED: 3.0, DENOISING: 1.7, CONTRASTIVE: 1.2}.items():
        others = LOOP if objective == EXACT else OTHERS[objective]
        problem = _mlp(objective, 2)
        found.append(
            Row(
                f"{SHORT[objective]}-2-compiled",
                f"{TITLES[objective]}, MLP 2-128-128-1, compiled",
                {**_contenders(problem, others), "ours": compiled(problem)},
                tuple(Target(other, at_least=ratio) for other in others),
            )
        )
    return found


def _images() -> list[Row]:
    found = []
    shapes = {"28x28x1": (1, 28, 28), "32x32x3": (3, 32, 32)}
    # Where the published way still has the memory and some minutes do: it keeps the graph of
    # one double backward for each pixel.
    for (name, shape), batch, ratio in zip(shapes.items(), (8, 2), (18.0, 28.0), strict=True):
        problem = Problem(EXACT, "conv", shape)
        found.append(
            Row(
                f"exact-{name}",
                f"{TITLES[EXACT]}, three convolutions, {name}",
                _contenders(problem, LOOP),
                (Target("published", at_least=ratio),),
                batch=batch,
                check_batch=2,
                counted=False,
            )
        )
    for name, shape in shapes.items():
        found.append(
            Row(
                f"exact-{name}-64",
                f"{TITLES[EXACT]}, three convolutions, {name}, memory of a large batch",
                _contenders(Problem(EXACT, "conv", shape), {}),
                (Target("", at_most=1e9, quantity="peak_bytes"),),
                batch=64,
                check_batch=2,
                timed=False,
            )
        )
    for (name, shape), ratio in zip(shapes.items(), (1.8, 2.0), strict=True):
        problem = Problem(SLICED, "conv", shape, SETTINGS[SLICED])
        found.append(
            Row(
                f"sliced-{name}",
                f"{TITLES[SLICED]}, three convolutions, {name}",
                _contenders(problem, OTHERS[SLICED]),
                tuple(Target(other, at_least=ratio) for other in OTHERS[SLICED]),
                batch=64,
            )
        )
    return found


def _replicates() -> list[Row]:
    found = []
    for objective in (CONTRASTIVE, DENOISING, SLICED):
        problem = Problem(
            objective, "mlp", (2,), SETTINGS.get(objective, {}), {"width": 64}, replicates=5
        )
        found.append(
            Row(
                f"replicates-{SHORT[objective]}",
                f"five replicates, {TITLES[objective]}, MLP 2-64-64-1",
                {
                    "ours": ours(problem),
                    "one after another": one_by_one(problem),
                    "published": published(problem),
                },
                (Target("one after another", at_least=2.5),),
                batch=128,
            )
        )
    return found


def _flow_contrastive() -> list[Row]:
    def trained(step) -> Contender:
        latent = Streams(0, scope=("speed", "latent")).normal(len(step.x.view(-1, 2)), 2)
        return Contender(step, lambda: step.values(latent[0].to(step.x.dtype)))

    found = []
    for kind, ratio in {"affine": 2.5, "spline": 6.0}.items():
        contenders: dict[str, Builder] = {
            "ours": lambda dtype, n, kind=kind: trained(flow_contrastive.ours(kind, n, dtype)),
            "normflows": lambda dtype, n, kind=kind: trained(
                flow_contrastive.published(kind, n, dtype)
            ),
        }
        if kind == "spline":
            # Its whole layers take no weights of ours, so that there is nothing to compare.
            contenders["normflows, own layers"] = lambda dtype, n: Contender(
                flow_contrastive.published("spline", n, dtype, stock=True)
            )
        found.append(
            Row(
                f"flow-contrastive-{kind}",
                f"flow-contrastive estimation in the plane, {flow_contrastive.COUNTS[kind]} "
                f"{kind} couplings",
                contenders,
                (Target("normflows", at_least=ratio),),
            )
        )
    return found


def _evaluation() -> list[Row]:
    return [
        Row(
            name,
            case.title,
            {
                "ours": lambda dtype, n, case=case: Contender(case.ours()),
                "bare passes": lambda dtype, n, case=case: Contender(case.bound()),
            },
            (Target("bare passes", at_most=case.at_most),),
            batch=0,
            compared=False,
            counted=False,
        )
        for name, case in evaluation.cases().items()
    ]


def _mlp(objective: str, d: int) -> Problem:
    return Problem(objective, "mlp", (d,), SETTINGS.get(objective, {}))


def _row(objective: str, d: int, targets: list[Target]) -> Row:
    return Row(
        f"{SHORT[objective]}-{d}",
        f"{TITLES[objective]}, MLP {d}-128-128-1",
        _contenders(_mlp(objective, d), OTHERS[objective]),
        tuple(targets),
        batch=BATCH[d],
        curve=TITLES[objective],
        dimension=d,
    )


def _contenders(problem: Problem, others: dict) -> dict[str, Builder]:
    made = {name: build(problem) for name, build in others.items()}
    return {"ours": ours(problem), "plain": plain(problem), **made}
