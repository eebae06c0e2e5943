"""What a run leaves: its records, one JSON each.

Files are written under a temporary name and moved into place, so that no reader ever meets
half a file.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from ebm_bench.errors import InputError
from ebm_bench.suites.names import Name
from ebm_bench.utils.files import replacing

Status = Literal["ok", "diverged", "out_of_memory", "flow_escaped", "escaped", "timeout"]
# Of replicates that rank last. Training sets all but "escaped", which collecting does where the
# evaluation found the model's mass far from the data.
FAILED: tuple[Status, ...] = ("diverged", "out_of_memory", "flow_escaped", "escaped")
# Share of that mass above which a replicate has escaped: ten times the tolerance of grids, and more
# than any model has that is merely too broad (docs/protocol.md).
ESCAPED_ABOVE = 0.01
Steps = Literal["eager", "compiled", "mixed", ""]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")


class Outcome(_Record):
    """How one replicate ended: its status and the step where it did."""

    replicate: int
    status: Status
    step: Annotated[int, Ge(0)]


class Cost(_Record):
    """What a run of all replicates together cost.

    Attributes
    ----------
    setup_seconds, train_seconds : float
        Time of fitting noise and the like, and of the steps, without compilation and evaluation:
        processor time of the run on a CPU, wall-clock time on a GPU.
    energy_evaluations : int
        Points at which the energy or its gradient was evaluated, per replicate; each
        direction of a second derivative counts as one more.
    noise_evaluations : int or None
        Points at which the density of a noise or flow beside the energy was computed in steps, per
        replicate; not among the energy evaluations. None in older records.
    flops_per_step : float
        Floating-point operations of matrix products and convolutions in one step.
    peak_memory_bytes : int
        Largest resident memory of the process (CPU) or allocation (GPU).
    parameters : int
        Of the energy, per replicate.
    """

    setup_seconds: float
    train_seconds: float
    energy_evaluations: int
    flops_per_step: float
    peak_memory_bytes: int
    parameters: int
    # In a table of records what is not known is no number.
    noise_evaluations: Annotated[
        int | None, BeforeValidator(lambda n: None if n is None or n != n else n)
    ] = None


class CurvePoint(_Record):
    """One point of a learning curve, with the clock stopped while it was measured."""

    step: int
    seconds: float
    energy_evaluations: int
    replicate: int
    metric: str
    value: float


class Provenance(_Record):
    """Where a record comes from."""

    version: str
    commit: str
    dirty: bool
    lock: str
    python: str
    torch: str
    device: str
    threads: int
    machine: str
    date: str

    @property
    def hardware(self) -> str:
        """What the work was timed on; seconds of other hardware do not compare with it."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.machine} ({self.device.partition(':')[0]}, {threads})"


class Segment(_Record):
    """What one process did of a run: several, where it was interrupted and resumed.

    Attributes
    ----------
    steps : int
        Steps taken.
    compiled : int
        Those of them that were compiled.
    seconds : float
        Time of setting up and of the steps, as in `Cost`.
    hardware : str
        What they were timed on; see `Provenance.hardware`.
    commit : str
        Commit of the code.
    """

    steps: int
    compiled: int
    seconds: float
    hardware: str
    commit: str


class Run(_Record):
    """One method on one dataset with all its replicates, as training leaves it.

    Attributes
    ----------
    fingerprint : str
        Of the settings and the code that training depended on.
    space : str
        How points were made from the data: splits, scaling. Empty where they are as they are.
    steps : str
        How steps were executed, in the words of a suite's ``compute``: ``"eager"``, or
        ``"compiled"`` or ``"mixed"`` if any were. Empty in records of earlier versions.
    unsaved : list of str
        State that steps changed and that is neither parameter nor buffer, by class and attribute.
        Such a run was neither compiled nor resumed.
    segments : list of Segment
        What each process did; the seconds of ``cost`` are those of all together.
    """

    suite: str
    suite_version: int
    dataset: Name  # folders of its results are called so, and records come from others too
    dataset_version: int
    method: Name
    objective: str
    settings: dict[str, Any]
    energy: dict[str, Any]
    budget: dict[str, Any]
    seed: int
    control: bool
    fingerprint: str
    outcomes: Annotated[list[Outcome], MinLen(1)]
    cost: Cost
    curve: list[CurvePoint]
    provenance: Provenance
    space: str = ""
    steps: Steps = ""
    unsaved: list[str] = []
    segments: list[Segment] = []

    @property
    def hardware(self) -> str:
        """What the run was timed on; several machines, if it was resumed on another one."""
        found = dict.fromkeys(segment.hardware for segment in self.segments)
        return ", then ".join(found) or self.provenance.hardware

    @property
    def remarks(self) -> list[str]:
        """What is unusual in how it was run: state that is not saved, several machines."""
        found = []
        if self.unsaved:
            found.append(f"steps changed state that no checkpoint holds: {', '.join(self.unsaved)}")
        if len({(segment.hardware, segment.commit) for segment in self.segments}) > 1:
            parts = [
                f"{s.steps} steps in {s.seconds:.3g} s on {s.hardware}, commit {s.commit}"
                for s in self.segments
            ]
            found.append(f"resumed after a change of machine or commit: {'; '.join(parts)}")
        return found


class Value(_Record):
    """One metric of one replicate of one model of a run.

    Attributes
    ----------
    model : str
        ``"energy"``, or the name of a by-product (``"flow"``).
    metric : str
        Registered name, with ``.part`` behind it for a further quantity of that metric.
    value : float or None
        None where the replicate did not end in a model that can be measured.
    standard_error : float or None
        Of estimating this one value, where the metric knows it.
    outside : float or None
        Share of the model's mass that is known to lie far from the data, see
        `ebm_bench.runs.escapes`; None where it cannot be known.
    """

    model: str
    replicate: int
    metric: str
    metric_version: int
    value: float | None
    standard_error: float | None
    split: str
    outside: float | None = None


class Evaluation(_Record):
    """What evaluation leaves of a run.

    Attributes
    ----------
    fingerprint : str
        Fingerprint of the run.
    digest : str
        Digest of the run, and of the settings and the code that it was measured with.
    """

    suite: str
    suite_version: int
    dataset: str
    method: str
    fingerprint: str
    digest: str = ""
    values: list[Value]
    seconds: float
    provenance: Provenance


class Theory(_Record):
    """What theory says of the estimates from data sets of one size, with one ratio.

    Attributes
    ----------
    size, ratio : int
        Data points N, and the ratio ν.
    variance : float
        N times the sum of the variances of all coordinates.
    error : float
        Standard error of the variance, which is a mean over samples.
    bias : float
        Distance of the minimum of the expected loss from the truth.
    bias_error : float
        Its standard error.
    low, median, high : float
        The .1, .5 and .9 quantiles of the squared error.
    """

    size: int
    ratio: int
    variance: float
    error: float
    bias: float
    bias_error: float
    low: float
    median: float
    high: float


class Estimation(_Record):
    """A method on a model with all its data sets; the estimates are in the table beside it.

    Attributes
    ----------
    fingerprint, settings : str
        Digests of all that it depends on, and of the settings alone, which older records lack.
    """

    suite: str
    suite_version: int
    model: str
    method: str
    fingerprint: str
    settings: str = ""
    theory: list[Theory]
    seconds: float
    provenance: Provenance


def write(record: BaseModel, path: str | Path) -> None:
    """Write a record as JSON."""
    with replacing(path) as temporary:
        temporary.write_text(record.model_dump_json(indent=1), encoding="utf-8")


def read_whole(kind: type[BaseModel], path: str | Path) -> Any:
    """Read a record; None where it is missing or damaged, and has to be made again."""
    with suppress(InputError):
        return read(kind, path)
    return None


def read(kind: type[BaseModel], path: str | Path) -> Any:
    """Read a record.

    Raises
    ------
    InputError
        Naming the file and what is wrong with it.
    """
    try:
        return kind.model_validate(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValidationError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not a {kind.__name__} record, remove it and run again: {error}"
        ) from None
