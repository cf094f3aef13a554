"""Runs that were made before the code was put into folders: tests/runs_of_before, two jobs of a sweep, two epochs each.

    train.py -m model.pool=avg,max name=old "model.conv_channels=[2,3]" "model.fc_sizes=[8]" model.activation=tanh
    optimizer.lr=0.1 optimizer.momentum=0.5 optimizer.ema_decay=0.9 trainer.max_epochs=2
    trainer.limit_{train,val,test}_batches=20,1,1 trainer.accelerator=cpu threads=1

four_epochs.csv is what the same code gave for four epochs of the first job without a stop.
"""

import csv
import json
import shutil
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import PROJECT, script
from lenet.dashboard.server import serve

BEFORE = PROJECT / "tests/runs_of_before"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    shutil.copytree(BEFORE / "old", tmp_path / "runs/old")
    return tmp_path


def rows(file: Path) -> list[dict[str, float]]:
    with file.open(newline="", encoding="utf-8") as content:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(content)]


@pytest.mark.real_data
def test_it_resumes_to_the_figures_of_one_that_never_stopped(old: Path, real_root: str) -> None:
    words = ["resume=runs/old/pool=avg", "trainer.max_epochs=4", f"data.root={real_root}"]
    done = script("train.py", *words, cwd=old)
    assert done.returncode == 0, done.stderr
    ours, theirs = rows(old / "runs/old/pool=avg/metrics.csv"), rows(BEFORE / "four_epochs.csv")
    assert [row["epoch"] for row in ours] == [1, 2, 3, 4]
    for our, their in zip(ours, theirs, strict=True):  # to the last bit on the processor that made them
        assert our == pytest.approx(their, rel=1e-3)
    events = EventAccumulator(str(old / "runs/old/pool=avg")).Reload()
    assert [point.step for point in events.Scalars("val/acc")] == [1, 2, 3, 4]


@pytest.mark.real_data
def test_it_is_evaluated_and_looked_at(old: Path, real_root: str) -> None:
    done = script("evaluate.py", "runs/old/pool=avg", "--data-root", real_root, cwd=old)
    assert done.returncode == 0, done.stderr
    assert "fashion_mnist, test, best weights: loss " in done.stdout
    done = script("activations.py", "runs/old/pool=max", "--data-root", real_root, cwd=old)
    assert done.returncode == 0, done.stderr


def test_it_is_reported(old: Path) -> None:
    done = script("report.py", "runs/old", cwd=old)
    assert done.returncode == 0, done.stderr
    assert "pool=max  1" in done.stdout
    assert json.loads((old / "runs/old/pool=max/result.json").read_text())["metrics"]["test/acc"] == 0.6


def test_its_sweep_finds_it_done(old: Path) -> None:
    """With the words of that day nothing is run again."""
    given = json.loads((old / "runs/old/pool=avg/result.json").read_text())["overrides"]
    words = ["-m", "model.pool=avg,max", *(word for word in given if not word.startswith("model.pool="))]
    before = {file: file.stat().st_mtime_ns for file in (old / "runs/old").rglob("*.ckpt")}
    done = script("train.py", *words, cwd=old)
    assert done.returncode == 0, done.stderr
    assert "2 jobs in runs/old: 2 completed before, 0 to do" in done.stdout
    assert {file: file.stat().st_mtime_ns for file in (old / "runs/old").rglob("*.ckpt")} == before


def test_it_shows_in_tensorboard(old: Path) -> None:
    address = serve(old / "runs", port=0)
    assert address.startswith("http://localhost:")
    tags = EventAccumulator(str(old / "runs/old/pool=avg")).Reload().Tags()
    assert {"train/loss", "val/acc", "test/acc"} <= set(tags["scalars"])
