"""A trained net as one file: the run's own numbers come out of it, and a stranger's file is refused in one line."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from conftest import PROJECT, script
from lenet.config import Config, Data, Optimizer, Trainer
from lenet.data.download import fetch
from lenet.errors import BadInput
from lenet.evaluation.evaluate import evaluate
from lenet.evaluation.load import export, load_trained
from lenet.run import train
from lenet.runs.directory import RunDirectory


@pytest.fixture
def run(tiny_config: Config, tmp_path: Path) -> RunDirectory:
    tiny_config.trainer.max_epochs = 3
    tiny_config.model.norm = "batch"
    tiny_config.optimizer = Optimizer(lr=0.2, ema_decay=0.9)
    return train(tiny_config, tmp_path / "run", ["seed=0"])[1]


@pytest.mark.parametrize("weights", [None, "best", "last"])
def test_a_file_gives_the_numbers_of_its_run_to_the_last_bit(run: RunDirectory, tmp_path, weights) -> None:
    file = tmp_path / "new folder" / "net.safetensors"
    trained = load_trained(run.path, weights)
    export(trained, file)
    for path in sorted(run.path.rglob("*"), reverse=True):  # nothing else is needed
        path.rmdir() if path.is_dir() else path.unlink()
    again = load_trained(file, weights)
    data = trained.config.data
    assert replace(again.config, data=replace(again.config.data, root=data.root)) == trained.config
    for part in ("test", "validation"):
        assert evaluate(again, part, root=data.root) == evaluate(trained, part)
    if weights != "last":  # the run's figures are of the best
        assert again.result["metrics"] == trained.result["metrics"]


def test_a_file_says_nothing_of_the_computer_that_it_comes_from(run: RunDirectory, tmp_path, monkeypatch) -> None:
    file = tmp_path / "net.safetensors"
    export(load_trained(run.path), file)
    assert str(tmp_path).encode() not in file.read_bytes()
    monkeypatch.setenv("LENET_DATA", "elsewhere")
    assert load_trained(file).config.data.root == Data().root == "elsewhere"


def test_a_file_is_as_large_as_its_numbers(run: RunDirectory, tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    trained = load_trained(run.path)
    export(trained, file)
    numbers = sum(value.numel() * value.element_size() for value in trained.model.net.state_dict().values())
    assert numbers < file.stat().st_size < numbers + 8000


def test_what_cannot_be_written_or_asked_for_is_named(run: RunDirectory, tmp_path: Path) -> None:
    trained = load_trained(run.path)
    with pytest.raises(BadInput, match=r"net.pt: .*\.safetensors"):
        export(trained, tmp_path / "net.pt")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"file/net.safetensors: .*; name a file"):
        export(trained, tmp_path / "file" / "net.safetensors")
    export(trained, tmp_path / "net.safetensors")
    with pytest.raises(BadInput, match=r"--weights last: .* holds the best weights alone"):
        load_trained(tmp_path / "net.safetensors", "last")


def test_figures_of_other_weights_are_left_out(run: RunDirectory, tmp_path: Path) -> None:
    export(load_trained(run.path, "last"), tmp_path / "net.safetensors")
    assert not {"metrics", "best_epoch"} & set(load_trained(tmp_path / "net.safetensors").result)


def test_a_run_directory_may_have_any_name(run: RunDirectory, tmp_path: Path) -> None:
    there = run.path.rename(tmp_path / "run.safetensors")
    assert load_trained(there).weights == "best"


def header(file: Path) -> dict[str, str]:
    with safetensors.safe_open(file, framework="pt") as opened:
        return opened.metadata()


STRANGERS = {
    "absent": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-5]),
    "no header": lambda file: file.write_bytes(b"x" * 5000),
    "a header of a petabyte": lambda file: file.write_bytes(struct.pack("<Q", 2**50) + file.read_bytes()[8:]),
    "another's": lambda file: safetensors.torch.save_file({"weight": torch.ones(3)}, file),
    "other tensors": lambda file: safetensors.torch.save_file({"c1.weight": torch.ones(3)}, file, header(file)),
    "no tensors": lambda file: safetensors.torch.save_file({}, file, header(file)),
    "a config that is code": lambda file: safetensors.torch.save_file(
        safetensors.torch.load_file(file), file, header(file) | {"config": "!!python/object/apply:os.system [ls]"}
    ),
    "a config with an interpolation": lambda file: safetensors.torch.save_file(
        safetensors.torch.load_file(file), file, header(file) | {"config": "name: ${oc.env:HOME}"}
    ),
    "an impossible config": lambda file: safetensors.torch.save_file(
        safetensors.torch.load_file(file),
        file,
        header(file) | {"config": header(file)["config"].replace("batch_size: ", "batch_size: -")},
    ),
    "a result that is none": lambda file: safetensors.torch.save_file(
        safetensors.torch.load_file(file), file, header(file) | {"result": json.dumps({"metrics": "good"})}
    ),
    "a result without end": lambda file: safetensors.torch.save_file(
        safetensors.torch.load_file(file), file, header(file) | {"result": "[" * 100_000}
    ),
    "a header that is too long": lambda file: safetensors.torch.save_file(
        safetensors.torch.load_file(file), file, header(file) | {"result": " " * 200_000 + header(file)["result"]}
    ),
    "more than its net has": lambda file: safetensors.torch.save_file(
        safetensors.torch.load_file(file) | {"more": torch.zeros(10_000_000)}, file, header(file)
    ),
    "no such weights": lambda file: safetensors.torch.save_file(
        safetensors.torch.load_file(file), file, header(file) | {"weights": "../../best"}
    ),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_strangers_file_is_refused_in_one_line(run: RunDirectory, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "net.safetensors"
    export(load_trained(run.path), file)
    STRANGERS[kind](file)
    with pytest.raises(BadInput, match=r"net\.safetensors: .*(; name |: give )") as refused:
        load_trained(file)
    assert "\n" not in str(refused.value)


@pytest.mark.real_data
def test_the_commands_write_a_file_and_read_it(real_root: str, tmp_path: Path, in_empty_folder: Path) -> None:
    config = Config(test_on="last")
    config.data.root = root = str(Path(real_root).resolve())
    config.trainer = Trainer(max_epochs=1, limit_train_batches=20)
    train(config, tmp_path / "run")
    done = script("export.py", str(tmp_path / "run"), "net.safetensors", cwd=in_empty_folder)
    assert done.returncode == 0, done.stderr
    assert "net.safetensors" in done.stdout
    done = script("evaluate.py", "net.safetensors", "--data-root", root, "--flip", cwd=in_empty_folder)
    assert done.returncode == 0, done.stderr
    written = {path.name for path in in_empty_folder.iterdir()}
    assert written == {
        "net.safetensors",
        *(f"net_evaluation_fashion_mnist_test_last_flip.{kind}" for kind in ("json", "png")),
    }
    seen = json.loads((in_empty_folder / "net_evaluation_fashion_mnist_test_last_flip.json").read_text())
    assert seen["flip"] is True
    assert "with mirror images" in done.stdout


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["improved", "improved_mnist"])
def test_the_published_weights_do_what_they_say(real_root: str, name: str) -> None:
    trained = load_trained(PROJECT / f"docs/weights/{name}.safetensors")
    try:
        fetch(trained.config.data.name, real_root)
    except BadInput as error:
        pytest.skip(str(error))
    hits = round(10_000 * evaluate(trained, "test", root=real_root).accuracy)
    # A processor that rounds otherwise may see a picture on the border between two classes otherwise.
    assert hits == pytest.approx(10_000 * trained.result["metrics"]["test/acc"], abs=2)
    assert f"gives {trained.result['metrics']['test/acc']:.4f}\n" in (PROJECT / "docs/weights/README.md").read_text()
