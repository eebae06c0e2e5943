"""Runs as tasks: what is finished is not repeated.

Nothing here imports torch before there is something to compute.
"""

import resource
import zipfile
from collections.abc import Iterable
from contextlib import chdir, suppress
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
from pydantic import BaseModel

from ebm_bench import records, registry
from ebm_bench.errors import InputError
from ebm_bench.records import fingerprint
from ebm_bench.suites.suite import Suite
from ebm_bench.utils import leases
from ebm_bench.utils.files import link

TRAINED = ("run.json", "weights.safetensors")
EVALUATED = ("evaluation.json", "pictures.npz")
# Snakemake deletes the outputs of a job before it starts and when it fails. Files of runs are
# therefore written to this folder, and linked to where they are expected.
KEPT = ".kept"
LEASE = ".lease"  # beside them, while a process works on them


@dataclass(frozen=True)
class RunTask:
    """Train and evaluate a method on a dataset, as far as that is not done.

    Attributes
    ----------
    suite : Suite
        Suite that describes the run.
    dataset, method : str
        Names in the suite.
    out : Path
        Folder of runs. Files of this one are in ``out/dataset/method``.
    trains, evaluates : bool
        Stages to be carried out.
    device : str
        Name of the device, as for `devices.acquire`.
    memory : int
        Megabytes that its process may take, or 0: one that needs more ends with a status, where
        the system would kill it without a record.
    trained_with, evaluated_with : str
        Digests of the settings and the code when the task was made.
    """

    suite: Suite
    dataset: str
    method: str
    out: Path
    trains: bool = True
    evaluates: bool = True
    device: str = "auto"
    memory: int = 0
    trained_with: str = field(init=False)
    evaluated_with: str = field(init=False)

    def __post_init__(self):
        # A plugin may change to another folder, until its stage has ended.
        object.__setattr__(self, "out", self.out.absolute())
        for name, digest in zip(("trained_with", "evaluated_with"), self._digests(), strict=True):
            object.__setattr__(self, name, digest)

    @property
    def label(self) -> str:
        """Name of the run in messages."""
        return f"{self.dataset} {self.method}"

    @property
    def folder(self) -> Path:
        """Folder with the links to the files of the run."""
        return self.out / self.dataset / self.method

    @property
    def kept(self) -> Path:
        """Folder with the files of the run."""
        return self.out / KEPT / self.dataset / self.method

    def is_done(self) -> bool:
        """Whether nothing remains to be computed."""
        trained, evaluated = self._trained() is not None, self._evaluated() is not None
        return (trained or not self.trains) and (evaluated or not self.evaluates)

    def __call__(self) -> None:
        """Carry out what remains to be done, and link the files.

        Raises
        ------
        InputError
            Where the run cannot be carried out, or its code was edited since the task was made.
        """
        if not self.is_done():
            if not self.trains:
                self._require_model(self._trained() or self.folder)
            # Jobs outlive a workflow that was killed, and another may have been started.
            with leases.hold(self.kept / LEASE, self.label):
                if not self.is_done():  # by now
                    self._compute()
        self.link()

    def link(self) -> None:
        """Have all files that are up to date in both folders, and no others in the visible one.

        Those go to the hidden one until they are replaced; models that are only to be evaluated
        stay.
        """
        for files, done in ((TRAINED, self._trained()), (EVALUATED, self._evaluated())):
            if done is not None:
                _copy(files, done, self.folder if done == self.kept else self.kept)
            elif self.trains or files is EVALUATED:
                self._hide(files)

    def _hide(self, files: tuple[str, ...]) -> None:
        """Move files of another run to the hidden folder, unless that has such; else delete them.

        They stay together, lest a record vouch for weights or pictures of yet another run.
        """
        if not any((self.folder / name).exists() for name in files):
            return
        hidden = [name for name in files if (self.kept / name).exists()]
        moves = not hidden or (_are_whole(files, self.folder) and not _are_whole(files, self.kept))
        if moves:
            self.kept.mkdir(parents=True, exist_ok=True)
            for name in hidden:  # left by a run that did not end
                (self.kept / name).unlink(missing_ok=True)
        for name in reversed(files):  # the record last
            with suppress(FileNotFoundError):  # another process may do the same meanwhile
                if moves:
                    (self.folder / name).replace(self.kept / name)
                else:
                    (self.folder / name).unlink()

    def _compute(self) -> None:
        from ebm_bench.runs import evaluation, training
        from ebm_bench.utils import devices

        # The process may have imported what the files contained before.
        if self._digests() != (self.trained_with, self.evaluated_with):
            raise InputError(f"{self.label}: its code was edited meanwhile; start again")
        if self.memory:
            _limit_memory(self.memory * 10**6)
        with devices.acquire(self.device) as device:
            if self.trains and self._trained() is None:
                out = self.out / KEPT
                with chdir("."):
                    training.train(self.suite, self.dataset, [self.method], out, device)
                self.link()
            if self.evaluates and self._evaluated() is None:
                folder = self._trained() or self.folder
                self._require_model(folder)
                with chdir("."):
                    evaluation.evaluate(self.suite, self.dataset, self.method, folder, device)

    def _require_model(self, folder: Path) -> None:
        if not (folder / TRAINED[0]).exists():
            raise InputError(f"{folder}: has no trained model; `ebm-bench train` leaves one")

    def _digests(self) -> tuple[str, str]:
        return (
            fingerprint.of_training(self.suite, self.dataset, self.method),
            fingerprint.of_evaluation(self.suite, self.dataset, self.method),
        )

    def _trained(self) -> Path | None:
        """Folder of the trained model, if it is up to date."""
        return self._find(TRAINED, records.Run, "fingerprint", self.trained_with)

    def _evaluated(self) -> Path | None:
        """Folder of the evaluation, if it is up to date."""
        return self._find(EVALUATED, records.Evaluation, "digest", self.evaluated_with)

    def _find(
        self, files: tuple[str, ...], kind: type[BaseModel], key: str, digest: str
    ) -> Path | None:
        """Folder that has all files, of which the first is a record with a digest."""
        for folder in (self.kept, self.folder):
            if _are_whole(files, folder):
                record = records.read_whole(kind, folder / files[0])
                if record and getattr(record, key) == digest:
                    return folder
        return None


def _limit_memory(wanted: int) -> None:
    """Limit the bytes of this process; whoever started it may have set a lower limit."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _copy(files: tuple[str, ...], source: Path, target: Path) -> None:
    """Link files into another folder, in which no record may vouch for other weights meanwhile."""
    record = target / files[0]
    if record.exists() and not record.samefile(source / files[0]):
        record.unlink(missing_ok=True)
    for name in reversed(files):
        link(source / name, target / name)


def _are_whole(files: tuple[str, ...], folder: Path) -> bool:
    return all(_is_whole(folder / name) for name in files)


def _is_whole(path: Path) -> bool:
    """Whether a file is there, and weights and pictures are not truncated."""
    if path.suffix == ".npz":
        return zipfile.is_zipfile(path)
    if path.suffix != ".safetensors":
        return path.exists()
    try:
        with safetensors.safe_open(path, "numpy"):
            return True
    except (OSError, safetensors.SafetensorError):
        return False


def longest_first(suite: Suite, runs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Sort runs, as (dataset, method), so that those that take longest start first.

    No core is then idle at the end. A Gaussian of all images takes longest, in closed form; then
    flows, then sampling from the model. Other controls without training take least.
    """

    def key(run: tuple[str, str]) -> tuple[bool, bool, bool, bool]:
        dataset, method = run
        objective = registry.describe("objectives", suite.methods[method].objective)
        parts = [part.name for _, part in suite.training_parts(dataset, method)]
        fitted = not objective.trains and "quadratic" in parts
        flows = any("flow" in name for name in parts)
        return fitted, objective.trains, flows, objective.samples_model

    return sorted(runs, key=key, reverse=True)
