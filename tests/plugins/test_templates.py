"""The files to begin with work as they stand."""

import pytest

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.plugins import templates
from ebm_bench.plugins.checks.plugins import examine

pytestmark = pytest.mark.usefixtures("no_plugins")


@pytest.mark.parametrize("kind", templates.KINDS)
def test_a_skeleton_passes_its_own_check(kind, tmp_path):
    path = templates.write(kind, "my_first_one", tmp_path)
    (examination,) = examine(path)
    assert examination.entry.name == "my_first_one"
    assert registry.FAMILIES[examination.entry.family].singular == kind
    assert examination.holds, "\n".join(examination.lines)
    assert len(examination.verdicts) >= 5


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("objectve", "mine", r"unknown kind of plugin 'objectve'\. Did you mean 'objective'"),
        ("objective", "My-Method", "'My-Method' is not a valid name for a plugin"),
        ("objective", "my_2nd", "'my_2nd' is not a valid name for a plugin"),
        ("noise", "gaussian", "noise 'gaussian' exists already"),
    ],
)
def test_a_bad_name_is_refused(kind, name, said, tmp_path):
    with pytest.raises(InputError, match=said):
        templates.write(kind, name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_overwritten(tmp_path):
    (tmp_path / "mine.py").write_text("precious")
    with pytest.raises(InputError, match=r"mine\.py: exists already"):
        templates.write("objective", "mine", tmp_path)
    assert (tmp_path / "mine.py").read_text() == "precious"


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        templates.write("objective", "mine", tmp_path / "nowhere")
