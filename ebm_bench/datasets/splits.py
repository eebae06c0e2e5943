"""Random splits of finite data into training, validation and test points."""

from functools import cached_property

import numpy as np

from ebm_bench.errors import InputError, unknown

SPLITS = ("train", "validation", "test")
_LEAST = 2  # points in a split


class Split:
    """Disjoint parts of rows in random order, the same for every run.

    Parameters
    ----------
    rows : int
        Number of rows.
    validation, test : float
        Shares of the rows, rounded to whole ones. The rest is for training.
    seed : int
        Seed of the order.
    """

    def __init__(self, rows: int, validation: float, test: float, seed: int):
        self.seed = seed
        held_out = round(rows * validation), round(rows * test)
        self.sizes = dict(zip(SPLITS, (rows - sum(held_out), *held_out), strict=True))
        self.rows = rows

    @cached_property
    def indices(self) -> dict[str, np.ndarray]:
        """Rows of each split."""
        order = np.random.default_rng(self.seed).permutation(self.rows)
        ends = np.cumsum(list(self.sizes.values()))[:-1]
        return dict(zip(SPLITS, np.split(order, ends), strict=True))

    def of(self, name: str) -> np.ndarray:
        """Rows of one split.

        Raises
        ------
        InputError
            If there is no such split.
        """
        if name not in SPLITS:
            raise unknown("split", name, SPLITS)
        return self.indices[name]

    def refuse_small(self, where: object) -> None:
        """Refuse data of which a split has fewer than `_LEAST` points."""
        if min(self.sizes.values()) < _LEAST:
            raise InputError(
                f"{where}: {self.rows} points are too few: {self}, and each split needs "
                f"{_LEAST} or more. Add data, or change the shares 'validation' and 'test'"
            )

    def __str__(self) -> str:
        words = {"train": "training", "validation": "validation", "test": "test"}
        return ", ".join(f"{self.sizes[name]} for {words[name]}" for name in SPLITS)
