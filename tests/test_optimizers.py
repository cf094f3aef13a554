"""Optimizers and schedules: torch's own, and as they go on in a run that was cut off."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, LinearLR, ReduceLROnPlateau

from conftest import CutOff, CutOffIn, same_run
from lenet.batches import updates_per_step
from lenet.cli.compose import resumed_config
from lenet.config import Config, Optimizer, Schedule
from lenet.data.files import load
from lenet.data.module import EpochOrder, split
from lenet.models.build import build_net
from lenet.rules import training, values
from lenet.run import train


def by_hand(
    config: Config, optimizer: Callable[[Any], Any], schedule: Callable[[Any], Any] | None = None
) -> tuple[nn.Module, list[float]]:
    """The net that a loop of torch's alone makes, and the learning rate of each epoch's last update."""
    images, labels = load("fashion_mnist", config.data.root, "train")
    training, validation = split(len(labels), config.data.val_fraction, config.data.split_seed)
    images = images.float() / 255
    torch.manual_seed(config.seed)
    net = build_net(config).to(memory_format=torch.channels_last)
    optimizer = optimizer(net.parameters())
    scheduler = schedule(optimizer) if schedule else None
    rates = []
    for epoch in range(config.trainer.max_epochs):
        order = EpochOrder(len(training), config.seed)
        order.set_epoch(epoch)
        for batch in training[torch.tensor(list(order))].split(config.data.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(net(images[batch]), labels[batch]).backward()
            optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
        if isinstance(scheduler, ReduceLROnPlateau):
            with torch.no_grad():
                scheduler.step(F.cross_entropy(net(images[validation]), labels[validation]).item())
        elif scheduler:
            scheduler.step()
    return net, rates


def same_net(net: nn.Module, checkpoint: Path) -> bool:
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    return all(torch.equal(saved[f"net.{name}"], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "torchs"),
    [
        (
            Optimizer("rmsprop", 0.003, momentum=0.5, alpha=0.9, weight_decay=0.01),
            lambda p: torch.optim.RMSprop(p, 0.003, alpha=0.9, momentum=0.5, weight_decay=0.01),
        ),
        (Optimizer("nadam", 0.003, betas=[0.8, 0.99]), lambda p: torch.optim.NAdam(p, 0.003, betas=(0.8, 0.99))),
        (Optimizer("adagrad", 0.02, weight_decay=0.1), lambda p: torch.optim.Adagrad(p, 0.02, weight_decay=0.1)),
        (Optimizer("adadelta", 0.7, rho=0.8), lambda p: torch.optim.Adadelta(p, 0.7, rho=0.8)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_optimizer_is_torchs_to_the_last_bit(tiny_config: Config, tmp_path: Path, settings, torchs) -> None:
    config = replace(tiny_config, optimizer=settings)
    run = train(config, tmp_path / "run")[1]
    assert same_net(by_hand(config, torchs)[0], run.last_checkpoint)


@pytest.mark.parametrize(
    ("schedule", "torchs"),
    [
        (Schedule("exponential", gamma=0.5), lambda optimizer: ExponentialLR(optimizer, 0.5)),
        (
            Schedule("plateau", patience=0, factor=0.5),
            lambda optimizer: ReduceLROnPlateau(optimizer, factor=0.5, patience=0),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_schedule_is_torchs_to_the_last_bit(tiny_config: Config, tmp_path: Path, schedule, torchs) -> None:
    config = replace(tiny_config, schedule=schedule, optimizer=Optimizer(lr=1.5))
    config.trainer.max_epochs = 6
    run = train(config, tmp_path / "run")[1]
    net, rates = by_hand(config, lambda parameters: torch.optim.SGD(parameters, 1.5), torchs)
    assert [row["lr"] for row in run.read_metrics()] == rates
    assert len(set(rates)) > 1, "or this says nothing"
    assert same_net(net, run.last_checkpoint)


def test_a_warm_up_is_torchs_line_and_the_schedule_has_the_epochs_that_are_left(
    tiny_config: Config, tmp_path: Path
) -> None:
    def rates(schedule: Schedule, name: str) -> list[float]:
        config = replace(tiny_config, schedule=schedule, trainer=replace(tiny_config.trainer, max_epochs=4))
        return [row["lr"] for row in train(config, tmp_path / name)[1].read_metrics()]

    parameter = nn.Parameter(torch.zeros(1))
    rising = LinearLR(torch.optim.SGD([parameter], 0.1), 1 / 10, total_iters=9)
    line = [rising.get_last_lr()[0]]
    for _ in range(9):
        rising.optimizer.step()
        rising.step()
        line += rising.get_last_lr()
    assert rates(Schedule(warmup_epochs=2), "constant") == pytest.approx([line[4], line[9], 0.1, 0.1])
    assert rates(Schedule("exponential", warmup_epochs=1), "exponential") == pytest.approx([0.1, 0.1, 0.09, 0.081])
    assert rates(Schedule("steps", 0, [2], [0.5], warmup_epochs=1), "steps") == pytest.approx([0.1, 0.1, 0.05, 0.05])
    falling = [0.05 * (1 + math.cos(math.pi * done / 15)) for done in (4, 9, 14)]
    assert rates(Schedule("cosine", warmup_epochs=1), "cosine") == pytest.approx([0.1, *falling])


def test_a_warm_up_is_over_for_a_resumed_run_whose_steps_are_others_than_before(
    tiny_config: Config, tmp_path: Path
) -> None:
    """A profiler asks for one update a step; Lightning counts those anew."""
    schedule = Schedule("exponential", gamma=0.5, warmup_epochs=2)
    config = replace(tiny_config, schedule=schedule, trainer=replace(tiny_config.trainer, max_epochs=4))
    _, run = train(config, tmp_path / "run")
    trainer = replace(config.trainer, max_epochs=5, profiler="simple")
    train(replace(config, trainer=trainer, resume=str(run.path)), run.path)
    assert [row["lr"] for row in run.read_metrics()] == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.025], rel=1)
    assert run.read_metrics()[-1]["lr"] == pytest.approx(0.025)


ALL = {
    "rmsprop": (Optimizer("rmsprop", 0.01, momentum=0.5), Schedule("plateau", patience=0, monitor="train/loss")),
    "nadam": (Optimizer("nadam", 0.3), Schedule("plateau", patience=0, factor=0.5, warmup_epochs=1)),
    "adagrad": (Optimizer("adagrad", 0.02), Schedule("exponential", warmup_epochs=2)),
    "adadelta": (Optimizer("adadelta", 1.0), Schedule("cosine", warmup_epochs=1)),
}


@pytest.mark.parametrize("optimizer", ALL)
def test_each_goes_on_after_a_cut_and_in_blocks_of_updates(tiny_config: Config, tmp_path: Path, optimizer) -> None:
    settings, schedule = ALL[optimizer]
    config = replace(tiny_config, optimizer=settings, schedule=schedule)
    config.dashboard.enabled = False
    config.trainer.max_epochs = 5
    config.data.batch_size = 8
    assert updates_per_step(config) > 1
    whole = train(config, tmp_path / "whole")[1]
    if schedule.name == "plateau":
        falls = [row["lr"] for row in whole.read_metrics()][schedule.warmup_epochs :]
        assert len(set(falls)) > 1, "or there is no state to lose"
    for each in ("blocks", "singly"):  # clipping makes Lightning do every update; nothing reaches the largest norm
        config.trainer.gradient_clip_val = 1e9 if each == "singly" else None
        for epochs in (1, 3):
            path = tmp_path / f"{each}{epochs}"
            with pytest.raises(CutOff):
                train(config, path, callbacks=[CutOffIn(epochs)])
            cut = train(replace(config, resume=str(path)), path)[1]
            same_run(cut, whole)
            a, b = (torch.load(run.last_checkpoint, weights_only=True) for run in (cut, whole))
            assert str(a["optimizer_states"]) == str(b["optimizer_states"])
            assert [s | {"_step_count": 0} for s in a["lr_schedulers"]] == [
                s | {"_step_count": 0} for s in b["lr_schedulers"]
            ]


def test_a_run_on_a_plateau_can_be_made_longer(tiny_config: Config, tmp_path: Path) -> None:
    config = replace(tiny_config, schedule=Schedule("plateau", patience=0), optimizer=Optimizer(lr=1.5))
    run = train(config, tmp_path / "short")[1]
    train(resumed_config(str(run.path), ["trainer.max_epochs=5"]), run.path)
    config.trainer.max_epochs = 5
    same_run(run, train(config, tmp_path / "long")[1])


def test_an_optimizer_or_a_schedule_of_ones_own_may_read_any_key() -> None:
    config = Config(schedule=Schedule("mine", gamma=0.5), optimizer=Optimizer("mine", alpha=0.5, momentum=0.5))
    assert not dict(values.unread_rules(config))
    assert not dict(training.optimizer_rules(config))
    ours = replace(config, schedule=Schedule("cosine", gamma=0.5))
    assert dict(values.unread_rules(ours)) == {
        "schedule.gamma": "schedule.name=cosine has none; set schedule.name=exponential, or leave it out"
    }
