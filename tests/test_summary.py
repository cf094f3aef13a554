"""The inspection table is the blog's, line by line, and is made without torch."""

import os
import re
import runpy
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conftest import HANG, PROJECT, script
from lenet.cli.guard import GuardedLoader
from lenet.config import Config, Model
from lenet.runs.directory import RunDirectory


def test_the_modern_nets_table_is_the_blogs(in_empty_folder) -> None:
    listing = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
    done = script("summary.py", "model=modern", cwd=in_empty_folder, env=listing)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\| +omegaconf$", done.stderr, re.MULTILINE)
    assert not re.search(r"\| +torch$", done.stderr, re.MULTILINE)
    rows = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    found = [(row[1], row[2], row[3]) for row in rows if len(row) == 6 and row[0] not in ("layer", "flatten")]
    assert found == [
        ("Conv2d", "6 x 28 x 28", "156"),
        ("ReLU", "6 x 28 x 28", "0"),
        ("MaxPool2d", "6 x 14 x 14", "0"),
        ("Conv2d", "16 x 10 x 10", "2,416"),
        ("ReLU", "16 x 10 x 10", "0"),
        ("MaxPool2d", "16 x 5 x 5", "0"),
        ("Linear", "120", "48,120"),
        ("ReLU", "120", "0"),
        ("Linear", "84", "10,164"),
        ("ReLU", "84", "0"),
        ("Linear", "10", "850"),
    ]
    assert ["total", "61,706", "423,038", "416,520"] in rows
    sizes = {row[0]: row[1] for row in rows if len(row) == 2}
    assert sizes == {
        "input": "0.00 MB",
        "forward and backward": "0.11 MB",
        "parameters": "0.24 MB",
        "together": "0.35 MB",
    }
    assert list(in_empty_folder.iterdir()) == []


def test_a_net_that_cannot_be_is_refused(in_empty_folder) -> None:
    done = script("summary.py", "model.kernel_size=40", cwd=in_empty_folder)
    assert done.returncode == 2
    assert "model.kernel_size=40" in done.stderr
    assert done.stdout == ""


def test_a_runs_own_net_is_shown_by_the_key_that_takes_a_run(in_empty_folder) -> None:
    run = RunDirectory(in_empty_folder / "seed=0")
    run.path.mkdir()
    run.write_config(Config(model=Model(conv_channels=[7, 16])))
    assert "7 x 28 x 28" in script("summary.py", "resume='seed=0'", cwd=in_empty_folder).stdout
    assert "6 x 28 x 28" in script("summary.py", "seed=0", cwd=in_empty_folder).stdout, "which is a key too"


def test_the_paddings_of_the_data_count(in_empty_folder) -> None:
    done = script("summary.py", "data.pad=2", "model.padding=0", cwd=in_empty_folder)
    assert "6 x 28 x 28" in done.stdout


def test_the_table_of_lenet5_is_the_papers(in_empty_folder) -> None:
    done = script("summary.py", "model=lenet5", cwd=in_empty_folder)
    assert done.returncode == 0, done.stderr
    rows = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    assert ["c3", "PartialConv2d", "16 x 10 x 10", "1,516", "151,600", "150,000"] in rows
    assert any(row[:3] == ["total", "60,000", "340,908"] for row in rows)


@pytest.mark.parametrize("given", [["model=modern"], ["--help"]], ids=" ".join)
@pytest.mark.parametrize("at_once", ["", "1"], ids=["at the end", "at once"])
def test_whoever_has_read_enough_is_told_nothing_more(in_empty_folder, given, at_once) -> None:
    """As of `scripts/summary.py | head`, whether what is printed is sent at once or at the end."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, str(PROJECT / "scripts/summary.py"), *given], cwd=in_empty_folder, stdout=writing,
        stderr=subprocess.PIPE, text=True, timeout=HANG, env=os.environ | {"PYTHONUNBUFFERED": at_once},
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(("given", "named"), [(["sweep=pooling"], "sweep=pooling"), (["-m", "seed=0,1"], "-m")])
def test_many_nets_have_no_table_and_leave_nothing(given: list[str], named: str, in_empty_folder: Path) -> None:
    done = script("summary.py", *given, cwd=in_empty_folder)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {named}: is many runs, and this is for one net; hydra.sweeper.plan=true with "
        f"scripts/train.py {named} lists them with their sizes\n"
    )
    assert not any(in_empty_folder.iterdir())


def test_whoever_calls_it_may_have_many_runs_next(in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["summary.py", "sweep=pooling"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")  # so that what becomes of it is undone
    monkeypatch.delenv("HYDRA_FULL_ERROR")
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    with pytest.raises(SystemExit):
        runpy.run_path(str(PROJECT / "scripts/summary.py"), run_name="__main__")
    assert not GuardedLoader.of_one_net
