"""A suite with any one edit is refused by one message that names the key, or is planned."""

import copy
import json
import math
import os
import random
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import yaml
from factories import commands

from ebm_bench.records import fingerprint
from ebm_bench.report import outputs
from ebm_bench.suites import suite

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "benchmarks/quick.yaml"
CASES = 500
LONGEST = 1000  # letters of a line of a message
# The same in C, several times as fast, where PyYAML has it.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

# Values as YAML writes them, of every type that it has.
VALUES = [
    *("0", "1", "2", "7", "-1", "1.5", "-0.0", "1.0e-300", "1.0e+300", "1e-3", "1e400", "1.0e+400"),
    *(".inf", "-.inf", ".nan", "0x10", "010", "1_000", "12:30", "9" * 30, "-" + "9" * 400),
    *("9" * 5000, "0x" + "f" * 5000, "9" * 400 + ".0"),
    *("''", "' '", "'1'", "'0.5'", "'nan'", "'inf'", "'true'", "'null'", "mlp", "langevin"),
    *("two_moons", "cifar10", "kl_divergence", "log_z", "truth", "flow", "untrained", "uniform"),
    *("'a b'", "'../x'", "'{0}'", "'%s'", "é", "x" * 5000, r'"\0"', r'"\ud800"', r'"a\nb"'),
    *("leaderboard", "stress", "estimation", "auto", "compiled", "con", "'a/b'", "'*'", "'<b>'"),
    *("null", "~", "true", "no", "2020-01-01", "2020-99-99", "2020-01-01 10:00:00"),
    *("!!set {a, b}", "!!omap [a: 1]", "!!float x", "!!int '1.5'", "!!bool 3", "!!timestamp x"),
    *("!!python/object:os.system {}", "!unknown 1", "=", "!!str 1", "!!null x", "!!binary '*'"),
    "!!binary aGk=",
    *("[]", "{}", "[1]", "[[1]]", "[a, a]", "[two_moons]", "[two_moons, two_moons]", "[null]"),
    *("{a: 1}", "{name: mlp}", "{name: langevin, settings: {}}", "{objective: untrained}"),
    *("{a: {b: {c: [1, {d: 2}]}}}", "{1: 2}", "{null: 1}", "{[1]: 2}", "{{a: 1}: 2}", "{'': 1}"),
    *("{a: 1, a: 2}", "{<<: {a: 1}}", "{<<: 3}", "{<<: [1]}", "[" * 300 + "]" * 300),
    "{a: " * 300 + "1" + "}" * 300,
    "[" * 3000 + "]" * 3000,
]
KEYS = [
    *("a", "settings", "energy", "name", "budget", "objective", "overrides", "noise_settings"),
    *("two_moons", "checkerboard", "cifar10", "mlp", "log_z", "steps", "plugins", "tuned"),
    *("tuning", "1", "null", "no", "1.5", "2020-01-01", "''", "'a b'", "'../x'", "é", "x" * 300),
    *("con", "[1]", "{a: 1}", "!!binary aGk=", "!unknown a", "<<", "=", "overall", "SSM", "'a\\'"),
    *("_folder", "__class__", "model_config", r'"\0"', r'"\ud800"', "'%(a)s'", "kind", ".nan"),
]
TEXT = "tag:yaml.org,2002:str"
EVERY = ["letters", "letters", "ancestor"]
LETTERS = [*":{}[],&*!|>'\"%@`#-? \t\n\r\0\x07\x85\u2028é\ufeff", "<<", "---\n", "...\n", "\\"]


def places(node, names=(), seen=()):
    """List the items of a tree: the collection, the index, and the names that lead there."""
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    for index, item in enumerate(node.value):
        key, below = item if isinstance(item, tuple) else (None, item)
        inner = (*names, key.value if key else str(index))
        yield node, index, inner
        yield from places(below, inner, (*seen, id(node)))


def edited(text, source):
    """Edit a suite once; returns its text, what was done and the names that are concerned."""
    kind = source.choice(["value"] * 8 + ["other"] * 4 + ["delete", "repeat", "rename"] * 2 + EVERY)
    if kind == "letters":
        at, length = source.randrange(len(text)), source.choice([0, 0, 1, 2])
        letters = source.choice(LETTERS)
        return text[:at] + letters + text[at + length :], f"{letters!r} at {at}", []
    tree = yaml.compose(text, LOADER)
    found = [*places(tree)]
    node, index, names = source.choice(found)
    item = node.value[index]
    pairs = [pair for other, i, _ in found if isinstance(pair := other.value[i], tuple)]
    other_key, other_value = source.choice(pairs)
    mark = yaml.ScalarNode(TEXT, "PUT-HERE")
    written = source.choice(VALUES) if kind == "value" else ""
    if kind == "delete":
        del node.value[index]
    elif kind == "repeat":
        node.value.insert(source.randrange(len(node.value) + 1), copy.deepcopy(item))
    elif kind == "rename" and isinstance(item, tuple):
        node.value[index] = (mark, item[1])
        written = source.choice([*KEYS, other_key.value])
    else:
        put = {"other": other_value, "ancestor": tree}.get(kind, mark)
        node.value[index] = (item[0], put) if isinstance(item, tuple) else put
    done = yaml.serialize(tree, Dumper=DUMPER).replace("PUT-HERE", written)
    concerned = [*names[-2:], *([written.strip("'")] if kind == "rename" else [])]
    return done, f"{kind} of {'.'.join(names)} {written[:40]}", concerned


def planned(path):
    """Do with a suite what the rules of the workflow do when they start."""
    chosen = suite.load(path)
    for dataset, methods in chosen.jobs().items():
        files = {*fingerprint.evaluation_files(chosen, dataset)}
        slices = [chosen.evaluation_slice(dataset)]
        for method in methods:
            files.update(fingerprint.training_files(chosen, dataset, method))
            slices.append(chosen.training_slice(dataset, method))
            assert fingerprint.of_training(chosen, dataset, method)
            assert fingerprint.of_evaluation(chosen, dataset, method)
        assert fingerprint.digest("", files)
        for text in slices:
            json.dumps(json.loads(text), allow_nan=False)
            text.encode()
        round(10 + math.ceil(len(methods)) * (chosen.datasets[dataset].budget.seconds / 60 + 20))
    assert outputs(chosen, Path("results") / chosen.name)
    untuned = suite.load(path, tuned=False)
    for dataset, methods in untuned.tuning_jobs().items():
        for method in methods:
            assert untuned.search_of(dataset, method)
            assert fingerprint.tuning_files(untuned, dataset, method)


def fault(path, concerned):
    """Check a file; returns its exit code, and what is wrong with what was said, if anything."""
    done = commands.run("check", path)
    if done.exit_code == 0:
        try:
            planned(path)
        except Exception:
            return 0, traceback.format_exc()[-1500:]
        return 0, "" if done.stderr == "" else done.stderr
    said = done.stderr
    wrong = [
        *([f"exit code {done.exit_code}"] if done.exit_code != 2 else []),
        *([f"{done.exception!r}"] if not isinstance(done.exception, SystemExit) else []),
        *(["the file"] if not said.startswith(f"ebm-bench: {path}: ") else []),
        *(["the key"] if concerned and not any(c in said for c in [*concerned, ", line "]) else []),
        *(["a traceback"] if "Traceback" in said or done.stdout else []),
        *(["its length"] if max(map(len, said.split("\n"))) > LONGEST else []),
    ]
    return done.exit_code, f"{wrong}: {said[:600]} ... {said[-100:]}" if wrong else ""


def main(folder, first, count):
    """Check suites with one edit each, and print how that ended as JSON."""
    text, valid, faults = SUITE.read_text(), [], []
    for number in range(first, first + count):
        path = Path(folder, f"edit{number}.yaml")
        done, what, concerned = edited(text, random.Random(number))
        path.write_bytes(done.encode("utf-8", "surrogatepass"))
        code, wrong = fault(path, concerned)
        if wrong:
            faults.append(f"{number}: {what}: {wrong}")
        if code == 0:
            valid.append([str(path), what])
        elif not wrong:
            path.unlink()
    json.dump({"valid": valid, "faults": faults, "torch": "torch" in sys.modules}, sys.stdout)


def test_a_suite_with_any_one_edit_is_refused_by_a_message_or_planned(tmp_path):
    # In one process of its own, which has not imported torch.
    command = [sys.executable, __file__, str(tmp_path), "0", str(CASES)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["faults"] == []
    assert not found["torch"]
    assert 20 < len(found["valid"]) < CASES / 2, "the edits test both kinds"


@pytest.mark.parametrize(
    ("old", "new"), [("seconds: 120", "seconds: 1.0e+300"), ("width: 64", "width: " + "9" * 400)]
)
def test_the_workflow_plans_a_suite_of_odd_values(old, new, tmp_path):
    text = SUITE.read_text()
    assert old in text
    (tmp_path / "odd.yaml").write_text(text.replace(old, new).replace("name: quick", "name: odd"))
    command = ["-m", "snakemake", "--dry-run", "--quiet", "--config", f"suite={tmp_path}/odd.yaml"]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
