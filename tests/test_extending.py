"""What people bring along: docs/extending.md exactly as it is printed, in a folder outside the project."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from conftest import PROJECT, ask, script
from lenet.cli import extensions

PAGE = (PROJECT / "docs/extending.md").read_text(encoding="utf-8")


def blocks(page: str) -> dict[str, str]:
    """The files that the page prints, by their names."""
    return dict(re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```", page, re.S))


def commands(page: str) -> list[list[str]]:
    """Its commands, below the file."""
    lines = re.findall(r"^    uv run scripts/(.*)$", page.partition("## One file")[2], re.M)
    return [shlex.split(line) for line in lines]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    for name, text in blocks(PAGE).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.real_data
def test_every_example_of_the_page_runs_as_printed(mine: Path, real_root: str, monkeypatch) -> None:
    data = mine / "data"
    data.mkdir()
    (data / "FashionMNIST").symlink_to(Path(real_root).resolve() / "FashionMNIST")
    (data / "Mine").symlink_to(Path(real_root).resolve() / "FashionMNIST")
    monkeypatch.setenv("LENET_DATA", str(data))
    given = commands(PAGE)
    assert len(given) == 6
    said = []
    for name, *words in given:
        done = script(name, *words, cwd=mine)
        assert done.returncode == 0, f"{name} {words}: {done.stdout}{done.stderr}"
        said.append(done.stdout)
    assert re.search(r"first +Conv2d +8 x 14 x 14 +80 ", said[0])
    assert re.search(r"total +9,098 ", said[0])  # 80 + 1,168 + 7,850
    result = json.loads((mine / "wide/result.json").read_text())
    assert result["parameters"] == 9_098
    assert result["metrics"]["test/top3"] > result["metrics"]["test/acc"]
    first, second = (mine / "wide/metrics.csv").read_text().splitlines()[1:]
    assert float(second.split(",")[1]) == float(first.split(",")[1]) / 2, "the schedule halves the learning rate"
    assert "val top3" in said[1]
    assert "test/top3" in (mine / "hard/copy/metrics.csv").read_text().splitlines()[0]
    assert re.search(r"accuracy 0\.\d{4}, top3 0\.\d{4}$", "".join(said), re.MULTILINE)
    (figures,) = (json.loads(file.read_text()) for file in (mine / "wide").glob("evaluation_*.json"))
    assert figures["top3"] == pytest.approx(result["metrics"]["test/top3"])
    assert (mine / "wide/activations.png").exists()
    assert "2 jobs: 2 completed" in said[5]


@pytest.mark.real_data
def test_what_was_brought_stands_in_tensorboard(mine: Path, real_root: str, monkeypatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("LENET_DATA", real_root)
    words = ["model.kind=wide", "trainer.max_epochs=1", "trainer.limit_train_batches=3", "hydra.run.dir=run",
             "dashboard.embedding=true", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]  # fmt: skip
    done = script("train.py", "--extend=my_lenet.py", *words, cwd=mine)
    assert done.returncode == 0, done.stderr
    events = EventAccumulator(str(mine / "run"), size_guidance={"images": 0}).Reload()
    assert {"train/top3", "val/top3", "test/top3"} <= set(events.Tags()["scalars"])
    assert {"whole_run/val_top3", "whole_run/test_top3"} <= set(events.Tags()["scalars"]), "its columns of HPARAMS"
    (layout,) = events.Tensors("custom_scalars__config__")
    assert b"^val/top3$" in layout.tensor_proto.string_val[0]
    assert {"mine/confidence", "what_it_sees/filters", "what_it_sees/first_by_class"} <= set(events.Tags()["images"])


FILES = {
    "import nothing_of_this_name": "line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'; mend the file",
    "x = 1\ny = (": "line 2: SyntaxError: ",
    "\n1 / 0": "line 2: ZeroDivisionError: division by zero",
    "from lenet import extend\nextend.activation('relu')(object)": "model.activation=relu: there is one of this name",
    "from lenet import extend\n"
    "for _ in '12':\n    extend.optimizer('mine')(print)": "optimizer.name=mine: there is one of this name already",
    "from lenet import extend\nextend.metric('acc')(print)": "acc: there is a metric of this name already",
    "from lenet import extend\nextend.metric('top-5')(print)": "top-5: no name for a metric; give at most 60 of a-z",
    "from lenet import extend\nextend.net('a/b')(print)": "model.kind=a/b: ",
}


@pytest.mark.parametrize(("code", "words"), FILES.items(), ids=range(len(FILES)))
def test_a_file_that_brings_in_nothing_good_gets_one_line_and_nothing_is_written(tmp_path, code, words) -> None:
    (tmp_path / "mine.py").write_text(code)
    (answer,) = ask([("train.py", ["--extend", "mine.py"], tmp_path)])
    assert answer["code"] == 2, answer["said"]
    assert answer["said"].count("\n") == 1
    assert answer["said"].startswith(f"error: --extend {tmp_path}/mine.py")
    assert words in answer["said"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_a_file_that_runs_leaves_nothing_beside_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "harmless_one.py").write_text("def double(x):\n    return 2 * x\n")
    extensions._run(str(tmp_path / "harmless_one.py"))
    assert sys.modules.pop("harmless_one").double(2) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["harmless_one.py"]


def test_a_file_that_is_not_there_or_not_named_is_said(tmp_path: Path) -> None:
    missing, unnamed, none = ask(
        [("train.py", ["--extend", "mine.py"], tmp_path), ("train.py", ["--extend"], tmp_path),
         ("train.py", ["--extend", "mine"], tmp_path)]
    )  # fmt: skip
    assert "mine.py: no such file" in missing["said"]
    assert "--extend: names no file" in unnamed["said"]
    assert "no installed package has an entry point of this name" in none["said"]
    assert {missing["code"], unnamed["code"], none["code"]} == {2}


NETS = {
    "raise ValueError('no such size')": "this net cannot be built for images of 28x28 (ValueError: no such size)",
    "return nn.Linear(5, classes)": "this net cannot be built for images of 28x28 (RuntimeError: ",
    "return nn.Sequential(nn.Flatten(), nn.Linear(784, 7))": "gives out (7,) numbers for an image, and ",
}


@pytest.mark.parametrize(("body", "words"), NETS.items(), ids=range(len(NETS)))
def test_a_net_that_cannot_be_is_refused_before_anything_is_written(tmp_path, body, words) -> None:
    head = "from torch import nn\nfrom lenet import extend\n@extend.net('mine')\ndef mine(model, size, classes):\n"
    (tmp_path / "mine.py").write_text(f"{head}    {body}\n")
    done = script("train.py", "--extend", "mine.py", "model.kind=mine", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"model.kind=mine: {words}" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_no_config_says_what_to_run(tmp_path: Path) -> None:
    """A variable of the environment would do it, and a config sets none."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/gift.yaml").write_text(
        f"# @package _global_\nhydra:\n  job:\n    env_set:\n      LENET_EXTEND: {tmp_path}/evil.py\n"
    )
    answers = ask(
        [
            ("train.py", ["--config-dir", "conf", "experiment=gift", *more], tmp_path)
            for more in ([], ["-m", "seed=0,1"])
        ]
    )
    for answer in answers:
        assert answer["code"] == 2
        assert "hydra.job.env_set.LENET_EXTEND" in answer["said"]
    assert not (tmp_path / "ran").exists()


def test_a_run_that_was_extended_says_so_where_it_is_not(mine: Path, real_root: str, monkeypatch) -> None:
    monkeypatch.setenv("LENET_DATA", real_root)
    words = ["model.kind=wide", "trainer.fast_dev_run=true", "hydra.run.dir=run"]
    assert script("train.py", "--extend", "my_lenet.py", *words, cwd=mine).returncode == 0
    done = script("evaluate.py", "run", cwd=mine)
    assert done.returncode == 2
    assert "model.kind=wide" in done.stderr
    assert "--extend FILE" in done.stderr
