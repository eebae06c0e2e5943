"""What records say of how they were made."""

import pytest
import yaml
from factories.suites import toy

from ebm_bench.errors import InputError
from ebm_bench.records import definition


def test_a_suite_of_another_version_of_the_package_is_to_be_collected_again(tmp_path):
    content = {"datasets": {"two_moons": {**toy(), "sampling": {}}}}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as caught:
        definition.of_data(tmp_path)
    assert "suite.yaml: datasets.two_moons" in str(caught.value)
    assert "`ebm-bench collect` writes the file" in str(caught.value)
