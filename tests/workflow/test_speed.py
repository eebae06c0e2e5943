"""The speed target stands apart from the benchmark."""

import os

PROBE = """
(found,) = [rule for rule in workflow.rules if rule.name == "speed"]
print("THREADS", found.resources["_cores"].value, file=sys.stderr)
"""


def test_the_target_is_one_job(checkout):
    assert checkout.planned("speed", suite=None) == {"speed"}
    options = ["--dry-run", "--quiet", "host", "--printshellcmds"]
    shown = checkout.snakemake("speed", *options, suite=None).stdout
    assert "results/speed/table.md" in shown
    assert "results/speed/cost.png" in shown
    # The code is not installed, and Snakemake may run from elsewhere.
    assert f"PYTHONPATH={checkout.folder}:" in shown


def test_it_has_the_machine_to_itself(make_checkout, tmp_path):
    checkout = make_checkout(tmp_path)
    with (checkout.folder / "Snakefile").open("a") as file:
        file.write(PROBE)
    shown = checkout.snakemake("speed", "--dry-run", "--cores", "7", suite=None).stdout
    assert f"THREADS {min(7, os.cpu_count())}" in shown


def test_the_benchmark_does_not_ask_for_it(checkout):
    assert "speed" not in checkout.planned(suite=None)
