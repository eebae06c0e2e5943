"""Evaluation: every metric of a suite on what a run left."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ebm_bench import metrics, records
from ebm_bench.metrics.grid import lattice
from ebm_bench.metrics.points import energies
from ebm_bench.records import fingerprint, provenance
from ebm_bench.registry.entries import LEARNED
from ebm_bench.runs import assembly, contracts, cost, escapes
from ebm_bench.runs.model import Model
from ebm_bench.suites.suite import Suite
from ebm_bench.utils.files import replacing

log = logging.getLogger("ebm_bench")

_CELLS = 256
_IMAGES = 64


def evaluate(
    suite: Suite, dataset: str, method: str, folder: str | Path, device: str
) -> records.Evaluation:
    """Measure the energy of a run and its by-products.

    Every method meets the same held-out data. Writes ``evaluation.json`` and ``pictures.npz``
    to the run's folder. A replicate that failed (`records.FAILED`) has the value None.

    Parameters
    ----------
    suite : Suite
        Where the run is described.
    dataset, method : str
        Their names in the suite.
    folder : path
        Of the run, as training left it.
    device : str
        As torch calls it.

    Raises
    ------
    InputError
        Where the folder has no run, or cannot be written.
    """
    started = time.perf_counter()
    parts = assembly.restore(suite, dataset, method, folder, device)
    streams = parts.streams.child("evaluation")
    models = parts.models("evaluation")
    measured = [o.status not in records.FAILED for o in parts.outcomes]
    values = []
    for metric_name, settings in suite.datasets[dataset].metrics.items():
        metric = metrics.create(metric_name, **settings)
        for name, model in models.items():
            if any(getattr(model, n) is None for n in metric.requires if n in LEARNED):
                continue
            begun = time.perf_counter()
            result = {"value": torch.full((len(measured),), torch.nan)}
            if any(measured):
                with _spared(f"{method}: no memory for {metric_name} of {name}"):
                    result = contracts.measured(metric, model, parts.dataset, streams)
            values += _values(metric, name, result, parts.outcomes, measured)
            log.info(
                "%s / %s: %s of %s in %.1f s",
                dataset,
                method,
                metric_name,
                name,
                time.perf_counter() - begun,
            )
    far = _outside(models, parts.outcomes, measured)
    values = [v.model_copy(update={"outside": far[v.model, v.replicate]}) for v in values]
    pictures = {}
    if any(measured):
        with _spared(f"{method}: no memory for pictures"):
            pictures = _pictures(models, measured.index(True))
    with replacing(Path(folder, "pictures.npz")) as temporary, temporary.open("wb") as out:
        np.savez_compressed(out, allow_pickle=True, **pictures)
    evaluation = records.Evaluation(
        suite=suite.name,
        suite_version=suite.version,
        dataset=dataset,
        method=method,
        fingerprint=fingerprint.of_training(suite, dataset, method),
        digest=fingerprint.of_evaluation(suite, dataset, method),
        values=values,
        seconds=time.perf_counter() - started,
        provenance=provenance.collect(device),
    )
    records.write(evaluation, Path(folder, "evaluation.json"))
    return evaluation


@contextmanager
def _spared(warning: str) -> Iterator[None]:
    """Go on where there is no memory for a part, and say so."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not cost.is_out_of_memory(error):
            raise
        log.warning(warning)


def _values(
    metric,
    model: str,
    result: dict[str, Tensor],
    outcomes: list[records.Outcome],
    measured: list[bool],
) -> list[records.Value]:
    """Turn what a metric says of a model into records, one per part and replicate."""
    numbers = {part: tensor.tolist() for part, tensor in result.items()}
    errors = numbers.pop("standard_error", None)
    return [
        records.Value(
            model=model,
            replicate=outcome.replicate,
            metric=metric.name if part == "value" else f"{metric.name}.{part}",
            metric_version=metric.version,
            value=of_part[r] if measured[r] else None,
            standard_error=errors[r] if errors and part == "value" and measured[r] else None,
            split=metric.split,
        )
        for part, of_part in numbers.items()
        for r, outcome in enumerate(outcomes)
    ]


def _outside(
    models: dict[str, Model], outcomes: list[records.Outcome], measured: list[bool]
) -> dict[tuple[str, int], float | None]:
    """Find the share of mass far from the data, by model and replicate; None where not known."""
    found = {}
    for name, model in models.items():
        shares = [math.nan] * len(measured)
        if any(measured):
            with _spared(f"no memory for the mass far from the data of {name}"):
                shares = escapes.outside(model).tolist()
        for outcome, share, known in zip(outcomes, shares, measured, strict=True):
            known &= not math.isnan(share)
            found[name, outcome.replicate] = share if known else None
    return found


def _pictures(models: dict[str, Model], replicate: int) -> dict[str, np.ndarray]:
    """Draw one replicate: densities in the plane, samples of images."""
    energy_model = models["energy"]
    dataset = energy_model.dataset
    if energy_model.is_planar:
        densities = {
            f"{name}.density": _density(model, replicate) for name, model in models.items()
        }
        return {**densities, "box": np.array(dataset.box, dtype=np.float32).ravel()}
    if dataset.kind != "image":
        return {}
    data = dataset.sample(_IMAGES, energy_model.streams.child("data"), split="test")
    drawn = {name: model.samples(model.most_samples or _IMAGES) for name, model in models.items()}
    return {
        f"{name}.samples": _bytes(dataset.to_pixels(images[replicate, :_IMAGES]))
        for name, images in {**drawn, "data": data}.items()
    }


def _density(model: Model, replicate: int) -> np.ndarray:
    points, _ = lattice(model.dataset.box, _CELLS, model.energy.location)
    values = energies(model.energy, points.expand(model.energy.replicates, -1, -1))[replicate]
    density = (-values.double() - model.log_z[replicate]).exp()
    return density.view(_CELLS, _CELLS).float().cpu().numpy()


def _bytes(pixels: Tensor) -> np.ndarray:
    """Turn pixels in [0, 1] into bytes; what is not a number becomes black."""
    return (pixels.nan_to_num(0.0) * 255).round().byte().cpu().numpy()
