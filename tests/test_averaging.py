"""Stochastic weight averaging: torch's mean of the weights after each epoch."""

from dataclasses import replace
from pathlib import Path

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from conftest import CutOff, CutOffIn, same_run
from lenet.batches import first_averaged
from lenet.cli.compose import resumed_config
from lenet.cli.messages import closing_lines
from lenet.config import Augment, Config, EarlyStopping, Optimizer, Schedule
from lenet.data.files import load
from lenet.data.module import split
from lenet.errors import BadInput
from lenet.evaluation.evaluate import evaluate
from lenet.evaluation.load import load_trained
from lenet.models.build import build_net
from lenet.run import train


class EveryEpoch(L.Callback):
    """Keeps the weights as they are after the last update of each epoch."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.states.append({name: value.clone() for name, value in module.net.state_dict().items()})


def averaged(config: Config, start: int | float, batch_size: int = 32) -> Config:
    config = replace(config, optimizer=Optimizer(lr=0.3, swa_start=start), test_on="last")
    config.data.batch_size = batch_size
    config.trainer.max_epochs = 4
    return config


@pytest.mark.parametrize(("start", "first"), [(3, 3), (0.5, 3), (0.0, 1), (0.75, 4), (4, 4)])
def test_a_share_of_the_epochs_passes_before_the_first_that_is_averaged(tiny_config, start, first) -> None:
    assert first_averaged(averaged(tiny_config, start)) == first


def test_a_share_is_the_decimal_number_that_was_written(tiny_config) -> None:
    config = averaged(tiny_config, 0.29)
    config.trainer.max_epochs = 100
    assert first_averaged(config) == 30


def test_the_mean_is_torchs_and_what_is_validated_tested_and_kept(tiny_config: Config, tmp_path: Path) -> None:
    config = averaged(tiny_config, 3)
    watch = EveryEpoch()
    result, run = train(config, tmp_path / "run", callbacks=[watch])
    plain = train(replace(config, optimizer=Optimizer(lr=0.3)), tmp_path / "plain")[1]
    net = build_net(config)
    mean = AveragedModel(net)
    for state in watch.states[2:]:
        net.load_state_dict(state)
        mean.update_parameters(net)
    saved = torch.load(run.last_checkpoint, weights_only=True)
    assert all(
        torch.equal(saved["state_dict"][f"net.{name}"], value) for name, value in mean.module.state_dict().items()
    )
    assert saved["averaging_state"]["n_averaged"] == 2
    assert result["not_averaged"] is None
    ours, theirs = run.read_metrics(), plain.read_metrics()
    assert ours[:2] == theirs[:2], "before its first epoch all is as without a mean"
    assert [row["train/loss"] for row in ours] == [row["train/loss"] for row in theirs], (
        "nor does it change the training"
    )
    assert ours[3]["val/loss"] != theirs[3]["val/loss"]
    trained = load_trained(run.path)
    for part, name in (("validation", "val"), ("test", "test")):
        seen = evaluate(trained, part)
        assert seen.accuracy == result["metrics"][f"{name}/acc"]
        assert seen.loss == pytest.approx(result["metrics"][f"{name}/loss"], rel=1e-6)


def test_batch_normalisation_has_the_means_of_the_averaged_net(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.model.norm = "batch"
    config = averaged(tiny_config, 2)
    run = train(config, tmp_path / "run")[1]
    state = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    net = build_net(config)
    net.load_state_dict({name.removeprefix("net."): value for name, value in state.items()})
    images, labels = load("fashion_mnist", config.data.root, "train")
    training, _ = split(len(labels), config.data.val_fraction, config.data.split_seed)
    with torch.no_grad():
        outputs = next(net.children())(images[training].float() / 255)  # before the first normalisation
    means = outputs.mean((0, 2, 3))
    norm = next(module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert torch.allclose(norm.running_mean, means, atol=1e-4)


@pytest.mark.parametrize("batch_size", [32, 8])  # 8: blocks of updates
def test_a_run_that_was_cut_off_averages_as_one_that_was_not(tiny_config: Config, tmp_path: Path, batch_size) -> None:
    tiny_config.model.norm, tiny_config.model.dropout = "batch", 0.2
    tiny_config.data.augment = Augment(shift=2)
    config = replace(averaged(tiny_config, 2, batch_size), schedule=Schedule("cosine"), test_each_epoch=True)
    whole = train(config, tmp_path / "whole")[1]
    for epochs in (1, 3, 4):
        path = tmp_path / f"cut{epochs}"
        with pytest.raises(CutOff):
            train(config, path, callbacks=[CutOffIn(epochs)])
        cut = train(replace(config, resume=str(path)), path)[1]
        same_run(cut, whole)
        a, b = (torch.load(run.last_checkpoint, weights_only=True) for run in (cut, whole))
        assert all(
            torch.equal(a["current_model_state"][name], b["current_model_state"][name]) for name in a["state_dict"]
        )


def test_a_run_that_stops_before_its_first_averaged_epoch_has_its_own_weights(tiny_config, tmp_path) -> None:
    stopping = EarlyStopping(1, min_delta=1)  # nothing is ever so much better
    config = replace(averaged(tiny_config, 4), early_stopping=stopping)
    result, run = train(config, tmp_path / "run")
    plain, other = train(replace(config, optimizer=Optimizer(lr=0.3)), tmp_path / "plain")
    assert result["epochs"] == 2
    assert result["metrics"] == plain["metrics"]
    same_run(run, other)
    why = "optimizer.swa_start=4 averages from epoch 4 on, and these are the weights of epoch 2"
    assert (run.read_result() or {})["not_averaged"] == why
    assert why in closing_lines(result, run, "last").splitlines()
    assert plain["not_averaged"] is None


def test_a_run_whose_mean_began_after_a_share_of_its_epochs_has_the_length_that_it_has(tiny_config, tmp_path) -> None:
    run = train(averaged(tiny_config, 0.5), tmp_path / "run")[1]
    with pytest.raises(BadInput, match=r"trainer.max_epochs=6: .*optimizer.swa_start=0.5"):
        resumed_config(str(run.path), ["trainer.max_epochs=6"])
