import pytest
from factories.suites import make_suite

from ebm_bench.errors import InputError
from ebm_bench.runs import assembly, training


def test_weights_of_other_settings_are_not_measured(tmp_path):
    training.train(make_suite(), "eight_gaussians", ["dsm"], tmp_path)
    other = make_suite(steps=13)
    with pytest.raises(InputError, match="other settings"):
        assembly.restore(other, "eight_gaussians", "dsm", tmp_path / "eight_gaussians/dsm", "cpu")


def test_damaged_weights_are_told(tmp_path):
    suite = make_suite()
    training.train(suite, "eight_gaussians", ["dsm"], tmp_path)
    folder = tmp_path / "eight_gaussians" / "dsm"
    (folder / "weights.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        assembly.restore(suite, "eight_gaussians", "dsm", folder, "cpu")


def test_restoring_nothing_says_what_is_missing(tmp_path):
    with pytest.raises(InputError, match=r"run\.json"):
        assembly.restore(make_suite(), "eight_gaussians", "dsm", tmp_path, "cpu")
