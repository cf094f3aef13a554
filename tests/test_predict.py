"""scripts/predict.py: what is on pictures of one's own, as a table, as CSV, as JSON and drawn."""

import csv
import io
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import lenet
from benchmarks.pictures import CLEAN, printed
from conftest import PROJECT
from lenet.errors import BadInput

DIGITS = PROJECT / "docs/weights/improved_mnist.safetensors"
CLOTHES = PROJECT / "docs/weights/improved.safetensors"

Predict = Callable[..., tuple[str, str]]


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Predict:
    """Runs the script with arguments, in this process; what it wrote to stdout and stderr."""
    main = runpy.run_path(str(PROJECT / "scripts/predict.py"))["main"]

    def call(*arguments: object) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, arguments)])
        main()
        said = capsys.readouterr()
        return said.out, said.err

    return call


@pytest.fixture
def files(in_empty_folder: Path) -> list[str]:
    """A three and a seven, in two ways."""
    for sample in printed(list(CLEAN)[:2], ("DejaVuSans",)):
        if sample.label in (3, 7):
            Path(f"{sample.label} {sample.kind}.png").write_bytes(sample.content)
    return sorted(path.name for path in in_empty_folder.iterdir())


def test_the_same_answers_come_as_a_table_as_json_and_as_csv(predict: Predict, files: list[str]) -> None:
    table, _ = predict(DIGITS, *files)
    first, _, *lines = table.splitlines()
    assert first.startswith("MNIST: 0, 1, 2")
    records = json.loads(predict(DIGITS, *files, "--json")[0])
    rows = list(csv.DictReader(io.StringIO(predict(DIGITS, *files, "--csv")[0])))
    for file, line, record, row in zip(files, lines, records, rows, strict=True):
        assert list(record) == ["file", "class", "probability", "probabilities"]
        assert record["file"] == row["file"] == file
        assert record["class"] == row["class"] == file[0]
        assert record["probability"] == max(record["probabilities"].values()) == float(row[file[0]])
        assert list(record["probabilities"]) == [str(digit) for digit in range(10)]
        assert sum(record["probabilities"].values()) == pytest.approx(1)
        assert line.startswith(file)
        assert f"{100 * record['probability']:.1f} %" in line
    python = lenet.load(DIGITS).predict(list(files))
    assert list(python.prediction) == [file[0] for file in files]
    assert python["3"].iloc[0] == pytest.approx(records[0]["probabilities"]["3"])


def test_what_the_net_saw_is_drawn(predict: Predict, files: list[str]) -> None:
    _, said = predict(DIGITS, *files, "--show", "--out", "seen.png")
    assert said.endswith("seen.png\n")
    with Image.open("seen.png") as seen:
        assert seen.convert("L").getextrema() == (0, 255)
    predict(DIGITS, files[0], "--show")
    assert Path("predictions.png").is_file()


def test_a_net_for_clothes_says_that_it_knows_clothes_alone(predict: Predict, files: list[str]) -> None:
    out, _ = predict(CLOTHES, files[0])
    assert out.startswith("Fashion-MNIST: t-shirt, trouser, ")
    assert "Whatever a picture shows is taken for one of these." in out.splitlines()[0]
    assert "Fashion-MNIST" in predict(CLOTHES, files[0], "--json")[1]


def test_more_than_one_thing_is_told(predict: Predict, files: list[str]) -> None:
    with Image.open(files[0]) as one:
        two = Image.new("RGB", (3 * one.width, one.height), "white")
        two.paste(one, (0, 0))
        two.paste(one, (2 * one.width, 0))
    two.save("two.png")
    _, said = predict(DIGITS, "two.png")
    assert said.splitlines()[-1].startswith("warning: two.png: there is more than one thing on it")


def test_the_bad_picture_among_good_ones_is_named(predict: Predict, files: list[str]) -> None:
    Path("words.png").write_text("words", encoding="utf-8")
    with pytest.raises(BadInput, match=r"^words.png: not a picture that can be read here; give a PNG or JPEG file"):
        predict(DIGITS, *files, "words.png")


def test_no_cell_of_the_table_is_a_formula(predict: Predict, files: list[str]) -> None:
    Path(files[0]).rename("=1+1.png")
    (row,) = csv.DictReader(io.StringIO(predict(DIGITS, "=1+1.png", "--csv")[0]))
    assert row["file"] == "'=1+1.png"
    (record,) = json.loads(predict(DIGITS, "=1+1.png", "--json")[0])
    assert record["file"] == "=1+1.png"
