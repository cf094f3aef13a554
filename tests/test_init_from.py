"""init_from: a run starts from the weights of another one."""

import hashlib
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import lenet
from conftest import CutOff, CutOffIn, same_run
from lenet.cli.words import wanted
from lenet.config import Config, Data, Model
from lenet.errors import BadInput
from lenet.evaluation.initial_weights import check_initial_weights, load_initial_weights
from lenet.evaluation.load import export, load_trained
from lenet.run import train
from lenet.runs.directory import RunDirectory
from lenet.training import checkpoints
from lenet.training.blocks import build_classifier


@pytest.fixture
def source(tiny_config: Config, tmp_path: Path) -> RunDirectory:
    return train(replace(tiny_config, seed=7), tmp_path / "source")[1]


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_a_run_starts_with_the_weights_that_the_other_tested(
    kind: str, source: RunDirectory, tiny_config: Config, tmp_path: Path
) -> None:
    trained = load_trained(source.path)
    path = source.path
    if kind == "file":
        path = tmp_path / "net.safetensors"
        export(trained, path)
    tiny_config.init_from = str(path)
    tiny_config.data.name = "mnist"
    tiny_config.optimizer.lr = 1e-30  # moves nothing
    result, run = train(tiny_config, tmp_path / "run")
    own = load_trained(run.path).model.net.state_dict()
    assert all(torch.equal(own[name], value) for name, value in trained.model.net.state_dict().items())
    assert run.read_config().init_from == str(path)
    assert run.read_result() == result
    assert Path(result["init_from"]["path"]).is_relative_to(path)
    assert (len(result["init_from"]["sha256"]), result["init_from"]["anew"]) == (64, [])


def test_the_same_start_is_the_same_run(source: RunDirectory, tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.init_from = str(source.path)
    runs = [train(tiny_config, tmp_path / name)[1] for name in ("a", "b")]
    same_run(*runs)
    drawn = train(replace(tiny_config, init_from=None), tmp_path / "drawn")[1]
    assert drawn.read_metrics() != runs[0].read_metrics()
    assert drawn.read_result()["init_from"] is None  # type: ignore[index]


def test_resumed_it_takes_its_own_weights_even_where_the_others_are_gone(
    source: RunDirectory, tiny_config: Config, tmp_path: Path
) -> None:
    tiny_config.init_from = str(source.path)
    whole = train(replace(tiny_config, trainer=replace(tiny_config.trainer, max_epochs=3)), tmp_path / "whole")[1]
    run = train(tiny_config, tmp_path / "run")[1]
    shutil.rmtree(source.path)
    longer = replace(
        run.read_config(), resume=str(run.path), trainer=replace(tiny_config.trainer, max_epochs=3)
    )  # fmt: skip
    result, run = train(longer, run.path)
    same_run(run, whole)
    assert result["init_from"] == whole.read_result()["init_from"]  # type: ignore[index]


def test_cut_off_before_its_first_checkpoint_it_starts_from_them_again(
    source: RunDirectory, tiny_config: Config, tmp_path: Path
) -> None:
    tiny_config.init_from = str(source.path)
    whole = train(tiny_config, tmp_path / "whole")[1]
    with pytest.raises(CutOff):
        train(tiny_config, tmp_path / "run", callbacks=[CutOffIn(0)])
    run = RunDirectory(tmp_path / "run")
    assert run.has_saved_nothing
    train(replace(run.read_config(), resume=str(run.path)), run.path)
    same_run(run, whole)


def test_the_last_layer_begins_anew_where_it_knows_other_classes(
    source: RunDirectory, tiny_config: Config, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(tiny_config, data=replace(tiny_config.data, name="folder", classes=["a", "b", "c"]))
    other.init_from = str(source.path)
    torch.manual_seed(1)
    model = build_classifier(other)
    drawn = {name: value.clone() for name, value in model.net.state_dict().items()}
    monkeypatch.setattr(logging.getLogger("lenet"), "propagate", True)
    with caplog.at_level(logging.INFO):
        found = load_initial_weights(other, model)
    assert found is not None
    assert found["anew"] == ["output.weight", "output.bias"]
    assert "knows 10 classes, and here are 3; the last layer begins anew" in caplog.text
    before = load_trained(source.path).model.net.state_dict()
    for name, value in model.net.state_dict().items():
        assert torch.equal(value, drawn[name] if name.startswith("output") else before[name])


def test_what_has_no_weights_may_differ_and_is_said(
    source: RunDirectory, tiny_config: Config, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config.init_from = str(source.path)
    tiny_config.model.activation, tiny_config.model.pool, tiny_config.model.dropout = "relu", "max", 0.5
    monkeypatch.setattr(logging.getLogger("lenet"), "propagate", True)
    assert load_initial_weights(tiny_config, build_classifier(tiny_config))
    records = {id(record): record for record in caplog.records}  # another test may have left a second way to here
    assert [record.getMessage().partition(": ")[2] for record in records.values()] == [
        "was trained with model.activation=tanh, and goes on with relu",
        "was trained with model.pool=avg, and goes on with max",
    ]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("conv_channels", [2, 4], "has model.conv_channels=[2,3], and this net model.conv_channels=[2,4]; give model."),
        ("norm", "batch", "has model.norm=none, and this net model.norm=batch; give model.norm=none"),
        ("pool", "conv", "has model.pool=avg, and this net model.pool=conv; give model.pool=avg"),
        ("padding", [2, 1], r"has model.padding=[2,0], and this net model.padding=[2,1]; give model.padding=[2,0]"),
    ],
)  # fmt: skip
def test_a_net_with_other_layers_is_refused_before_anything_is_written(
    key: str, value: object, said: str, source: RunDirectory, tiny_config: Config, tmp_path: Path
) -> None:
    setattr(tiny_config.model, key, value)
    tiny_config.init_from = str(source.path)
    with pytest.raises(BadInput) as caught:
        train(tiny_config, tmp_path / "run")
    assert str(caught.value).startswith(f"init_from={source.path}: {said}")
    assert not (tmp_path / "run").exists()


def test_the_remedy_makes_the_net_what_it_was(source: RunDirectory, tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.model = replace(tiny_config.model, conv_channels=[2, 4], activation="relu")
    with pytest.raises(BadInput, match=r"give model.conv_channels=\[2,3\] model.activation=tanh$"):
        train(replace(tiny_config, init_from=str(source.path)), tmp_path / "run")
    lenet5 = Config(model=Model("lenet5", padding=0, activation="scaled_tanh", pool="subsample", init="sqrt_fan_in"))
    lenet5.data.pad = 2
    source.write_config(lenet5)
    with pytest.raises(BadInput) as caught:
        check_initial_weights(Config(init_from=str(source.path)))
    words = str(caught.value).rpartition("; give ")[2].split()
    given = wanted([*words, f"init_from={source.path}"], {}).config
    assert check_initial_weights(given) is not None


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_the_digest_is_of_the_bytes_that_were_read(
    kind: str, source: RunDirectory, tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source.path if kind == "directory" else tmp_path / "net.safetensors"
    if kind == "file":
        export(load_trained(source.path), path)
    config = replace(tiny_config, init_from=str(path))
    file = source.best_checkpoint if kind == "directory" else path
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    check = checkpoints.check_weights

    def check_and_replace(*given: object) -> None:
        file.write_bytes(b"another run's")
        check(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoints, "check_weights", check_and_replace)
    found = load_initial_weights(config, build_classifier(config))
    assert found is not None
    assert found["sha256"] == digest


def test_an_unfinished_run_is_refused(source: RunDirectory, tiny_config: Config, tmp_path: Path) -> None:
    source.write_result((source.read_result() or {}) | {"status": "interrupted"})
    tiny_config.init_from = str(source.path)
    with pytest.raises(BadInput, match=f"^init_from={source.path}: this run is interrupted, not completed; finish it"):
        train(tiny_config, tmp_path / "run")


def test_a_file_to_give_away_does_not_say_where_its_run_began(
    source: RunDirectory, tiny_config: Config, tmp_path: Path
) -> None:
    tiny_config.init_from = str(source.path)
    run = train(tiny_config, tmp_path / "run")[1]
    export(load_trained(run.path), tmp_path / "net.safetensors")
    assert str(tmp_path).encode() not in (tmp_path / "net.safetensors").read_bytes()
    given = lenet.load(tmp_path / "net.safetensors")
    assert given.config.init_from is None
    assert given.config.data.root == Data().root
    assert given.result["init_from"].keys() == {"sha256", "anew"}


def test_python_takes_the_run_itself(source: RunDirectory, tiny_config: Config, in_empty_folder: Path) -> None:
    first = lenet.load(source.path)
    run = lenet.train(tiny_config, "data.name=mnist", init_from=first)
    assert run.config.init_from == str(first.path)
