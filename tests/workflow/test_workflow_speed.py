"""The speed target stands apart from the benchmark."""


def test_the_target_is_one_job_that_has_the_machine_to_itself(checkout):
    assert checkout.planned("speed", "--cores", "2", suite=None) == {"speed"}
    shown = checkout.snakemake("speed", "--dry-run", "--cores", "2", suite=None).stdout
    assert "threads: 2" in shown
    assert "results/speed/table.md" in shown
    assert "results/speed/cost.png" in shown


def test_the_benchmark_does_not_ask_for_it(checkout):
    assert "speed" not in checkout.planned(suite=None)
