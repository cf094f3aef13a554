"""A net before its first update, as scripts/initial.py prints it."""

import os
import re
from pathlib import Path

import pytest

from conftest import script


@pytest.mark.real_data
def test_the_table_has_every_layer_and_every_parameter_with_the_rates_of_its_run(
    real_root: str, tmp_path: Path
) -> None:
    environment = os.environ | {"LENET_DATA": str(Path(real_root).resolve())}
    given = ["optimizer=sdlm", "optimizer.lr=0.001", "optimizer.mu=0.1", "model.activation=tanh"]
    done = script("initial.py", *given, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    sums = re.findall(r"^(\w+) +(\d\.\d{3})$", done.stdout, re.MULTILINE)
    assert [name for name, _ in sums] == ["c1", "c3", "c5", "f6"]
    found = re.findall(r"^([\w.]+) +(\S+e\S+)  (\S+e\S+)  (\S+e\S+)$", done.stdout, re.MULTILINE)
    rates = {name: [float(end) for end in ends] for name, *ends in found}
    layers = ("c1", "c3", "c5", "f6", "output")
    assert set(rates) == {"all", *(f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias"))}
    assert all(0 < low <= middle <= high <= 0.01 for low, middle, high in rates.values())
    plain = script("initial.py", "model.norm=batch", cwd=tmp_path, env=environment)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.splitlines()[-1].startswith("optimizer.name=sgd has one learning rate")
    refused = script("initial.py", "optimizer=sdlm", "model.norm=batch", cwd=tmp_path, env=environment)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
