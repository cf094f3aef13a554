"""The curves of a sweep over seeds: what TensorBoard reads of them, and what they are not taken for."""

import ast
from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import PROJECT
from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory
from lenet.sweeps.design import Sweep
from lenet.sweeps.over_seeds import FOLDER, bands, write_curves
from lenet.sweeps.report import report
from lenet.sweeps.results import read_jobs
from test_report import NOISE, make


def with_events(directory: Path) -> None:
    """As if the runs had written for TensorBoard."""
    for config in directory.glob("*/result.json"):
        config.with_name("events.out.tfevents.1.x").touch()


def draw(directory: Path) -> None:
    """What the report does for TensorBoard."""
    jobs = read_jobs(Sweep.read(directory), directory)
    write_curves(directory, jobs[jobs.state == "completed"], jobs.setting.unique())


def made(directory: Path) -> Sweep:
    def accuracy(pool: str, seed: int) -> float:
        return (0.6 if pool == "max" else 0.5) + NOISE[seed]

    sweep = make(directory, "grid", accuracy, pool=["avg", "max"])
    with_events(directory)
    draw(directory)
    return sweep


def files(directory: Path) -> list[Path]:
    return sorted(path for path in (directory / FOLDER).rglob("*") if path.is_file())


def test_a_setting_has_the_mean_of_its_seeds_and_a_band_of_one_standard_deviation(tmp_path: Path) -> None:
    made(tmp_path)
    assert [file.parent.name for file in files(tmp_path)] == ["pool=avg", "pool=max"]
    before = {file: file.read_bytes() for file in files(tmp_path)}
    for file in before:
        file.unlink()
    report(tmp_path)
    assert {file: file.read_bytes() for file in files(tmp_path)} == before
    events = EventAccumulator(str(tmp_path / FOLDER / "pool=max")).Reload()
    found = {
        tag.removeprefix("whole_sweep/"): [(p.step, round(p.value, 6)) for p in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    assert found == {  # of 0.61, 0.59 and 0.60; make() gives the first epoch half of it
        "val/acc": [(1, 0.3), (2, 0.6)],
        "val/acc/low": [(1, 0.295), (2, 0.59)],
        "val/acc/high": [(1, 0.305), (2, 0.61)],
    }


def test_a_band_ends_where_a_seed_does_and_stays_an_accuracy() -> None:
    long = pd.DataFrame({"val/acc": [0.1, 0.99, 0.5], "val/loss": [1.0, 0.1, 0.2]}, index=[1, 2, 3])
    short = pd.DataFrame({"val/acc": [0.3, 0.5], "val/loss": [1.0, float("nan")]}, index=[1, 2])
    found = bands({0: long, 1: short})
    assert list(found["val/acc"].index) == [1, 2]
    assert list(found["val/loss"].index) == [1], "an epoch whose loss is no number is left out"
    assert found["val/acc"]["high"][2] == 1
    trained = bands({0: long, 1: pd.DataFrame({"train/acc": [0.1]}, index=[1])})
    assert not trained, "there is nothing that both have"


def test_drawn_again_it_touches_nothing_and_follows_the_sweep(tmp_path: Path) -> None:
    made(tmp_path)
    before = {file: file.stat().st_ino for file in files(tmp_path)}
    draw(tmp_path)
    assert {file: file.stat().st_ino for file in files(tmp_path)} == before
    (tmp_path / "sweep.json").unlink()
    one = make(tmp_path / "other", "grid", lambda pool, seed: 0.5, seeds=[0], pool=["avg", "max"])
    one.write(tmp_path)
    draw(tmp_path)
    assert not (tmp_path / FOLDER).exists(), "one seed has no band"


def test_the_dashboard_starts_without_what_draws_them() -> None:
    """pandas takes a second to import, and TensorBoard enough as it is."""
    loaded = set()
    source = PROJECT / "src"
    ways = ["lenet.dashboard.server"]
    while ways:
        name = ways.pop()
        if name in loaded or not (path := source / (name.replace(".", "/") + ".py")).is_file():
            continue
        loaded.add(name)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        ways += [node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
        assert not {"pandas", "matplotlib.figure", "torch"} & {
            one.name for node in tree.body if isinstance(node, ast.Import) for one in node.names
        }, name
    assert "lenet.sweeps.names" in loaded


def test_they_are_no_runs(tmp_path: Path) -> None:
    sweep = made(tmp_path)
    assert Sweep.read(tmp_path).jobs == sweep.jobs
    for setting in (tmp_path / FOLDER).iterdir():
        assert not RunDirectory(setting).begun
        with pytest.raises(BadInput, match="no run directory"):
            RunDirectory(setting).read_config()


def test_of_runs_without_a_dashboard_there_is_nothing(tmp_path: Path) -> None:
    make(tmp_path, "grid", lambda pool, seed: 0.5, pool=["avg", "max"])
    draw(tmp_path)
    assert not (tmp_path / FOLDER).exists()


def test_nothing_is_written_through_a_link_or_outside(tmp_path: Path) -> None:
    """A sweep may be a stranger's."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/events.out.tfevents.1.mine").touch()
    sweep, theirs = tmp_path / "sweep", tmp_path / "mine"
    make(sweep, "grid", lambda pool, seed: 0.5, pool=["avg", "max"])
    with_events(sweep)
    (sweep / FOLDER).symlink_to(theirs)
    draw(sweep)
    assert [path.name for path in theirs.iterdir()] == ["events.out.tfevents.1.mine"]
    (sweep / FOLDER).unlink()
    (sweep / FOLDER).mkdir()
    (sweep / FOLDER / "pool=avg").symlink_to(theirs)
    content = (sweep / "sweep.json").read_text().replace('"setting": "pool=max"', '"setting": "../../mine"')
    (sweep / "sweep.json").write_text(content)
    draw(sweep)
    assert [path.name for path in theirs.iterdir()] == ["events.out.tfevents.1.mine"]
