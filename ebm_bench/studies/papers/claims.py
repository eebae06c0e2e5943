"""Claims of papers, decided by the values of replicates."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from ebm_bench.records import FAILED
from ebm_bench.report.columns import Interval
from ebm_bench.report.results import CONVERGED
from ebm_bench.report.rows import label
from ebm_bench.report.statistics.pairwise import Losses
from ebm_bench.report.statistics.scales import Scale, on_scale
from ebm_bench.studies.papers.suite import SQUARED_ERROR, Claim, Paper, scale_of

REPRODUCED, NOT, OPEN = "reproduced", "not", "not decided"


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes
    ----------
    claim : Claim
        The claim.
    about : str
        What was measured, on which data.
    found : Interval
        Estimate with its 95 % interval over replicates.
    verdict : str
        `REPRODUCED` where the whole interval is within the limits of the claim, `NOT` where it is
        outside, `OPEN` otherwise. A ratio or difference whose first model alone failed in a
        replicate counts as above any limit there, and as below if the second alone did: if that
        is another verdict, the claim is `OPEN`; so it is if the only model of a claim failed, or a
        value that is compared did not converge.
    """

    claim: Claim
    about: str
    found: Interval
    verdict: str


def check(paper: Paper, values: pd.DataFrame) -> list[Verdict]:
    """Decide all claims of a paper.

    Parameters
    ----------
    paper : Paper
        The paper.
    values : DataFrame
        As `ebm_bench.studies.papers.run.run` wrote it.
    """
    only = paper.cells[0].dataset
    return [_decide(paper, claim, claim.dataset or only, values) for claim in paper.claims]


def _decide(paper: Paper, claim: Claim, dataset: str, values: pd.DataFrame) -> Verdict:
    metric = claim.metric or paper.metrics(dataset)[0]
    scale: Scale = scale_of(metric)
    chosen = values[(values["dataset"] == dataset) & (values["metric"] == metric)]
    measured = partial(_measured, chosen, scale)
    places: list[tuple[str, float | None]]
    if claim.measure == "slope":
        assert paper.knob is not None, "checked by the schema"
        places = [(claim.models[0], knob) for knob in paper.knob.values]
        rows = [measured(*each) for each in places]
        first, second, scale = *_slope(paper.knob.values, rows), "linear"
    else:
        places = list(zip(claim.models, claim.knobs, strict=True))
        rows = [measured(*each) for each in places]
        first = rows[0]
        second = rows[1] if len(rows) > 1 else pd.DataFrame(0.0, first.index, list("ye"))
    first, second = first.align(second, join="outer", axis=0)
    both = np.stack([first, second])
    losses = Losses(pd.DataFrame(both[..., 0]), both[..., 0], both[..., 1], 1, scale)
    found = losses.between(np.array([0]), np.array([1])).iloc[0]
    compared = int(found["n"])
    notes = [f"{compared} of {len(first)}"] if compared < len(first) else []
    part = f"{metric.partition('.')[0]}.{CONVERGED}"
    diagnosed = values[(values["dataset"] == dataset) & (values["metric"] == part)]
    there = first.index[np.isfinite(both[..., 0]).all(0)]
    diagnosed = diagnosed[diagnosed["replicate"].isin(there)]
    doubtful = any((_of(diagnosed, *each)["value"] < 1).any() for each in places)
    notes += ["not converged"] * doubtful
    verdict = _within(claim, found["low"], found["high"])
    failed = _of_failures(claim, first["y"].isna(), second["y"].isna())
    if compared < 2 or doubtful or not failed <= {verdict}:
        verdict = OPEN
    return Verdict(
        claim,
        _about(paper, claim, dataset, metric),
        Interval(found["difference"], found["low"], found["high"], note=", ".join(notes)),
        verdict,
    )


def _of_failures(claim: Claim, first: pd.Series, second: pd.Series) -> set[str]:
    """Decide a claim by the replicates that failed in one model alone, as beyond all limits."""
    if len(claim.models) < 2:
        return {OPEN} if first.any() else set()
    huge = np.finfo(float).max
    least = 1 / huge if claim.measure == "ratio" else -huge
    found = {huge: (first & ~second).any(), least: (second & ~first).any()}
    return {_within(claim, value, value) for value, is_there in found.items() if is_there}


def _within(claim: Claim, low: float, high: float) -> str:
    """Decide whether an interval is within the limits of a claim, or outside, or neither."""
    least = -np.inf if claim.above is None else claim.above
    most = np.inf if claim.below is None else claim.below
    if least < low and high < most:
        return REPRODUCED
    return NOT if high <= least or low >= most else OPEN


def _measured(values: pd.DataFrame, scale: Scale, model: str, knob: float | None) -> pd.DataFrame:
    """Take a model's values, ``y``, and their standard errors, ``e``, by replicate, on a scale.

    What failed or is not finite is NaN.
    """
    own = _of(values, model, knob).set_index("replicate")
    y = own["value"].astype(float).mask(own["status"].isin(FAILED)).to_numpy()
    if (own["metric"] == SQUARED_ERROR).all():  # of double precision: it has no floor
        scaled, error = np.log(np.where(np.isfinite(y), y, np.nan)), np.zeros(len(y))
    else:
        scaled, error, _ = on_scale(y, own["standard_error"].to_numpy(float), scale)
    return pd.DataFrame({"y": scaled, "e": error}, index=own.index)


def _of(values: pd.DataFrame, model: str, knob: float | None) -> pd.DataFrame:
    """Take the rows of a model at a value of the knob."""
    at = values["knob"].isna() if knob is None else values["knob"] == knob
    names = [label(*pair) for pair in zip(values["method"], values["model"], strict=True)]
    return values[at & (np.array(names, dtype=object) == model)]


def _slope(knob: list[float], at: list[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit the exponent of a power of the knob in each replicate; returns it, and zeros."""
    x = np.log(np.array(knob, dtype=float))
    weight = (x - x.mean()) / np.square(x - x.mean()).sum()
    y, e = (pd.concat([one[column] for one in at], axis=1) for column in "ye")
    fitted = pd.DataFrame(
        {
            "y": (y * weight).sum(axis=1, skipna=False),
            "e": np.sqrt((e * weight).pow(2).sum(axis=1)),
        }
    )
    return fitted, pd.DataFrame(0.0, fitted.index, list("ye"))


def _about(paper: Paper, claim: Claim, dataset: str, metric: str) -> str:
    """Describe what is measured: ``kl_divergence of fce over nce on eight_gaussians``."""
    named = "squared error" if metric == SQUARED_ERROR else metric
    if claim.measure == "slope":
        assert paper.knob is not None, "checked by the schema"
        return f"exponent of {named} of {claim.slope} by {paper.knob.label}, {dataset}"
    stated = [
        model + (f" at {knob:g}" if knob is not None else "")
        for model, knob in zip(claim.models, claim.knobs, strict=True)
    ]
    word = " less " if claim.measure == "difference" else " over "
    return f"{named} of {word.join(stated)}, {dataset}"
