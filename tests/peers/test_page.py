"""The page on other implementations names what there is, and leaves no loss of theirs out."""

import re
from importlib.metadata import version
from pathlib import Path

import ebm
import ebm.eval
import ebm.losses
import torchebm.losses
import torchebm.samplers

from ebm_bench import registry

PAGE = (Path(__file__).parents[2] / "docs" / "peers.md").read_text(encoding="utf-8")
THEIRS = {"torchebm": (torchebm.losses, torchebm.samplers), "ebmkit": (ebm, ebm.eval)}


def test_the_table_names_what_there_is():
    rows = PAGE.split("| difference |\n|---|---|---|---|\n")[1].split("\n\n")[0].splitlines()
    assert len(rows) > 10
    ours = {name for family in registry.FAMILIES for name in registry.names(family)}
    for row in rows:
        own, *others = (cell.strip() for cell in row.strip("|").split("|")[:3])
        assert {*re.findall(r"`(\w+)", own)} <= ours, row
        for places, cell in zip(THEIRS.values(), others, strict=True):
            for name in re.findall(r"`(\w+)", cell):
                assert any(hasattr(place, name) for place in places), name


def test_every_loss_of_theirs_is_named():
    for losses in (torchebm.losses, ebm.losses):
        for name in {*losses.__all__} - {"LossOutput"}:
            assert name.islower() or f"`{name}" in PAGE, name


def test_the_versions_are_those_that_are_compared():
    for library in THEIRS:
        assert re.search(rf"{library}\S* {re.escape(version(library))}\s", PAGE), library
