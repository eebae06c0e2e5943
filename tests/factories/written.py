"""A small suite as a file, with plugins beside it, and a method of it trained."""

import json

import yaml

from ebm_bench import records
from ebm_bench.runs import training
from ebm_bench.suites import suite
from factories.suites import describe, toy

SUITE = describe({}, {"eight_gaussians": toy(6, compute="eager")})


def write(folder, methods, plugins=(), compute="eager", **budget):
    """Write a suite with its plugins; text of settings stays as it is given."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.loads(json.dumps(SUITE))
    data = content["datasets"]["eight_gaussians"]
    data["compute"] = compute
    data["budget"] |= budget
    for name, code in dict(plugins).items():
        (folder / f"{name}.py").write_text(code)
    content |= {"methods": methods, "plugins": [f"{name}.py" for name in dict(plugins)]}
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def train(path, method, out=None):
    """Train in this process, and read the record."""
    out = out or path.parent / "out"
    training.train(suite.load(path), "eight_gaussians", [method], out)
    return records.read(records.Run, out / "eight_gaussians" / method / "run.json")


def method(objective, **settings):
    return {"objective": objective, "settings": settings}
