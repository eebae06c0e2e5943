"""All rows: contenders and targets."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from benchmarks.speed import evaluation, flow_contrastive, objectives
from benchmarks.speed.contest import Builder, Contender, Row, Target
from benchmarks.speed.peers import ebmkit, torchebm
from benchmarks.speed.problem import Problem, compiled, one_by_one, ours, plain
from benchmarks.speed.published import published

EXACT, SLICED = "exact_score_matching", "sliced_score_matching"
DENOISING, CONTRASTIVE = "denoising_score_matching", "noise_contrastive"
CHAINS = "contrastive_divergence"
TITLES = {
    EXACT: "exact score matching",
    SLICED: "sliced score matching",
    DENOISING: "denoising score matching",
    CONTRASTIVE: "noise-contrastive estimation",
    CHAINS: "contrastive divergence, ten steps",
}
SHORT = {EXACT: "exact", SLICED: "sliced", DENOISING: "dsm", CONTRASTIVE: "nce"}
# What all libraries have in common: both terms projected, noise with independent dimensions.
SETTINGS: dict[str, Mapping[str, Any]] = {
    SLICED: {"variance_reduced": False},
    CONTRASTIVE: {"noise": "diagonal_gaussian"},
    CHAINS: {"adjusted": False, "chains": 512},
}
Others = Mapping[str, Callable[[Problem], Builder]]
ALL: Others = {"published": published, "torchebm": torchebm, "ebmkit": ebmkit}
OTHERS: dict[str, Others] = {
    EXACT: ALL,
    SLICED: ALL,
    DENOISING: ALL,
    CONTRASTIVE: {"published": published, "ebmkit": ebmkit},
}
# Exact losses of the other libraries are the published loop over dimensions, and as slow.
LOOP: Others = {"published": published}
IMAGES = {"28x28x1": (1, 28, 28), "32x32x3": (3, 32, 32)}
# Batch size by dimension, limited by the memory of the published way.
BATCH = {2: 512, 8: 512, 64: 512, 256: 512, 784: 128}


def rows() -> list[Row]:
    """List all rows in the order of the table."""
    return [
        *_exact(),
        *_single(),
        *_peers(),
        *_compiled(),
        *_images(),
        *_replicates(),
        *_flow_contrastive(),
        *_evaluation(),
        *objectives.rows(),
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
        _curve(EXACT, d, [Target("published", at_least=ratio), *further.get(d, [])])
        for d, ratio in wanted.items()
    ]
    for d, ratio in {64: 4.0, 784: 9.0}.items():
        problem = Problem(EXACT, "mlp", (d,), energy_settings={"width": 512})
        title = f"{TITLES[EXACT]}, MLP {d}-512-512-1"
        target = _each(LOOP, ratio)
        found.append(_row(f"exact-{d}-wide", title, problem, LOOP, target, batch=BATCH[d]))
    return found


def _single() -> list[Row]:
    least = {SLICED: 1.5, DENOISING: 1.0, CONTRASTIVE: 1.0}
    return [
        _curve(objective, d, _each(OTHERS[objective], ratio))
        for objective, ratio in least.items()
        for d in (2, 64, 784)
    ]


def _peers() -> list[Row]:
    """Compare with the other libraries alone, in the plane."""
    both: Others = {"torchebm": torchebm, "ebmkit": ebmkit}
    chains = _problem(CHAINS, "mlp", (2,))
    kept = replace(chains, settings={**chains.settings, "persistent": True})
    title = f"{TITLES[CHAINS]}, MLP 2-128-128-1"
    return [
        _row("cd-2", title, chains, both, []),
        # Theirs start elsewhere, and draw or drop some: `tests/peers` compares the values.
        _row("pcd-2", f"persistent {title}", kept, both, [], compared=False),
    ]


def _compiled() -> list[Row]:
    found = []
    for objective, ratio in {EXACT: 4.5, SLICED: 3.0, DENOISING: 1.7, CONTRASTIVE: 1.2}.items():
        others = LOOP if objective == EXACT else OTHERS[objective]
        problem, targets = _problem(objective, "mlp", (2,)), _each(others, ratio)
        name = f"{SHORT[objective]}-2-compiled"
        title = f"{TITLES[objective]}, MLP 2-128-128-1, compiled"
        found.append(_row(name, title, problem, others, targets, first=compiled))
    return found


def _images() -> list[Row]:
    # Batches that the published way has memory for, within minutes: it keeps the graph of one
    # double backward pass per pixel.
    found = [
        _image(EXACT, name, LOOP, _each(LOOP, ratio), batch=batch, check_batch=2, counted=False)
        for name, batch, ratio in (("28x28x1", 8, 18.0), ("32x32x3", 2, 28.0))
    ]
    for name in IMAGES:
        limit = [Target("", at_most=1e9, quantity="peak_bytes")]
        row = _image(EXACT, name, {}, limit, batch=64, check_batch=2, timed=False)
        title = f"{row.title}, memory of a large batch"
        found.append(replace(row, name=f"{row.name}-64", title=title))
    for name, ratio in {"28x28x1": 1.8, "32x32x3": 2.0}.items():
        found.append(_image(SLICED, name, ALL, _each(ALL, ratio), batch=64))
    return found


def _replicates() -> list[Row]:
    found = []
    for objective in (CONTRASTIVE, DENOISING, SLICED):
        problem = _problem(objective, "mlp", (2,), energy_settings={"width": 64}, replicates=5)
        contenders = {
            "ours": ours(problem),
            "one after another": one_by_one(problem),
            "published": published(problem),
        }
        name = f"replicates-{SHORT[objective]}"
        title = f"five replicates, {TITLES[objective]}, MLP 2-64-64-1"
        target = Target("one after another", at_least=2.5)
        found.append(Row(name, title, contenders, (target,), batch=128))
    return found


def _flow_contrastive() -> list[Row]:
    found = []
    for kind, ratio in {"affine": 2.5, "spline": 6.0}.items():
        contenders = {
            "ours": flow_contrastive.ours(kind),
            "normflows": flow_contrastive.published(kind),
        }
        if kind == "spline":
            contenders["normflows, own layers"] = flow_contrastive.published(kind, stock=True)
        title = "flow-contrastive estimation in the plane, "
        title += f"{flow_contrastive.COUPLINGS[kind]} {kind} couplings"
        target = Target("normflows", at_least=ratio)
        found.append(Row(f"flow-contrastive-{kind}", title, contenders, (target,)))
    return found


def _evaluation() -> list[Row]:
    def built(make: Callable[[], evaluation.Work]) -> Builder:
        return lambda dtype, batch: Contender(make())

    found = []
    for name, (title, task, bound) in evaluation.tasks().items():
        contenders = {"ours": built(task), "bare passes": built(bound)}
        targets = (Target("bare passes", at_most=1.3),)
        found.append(Row(name, title, contenders, targets, batch=0, compared=False, counted=False))
    return found


def _problem(objective: str, energy: str, shape: tuple[int, ...], **settings: Any) -> Problem:
    return Problem(objective, energy, shape, SETTINGS.get(objective, {}), **settings)


def _curve(objective: str, d: int, targets: list[Target]) -> Row:
    """Compare all libraries on an MLP; the row is a point of a curve over the dimension."""
    name, title = f"{SHORT[objective]}-{d}", f"{TITLES[objective]}, MLP {d}-128-128-1"
    problem, others = _problem(objective, "mlp", (d,)), OTHERS[objective]
    place: dict[str, Any] = {"batch": BATCH[d], "curve": TITLES[objective], "dimension": d}
    return _row(name, title, problem, others, targets, **place)


def _image(
    objective: str, shape: str, others: Others, targets: list[Target], **settings: Any
) -> Row:
    """Compare on a convolutional network."""
    name, title = f"{SHORT[objective]}-{shape}", f"{TITLES[objective]}, three convolutions, {shape}"
    problem = _problem(objective, "conv", IMAGES[shape])
    return _row(name, title, problem, others, targets, **settings)


def _row(
    name: str,
    title: str,
    problem: Problem,
    others: Others,
    targets: list[Target],
    first: Callable[[Problem], Builder] = ours,
    **settings: Any,
) -> Row:
    made = {other: build(problem) for other, build in others.items()}
    contenders = {"ours": first(problem), "plain": plain(problem), **made}
    return Row(name, title, contenders, tuple(targets), **settings)


def _each(others: Others, ratio: float) -> list[Target]:
    """Aim for the same ratio to all others."""
    return [Target(other, at_least=ratio) for other in others]
