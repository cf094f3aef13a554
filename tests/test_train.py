"""One run, from config to result."""

import csv
import json
import logging
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from conftest import PROJECT, CutOff, CutOffIn, Terminal, fresh, script, until
from lenet.batches import updates_per_step
from lenet.cli.compose import resumed_config
from lenet.cli.messages import closing_lines, how_to_go_on
from lenet.config import Augment, Config, Data, Model, Optimizer, Schedule
from lenet.data.files import load
from lenet.data.module import EpochOrder, split
from lenet.errors import BadInput, Diverged, Stopped
from lenet.evaluation.evaluate import evaluate
from lenet.evaluation.load import load_trained
from lenet.job import train_job
from lenet.models.build import build_net
from lenet.run import train
from lenet.runs.directory import RunDirectory
from lenet.runs.files import host
from lenet.system.signals import block_signals, stop_on_signals
from lenet.training.blocks import build_classifier
from lenet.training.callbacks import Bar
from lenet.training.module import NO_CUDA
from lenet.training.optimizers import build_optimizer


def metrics_csv(run: RunDirectory) -> bytes:
    return (run.path / "metrics.csv").read_bytes()


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def test_a_run_leaves_what_the_design_says_and_nothing_else(tiny_config: Config, tmp_path: Path) -> None:
    result, run = train(tiny_config, tmp_path / "run", ["seed=0"])
    files = sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file())
    events = [name for name in files if name.startswith("events.out.tfevents")]
    assert len(events) == 1
    assert [name for name in files if name not in events] == [
        "checkpoints/best.ckpt", "checkpoints/last.ckpt", "config.yaml", "metrics.csv", "result.json", "train.log",
    ]  # fmt: skip
    assert run.read_result() == result
    assert run.read_config() == tiny_config
    assert result["status"] == "completed"
    assert result["error"] is None
    assert result["overrides"] == ["seed=0"]
    assert result["epochs"] == 2
    assert result["examples_per_sec"] > 0
    assert result["device"] == "cpu"
    assert result["threads"] == 1
    assert result["versions"]["torch"] == torch.__version__.split("+")[0]
    assert set(result["metrics"]) == {f"{part}/{name}" for part in ("train", "val", "test") for name in ("loss", "acc")}
    rows = run.read_metrics()
    assert [row["epoch"] for row in rows] == [1, 2]
    best = rows[result["best_epoch"] - 1]
    assert best["val/acc"] == max(row["val/acc"] for row in rows)
    assert {name: result["metrics"][name] for name in best if "/" in name} == {
        n: v for n, v in best.items() if "/" in n
    }


def test_a_net_learns_the_tiny_data(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.trainer.max_epochs = 12
    result, run = train(tiny_config, tmp_path / "run")
    assert result["metrics"]["test/acc"] > 0.8
    assert run.read_metrics()[0]["train/acc"] < 0.5


def test_the_same_config_gives_the_same_metrics_to_the_last_bit(tiny_config: Config, tmp_path: Path) -> None:
    first = train(tiny_config, tmp_path / "first")[1]
    torch.rand(7)  # what happened before in the process has no say
    second = train(tiny_config, tmp_path / "second")[1]
    other = train(replace(tiny_config, seed=1), tmp_path / "other")[1]
    assert metrics_csv(first) == metrics_csv(second)
    assert metrics_csv(first) != metrics_csv(other)


BLOCKS = {
    "blocks": lambda c: replace(c, data=replace(c.data, batch_size=4), schedule=Schedule(name="one_cycle")),
    "blocks_in_steps": lambda c: replace(
        c,
        data=replace(c.data, batch_size=1, train_size=60),
        optimizer=Optimizer(lr=0.01),
        schedule=Schedule(name="steps", epochs=[2], factors=[0.5]),
        model=replace(c.model, norm="none"),
    ),
    "sdlm": lambda c: replace(
        c,
        data=replace(c.data, batch_size=4),
        optimizer=Optimizer(name="sdlm", lr=0.005, curvature_samples=50),
        model=replace(c.model, norm="none"),
    ),
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_run_cut_off_after_any_epoch_ends_as_one_that_never_stopped(tiny_config, tmp_path, kind: str) -> None:
    tiny_config.model.norm = "batch"
    config = BLOCKS[kind](tiny_config)
    config.model.dropout = 0.3
    config.data.augment = Augment(shift=2, flip=True, shear=0.2 if kind == "sdlm" else 0)
    config.trainer.max_epochs = 4
    whole = train(config, tmp_path / "whole")[1]
    for epochs in range(1, 4):
        path = tmp_path / f"cut{epochs}"
        with pytest.raises(CutOff):
            train(config, path, callbacks=[CutOffIn(epochs)])
        assert (RunDirectory(path).read_result() or {})["status"] == "failed"
        result, cut = train(replace(config, resume=str(path)), path)
        assert metrics_csv(cut) == metrics_csv(whole)
        for name in ("best.ckpt", "last.ckpt"):
            expected, got = weights(whole.checkpoints / name), weights(cut.checkpoints / name)
            assert all(torch.equal(expected[key], got[key]) for key in expected)
        assert result["metrics"] == whole.read_result()["metrics"]


def test_a_finished_run_can_be_made_longer(tiny_config: Config, tmp_path: Path) -> None:
    run = train(tiny_config, tmp_path / "short")[1]
    with pytest.raises(BadInput, match=r"2 epochs are done.*trainer.max_epochs"):
        train(resumed_config(str(run.path), [f"resume={run.path}"]), run.path)
    longer = resumed_config(str(run.path), [f"resume={run.path}", "trainer.max_epochs=3"])
    train(longer, run.path)
    tiny_config.trainer.max_epochs = 3
    assert metrics_csv(run) == metrics_csv(train(tiny_config, tmp_path / "long")[1])
    assert run.read_config() == tiny_config


def test_a_resumed_run_keeps_its_config(tiny_config: Config, tmp_path: Path) -> None:
    run = train(tiny_config, tmp_path / "run")[1]
    with pytest.raises(BadInput, match=r"^seed=3.*trainer.max_epochs"):
        resumed_config(str(run.path), [f"resume={run.path}", "seed=3"])
    tiny_config.schedule.name = "cosine"
    run.write_config(tiny_config)
    with pytest.raises(BadInput, match=r"^trainer.max_epochs=9.*cosine"):
        resumed_config(str(run.path), [f"resume={run.path}", "trainer.max_epochs=9"])


def harm(checkpoint: Path, damage: str) -> None:
    if damage == "missing":
        checkpoint.unlink()
    elif damage == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-500])
    elif damage == "empty":
        checkpoint.write_bytes(b"")
    elif damage == "of another net":
        content = torch.load(checkpoint, weights_only=True)
        content["state_dict"]["net.c1.weight"] = torch.zeros(9, 1, 5, 5)
        torch.save(content, checkpoint)
    else:
        torch.save({"state_dict": {}, "evil": Path("/")}, checkpoint)


DAMAGES = ["missing", "truncated", "empty", "of another net", "a stranger's"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_the_last_checkpoint_is_damaged_a_run_goes_on_from_the_best(
    tiny_config, tmp_path, caplog, damage
) -> None:
    tiny_config.trainer.max_epochs = 4
    whole = train(tiny_config, tmp_path / "whole")[1]
    with pytest.raises(CutOff):
        train(tiny_config, tmp_path / "cut", callbacks=[CutOffIn(3)])
    run = RunDirectory(tmp_path / "cut")
    best = torch.load(run.best_checkpoint, weights_only=True)["epoch"] + 1
    harm(run.last_checkpoint, damage)
    train(replace(tiny_config, resume=str(run.path)), run.path)
    assert f"going on from best.ckpt, after epoch {best}" in caplog.text
    assert str(run.last_checkpoint) in caplog.text
    assert metrics_csv(run) == metrics_csv(whole)
    a, b = weights(whole.last_checkpoint), weights(run.last_checkpoint)
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_whole_checkpoint_a_run_is_refused_and_a_job_starts_again(
    tiny_config, tmp_path, caplog, damage
) -> None:
    whole = train(tiny_config, tmp_path / "whole")[1]
    run = train(tiny_config, tmp_path / "run")[1]
    harm(run.last_checkpoint, damage)
    harm(run.best_checkpoint, damage)
    result = run.read_result()
    with pytest.raises(BadInput, match=r"last.ckpt.*best.ckpt.*start the run again") as caught:
        train(replace(tiny_config, resume=str(run.path)), run.path)
    assert "\n" not in str(caught.value)
    assert run.read_result() == result, "nothing was touched"
    run.write_result(result | {"status": "running"})
    train_job(tiny_config, run.path, [])
    assert metrics_csv(run) == metrics_csv(whole)
    assert len(run.event_files) == 1
    if damage != "missing":
        assert "start the run again" in caplog.text


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("checkpoints/best.ckpt", b"", "best.ckpt"),  # whole or not, no later epoch may be better than what it held
        ("metrics.csv", b"epoch,val/acc\n1,0.5\n", "has 1 of the 2 epochs"),
        ("metrics.csv", b"\xff", "not the metrics of a run"),
        ("metrics.csv", None, "has 0 of the 2 epochs"),
    ],
)
def test_a_run_without_all_that_its_result_is_made_of_is_refused_and_a_job_starts_again(
    tiny_config, tmp_path, caplog, file, content, words
) -> None:
    tiny_config.trainer.max_epochs = 3
    whole = train(tiny_config, tmp_path / "whole")[1]
    with pytest.raises(CutOff):
        train(tiny_config, tmp_path / "run", callbacks=[CutOffIn(2)])
    run = RunDirectory(tmp_path / "run")
    (run.path / file).unlink()
    if content is not None:
        (run.path / file).write_bytes(content)
    result = run.read_result()
    with pytest.raises(BadInput, match=rf"{words}.*start the run again"):
        train(replace(tiny_config, resume=str(run.path)), run.path)
    assert run.read_result() == result, "nothing was touched"
    train_job(tiny_config, run.path, [])
    assert words in caplog.text
    assert metrics_csv(run) == metrics_csv(whole)


def without_schedule(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    del content["lr_schedulers"]
    torch.save(content, checkpoint)


def test_a_checkpoint_that_lightning_cannot_go_on_from_is_refused_and_a_job_starts_again(
    tiny_config, tmp_path, caplog
) -> None:
    tiny_config.schedule.name = "cosine"
    whole = train(tiny_config, tmp_path / "whole")[1]
    run = train(tiny_config, tmp_path / "run")[1]
    run.write_result(run.read_result() | {"status": "interrupted", "epochs": 1})
    for checkpoint in (run.last_checkpoint, run.best_checkpoint):
        without_schedule(checkpoint)
    before = (run.path / "result.json").read_bytes(), (run.path / "config.yaml").read_bytes()
    with pytest.raises(BadInput, match=r"last.ckpt: a run cannot go on from it .*start the run again"):
        train(replace(tiny_config, resume=str(run.path)), run.path)
    assert ((run.path / "result.json").read_bytes(), (run.path / "config.yaml").read_bytes()) == before
    train_job(tiny_config, run.path, [])
    assert "a run cannot go on from it" in caplog.text
    assert metrics_csv(run) == metrics_csv(whole)


def test_a_job_that_cannot_go_on_lets_go_of_its_directory_and_keeps_what_it_has(tiny_config, tmp_path) -> None:
    run = train(tiny_config, tmp_path / "run")[1]
    run.write_result(run.read_result() | {"status": "running"})
    tiny_config.trainer.accelerator = "gpu" if not torch.cuda.is_available() else "tpu"
    with pytest.raises(BadInput, match=r"trainer\.accelerator") as kept:  # as a sweep keeps what ended its jobs
        train_job(tiny_config, run.path, [])
    assert not run.is_locked, kept
    assert run.last_checkpoint.exists()
    assert len(run.read_metrics()) == 2


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["on_before_optimizer_step", "on_validation_batch_start", "on_test_batch_start"])
def test_a_signal_ends_a_run_after_the_step_that_it_came_in(tiny_config, tmp_path, signum, moment) -> None:
    class Watch(L.Callback):
        def __init__(self) -> None:
            self.seen: list[str] = []

    def note(name: str) -> object:
        def hook(watch: Watch, *_: object, **__: object) -> None:
            watch.seen.append(name)
            if name == moment and name not in watch.seen[:-1]:
                os.kill(os.getpid(), signum)

        return hook

    for name in (moment, "on_train_batch_end", "on_validation_batch_end", "on_test_batch_end", "on_train_batch_start"):
        setattr(Watch, name, note(name))
    watch = Watch()
    before = signal.getsignal(signum)
    with pytest.raises(Stopped) as caught:
        train(tiny_config, tmp_path / "run", callbacks=[watch])
    assert caught.value.exit_code == 128 + signum
    part = {"on_before_optimizer_step": "train", "on_validation_batch_start": "validation"}.get(moment, "test")
    assert watch.seen[-1] == f"on_{part}_batch_end"
    run = RunDirectory(tmp_path / "run")
    assert run.read_result()["status"] == "interrupted"
    assert not run.is_locked
    assert signal.getsignal(signum) == before
    advice = how_to_go_on(caught.value.run)
    if part == "test":
        assert advice.endswith(f"resume={run.path}")
    else:
        assert not run.last_checkpoint.exists()
        assert "no epoch was done" in advice
    result = train(replace(tiny_config, resume=str(run.path)), run.path)[0] if run.last_checkpoint.exists() else None
    assert result is None or result["status"] == "completed"


def test_a_signal_is_not_lost_while_other_processes_are_started() -> None:
    deaf = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []) >= {signal.SIGINT, signal.SIGTERM})"

    def start_others() -> None:
        with block_signals():
            os.kill(os.getpid(), signal.SIGINT)
            assert subprocess.check_output([sys.executable, "-c", deaf], text=True) == "True\n"

    with stop_on_signals(), pytest.raises(Stopped):
        start_others()


def test_what_a_killed_writer_left_is_removed_and_what_another_writes_is_not(
    tiny_config: Config, tmp_path: Path
) -> None:
    run = train(tiny_config, tmp_path / "run")[1]
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [
        run.checkpoints / f".last.ckpt.{gone.pid}@{host()}.tmp",
        run.path / f".result.json.{gone.pid}@{host()}.tmp",
    ]
    others = [run.path / f".metrics.csv.{os.getppid()}@{host()}.tmp", run.path / ".mine.tmp"]
    for file in (*left, *others):
        file.write_bytes(b"half")
    assert run.lock()
    run.unlock()
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in others)


OPTIMIZERS = {
    "sgd": Optimizer(lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": Optimizer(name="adam", lr=0.003),
    "adamw": Optimizer(name="adamw", lr=0.003, weight_decay=0.01),
    "sdlm": Optimizer(name="sdlm", lr=0.005, curvature_samples=50),
}
SCHEDULES = {
    "constant": Schedule(),
    "one_cycle": Schedule(name="one_cycle"),
    "cosine": Schedule(name="cosine"),
    "steps": Schedule("steps", 0, [1, 2], [0.5, 0.1]),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_and_schedule_goes_on_after_every_epoch(tiny_config, tmp_path, optimizer, schedule) -> None:
    config = replace(tiny_config, optimizer=OPTIMIZERS[optimizer], schedule=SCHEDULES[schedule])
    config.model.norm = "none" if optimizer == "sdlm" else "batch"
    config.model.dropout = 0.3
    config.data.augment = Augment(shift=2, flip=True, scale=0.1)
    config.dashboard.enabled = False  # tests/test_dashboard.py has a test of its own
    config.trainer.max_epochs = 4
    whole = train(config, tmp_path / "whole")[1]
    for epochs in (1, 2, 3, 4):
        path = tmp_path / f"cut{epochs}"
        with pytest.raises(CutOff):
            train(config, path, callbacks=[CutOffIn(epochs)])
        cut = train(replace(config, resume=str(path)), path)[1]
        assert metrics_csv(cut) == metrics_csv(whole)
        for name in ("best.ckpt", "last.ckpt"):
            a, b = (torch.load(run.checkpoints / name, weights_only=True) for run in (whole, cut))
            assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"])
            assert str(a["optimizer_states"]) == str(b["optimizer_states"])
            assert a["lr_schedulers"] == b["lr_schedulers"]
            assert (a["epoch"], a["global_step"]) == (b["epoch"], b["global_step"])


@pytest.mark.parametrize("test_on", ["best", "last"])
def test_so_it_is_where_the_weights_are_averaged(tiny_config, tmp_path, test_on: str) -> None:
    config = replace(tiny_config, optimizer=replace(OPTIMIZERS["sgd"], ema_decay=0.9, decay_biases=False))
    config = replace(config, schedule=Schedule(name="one_cycle"), test_on=test_on, test_each_epoch=test_on == "last")
    config.loss.label_smoothing = 0.1
    config.model.norm = "batch"
    config.data.augment = Augment(erase=0.5)
    config.trainer.max_epochs = 3
    whole = train(config, tmp_path / "whole")[1]
    for epochs in (1, 2, 3):
        path = tmp_path / f"cut{epochs}"
        with pytest.raises(CutOff):
            train(config, path, callbacks=[CutOffIn(epochs)])
        result, cut = train(replace(config, resume=str(path)), path)
        assert metrics_csv(cut) == metrics_csv(whole)
        assert result["metrics"] == whole.read_result()["metrics"]
        a, b = (torch.load(run.last_checkpoint, weights_only=True) for run in (whole, cut))
        for state in ("state_dict", "current_model_state"):
            assert all(torch.equal(a[state][key], b[state][key]) for key in a[state])
        assert not all(torch.equal(a["state_dict"][key], value) for key, value in a["current_model_state"].items())


@pytest.mark.parametrize("ema_decay", [None, 0.9])
@pytest.mark.parametrize("last", ["missing", "of the epoch before"])
def test_a_run_that_was_killed_between_the_two_checkpoints_of_its_last_epoch_ends_as_any_other(
    tiny_config, tmp_path, last, ema_decay
) -> None:
    tiny_config.optimizer.ema_decay = ema_decay
    tiny_config.test_on = "last"
    whole = train(tiny_config, tmp_path / "run")[0]
    assert whole["best_epoch"] == tiny_config.trainer.max_epochs, "or this says nothing"
    path = tmp_path / "cut"
    with pytest.raises(CutOff):
        train(tiny_config, path, callbacks=[CutOffIn(99)])
    run = RunDirectory(path)
    if last == "missing":
        run.last_checkpoint.unlink()
    else:
        with pytest.raises(CutOff):
            train(tiny_config, tmp_path / "before", callbacks=[CutOffIn(tiny_config.trainer.max_epochs - 1)])
        shutil.copy(tmp_path / "before/checkpoints/last.ckpt", run.last_checkpoint)
    assert train(replace(tiny_config, resume=str(path)), path)[0]["metrics"] == whole["metrics"]
    a, b = weights(tmp_path / "run/checkpoints/last.ckpt"), weights(run.last_checkpoint)
    assert all(torch.equal(a[key], b[key]) for key in a)


class EveryUpdate(L.Callback):
    """Keeps the weights as they are after each update."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
        self.weights.append(module.net.c1.weight.detach().clone())


def test_validation_test_and_checkpoints_have_the_running_mean_of_the_weights(tiny_config, tmp_path) -> None:
    config = replace(tiny_config, test_on="last", test_each_epoch=True)
    config.optimizer.ema_decay = 0.8
    watch = EveryUpdate()
    result, run = train(config, tmp_path / "run", callbacks=[watch])
    mean = watch.weights[0]
    for weight in watch.weights[1:]:
        mean = 0.8 * mean + 0.2 * weight
    checkpoint = torch.load(run.last_checkpoint, weights_only=True)
    assert torch.allclose(checkpoint["state_dict"]["net.c1.weight"], mean, atol=1e-6)
    assert torch.equal(checkpoint["current_model_state"]["net.c1.weight"], watch.weights[-1])
    trained = load_trained(run.path)
    for part, name in (("validation", "val"), ("test", "test")):
        seen = evaluate(trained, part)
        assert seen.accuracy == result["metrics"][f"{name}/acc"] == run.read_metrics()[-1][f"{name}/acc"]
        assert seen.loss == pytest.approx(result["metrics"][f"{name}/loss"], rel=1e-6)
    plain = train(replace(config, optimizer=replace(config.optimizer, ema_decay=None)), tmp_path / "plain")[1]
    for ours, theirs in zip(run.read_metrics(), plain.read_metrics(), strict=True):
        assert ours["train/loss"] == theirs["train/loss"], "what is learned does not depend on the mean"
        assert ours["val/loss"] != theirs["val/loss"]


def test_labels_are_smoothed_where_the_net_trains_alone(tiny_config, tmp_path) -> None:
    tiny_config.optimizer.lr = 1e-9  # the same net in all three, but for rounding
    plain = train(tiny_config, tmp_path / "plain")[0]["metrics"]
    tiny_config.loss.label_smoothing = 0.2
    smooth = train(tiny_config, tmp_path / "smooth")[0]["metrics"]
    tiny_config.loss.label_smoothing = 0.6
    smoother = train(tiny_config, tmp_path / "smoother")[0]["metrics"]
    for name in ("val/loss", "test/loss", "val/acc", "train/acc"):
        assert smooth[name] == pytest.approx(plain[name], rel=1e-5)
    # Linear in the share, as a mean of the plain loss and of the one against even targets.
    change = smooth["train/loss"] - plain["train/loss"]
    assert abs(change) > 1e-3
    assert smoother["train/loss"] - plain["train/loss"] == pytest.approx(3 * change, rel=1e-3)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_weight_decay_may_spare_biases_and_batch_normalisation(name: str) -> None:
    torch.manual_seed(0)
    net = build_net(Config(model=Model(conv_channels=[3], padding=2, fc_sizes=[5], norm="batch")))
    before = {key: value.clone() for key, value in net.named_parameters()}
    optimizer = build_optimizer(net, Optimizer(name=name, lr=0.1, weight_decay=0.5, decay_biases=False))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    changed = {key for key, value in net.named_parameters() if not torch.equal(value, before[key])}
    assert changed == {"c1.weight", "c3.weight", "output.weight"}


def test_the_test_set_sees_the_best_weights_or_the_last_as_the_recipe_says(tiny_config, tmp_path) -> None:
    tiny_config.trainer.max_epochs = 6
    tiny_config.optimizer.lr = 1.5  # restless enough for the last epoch not to be the best
    best, run = train(tiny_config, tmp_path / "best")
    last, _ = train(replace(tiny_config, test_on="last"), tmp_path / "last")
    rows = run.read_metrics()
    assert best["best_epoch"] < 6
    assert best["metrics"]["val/acc"] == rows[best["best_epoch"] - 1]["val/acc"]
    assert last["metrics"]["val/acc"] == rows[-1]["val/acc"]
    assert best["metrics"]["test/loss"] != last["metrics"]["test/loss"]


def test_without_validation_everything_is_trained_on_and_the_last_weights_are_tested(tiny_config, tmp_path) -> None:
    tiny_config.data.val_fraction = 0
    tiny_config.test_on = "last"
    result, run = train(tiny_config, tmp_path / "run")
    assert result["best_epoch"] is None
    assert not run.best_checkpoint.exists()
    assert "val/acc" not in result["metrics"]
    assert "val/acc" not in run.read_metrics()[0]


def test_a_loss_that_is_no_number_ends_the_run_as_failed(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.optimizer.lr = 1e30
    tiny_config.model.activation = "relu"
    with pytest.raises(Diverged, match=r"(nan|inf) in epoch 1 at a learning rate of 1e\+30"):
        train(tiny_config, tmp_path / "run")
    result = RunDirectory(tmp_path / "run").read_result()
    assert result["status"] == "failed"
    assert "epoch 1" in result["error"]["message"]
    assert "Traceback" in result["error"]["traceback"]


@pytest.mark.parametrize("drop_last", [False, True])
def test_every_image_is_counted_once_or_the_last_incomplete_batch_left_out(tiny_config, tmp_path, drop_last) -> None:
    tiny_config.data.drop_last = drop_last
    tiny_config.data.batch_size = 48  # 160 images: three batches and a third of one
    tiny_config.trainer.max_epochs = 1
    tiny_config.optimizer.lr = 1e-12  # the weights stand still, so the metrics on the fly are those of one net
    result, run = train(tiny_config, tmp_path / "run")
    images, labels = load("fashion_mnist", tiny_config.data.root, "train")
    training, validation = split(len(labels), 0.2, 0)
    order = EpochOrder(160, seed=0)
    training = training[list(order)[: 144 if drop_last else 160]]
    net = plain_net(weights(run.last_checkpoint), nn.Tanh, nn.AvgPool2d, [2, 3], [12])
    for name, part in (("train", training), ("val", validation)):
        with torch.no_grad():
            logits = net(images[part] / 255)
        hits = (logits.argmax(1) == labels[part]).sum().item()
        assert result["metrics"][f"{name}/acc"] == hits / len(part)
        assert result["metrics"][f"{name}/loss"] == pytest.approx(
            F.cross_entropy(logits, labels[part]).item(), rel=1e-5
        )


def plain_net(state, activation, pool, channels, sizes) -> nn.Sequential:
    """A LeNet without any of our classes, with the weights of a checkpoint in their order."""
    c1, c3 = channels
    layers = [nn.Conv2d(1, c1, 5, padding=2), activation(), pool(2), nn.Conv2d(c1, c3, 5), activation(), pool(2)]
    layers.append(nn.Flatten())
    features = c3 * 25
    for size in sizes:
        layers += [nn.Linear(features, size), activation()]
        features = size
    net = nn.Sequential(*layers, nn.Linear(features, 10))
    net.load_state_dict(dict(zip(net.state_dict(), state.values(), strict=True)))
    return net.eval()


@pytest.mark.real_data
def test_the_test_accuracy_is_that_of_the_checkpoint_in_plain_pytorch(real_root: str, tmp_path: Path) -> None:
    config = Config(data=Data(root=real_root))
    config.trainer.max_epochs = 2
    config.trainer.accelerator = "cpu"
    config.model.activation = "relu"
    config.optimizer.lr = 0.1
    result, run = train(config, tmp_path / "run")
    images, labels = load("fashion_mnist", real_root, "test")
    for name in ("best", "last"):
        assert weights(run.checkpoints / f"{name}.ckpt")
    net = plain_net(weights(run.best_checkpoint), nn.ReLU, nn.AvgPool2d, [6, 16], [120, 84])
    with torch.no_grad():
        logits = net(images / 255)
    hits = (logits.argmax(1) == labels).sum().item()
    assert hits / 10_000 == result["metrics"]["test/acc"]
    assert F.cross_entropy(logits, labels).item() == pytest.approx(result["metrics"]["test/loss"], rel=1e-5)
    assert result["metrics"]["test/acc"] > 0.7


def test_a_net_whose_arithmetic_nobody_knows_has_blocks_as_well(monkeypatch) -> None:
    monkeypatch.setattr("lenet.batches.size_of", lambda config: (10, 0))
    assert updates_per_step(Config()) > 1


def test_batches_may_be_gathered_into_one_update(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.data.batch_size = 80
    whole = train(tiny_config, tmp_path / "whole")[1]
    tiny_config.data.batch_size = 40
    tiny_config.trainer.accumulate_grad_batches = 2
    halves = train(tiny_config, tmp_path / "halves")[1]
    a, b = weights(whole.last_checkpoint), weights(halves.last_checkpoint)
    assert all(torch.allclose(a[key], b[key], atol=1e-6) for key in a)


@pytest.mark.parametrize("schedule", [Schedule(), Schedule(name="one_cycle"), Schedule("steps", 0, [1, 2], [0.5, 0.1])])
@pytest.mark.parametrize("optimizer", [Optimizer(lr=0.05, momentum=0.9), Optimizer(name="sdlm", lr=0.002)])
def test_a_block_of_updates_is_those_updates_one_by_one(tiny_config, tmp_path, schedule, optimizer) -> None:
    config = replace(tiny_config, schedule=schedule, optimizer=optimizer)
    config.data.batch_size = 3  # 160 images: 53 updates and one of a single image
    config.data.augment = Augment(shift=2, flip=True)
    config.model.dropout = 0.3
    config.trainer.max_epochs = 3
    blocks = train(config, tmp_path / "blocks")[1]
    # Clipping is Lightning's affair, so that it makes every update; nothing reaches the largest norm.
    config.trainer.gradient_clip_val = 1e9
    singly = train(config, tmp_path / "singly")[1]
    assert metrics_csv(blocks) == metrics_csv(singly)
    a, b = (torch.load(run.last_checkpoint, weights_only=True) for run in (blocks, singly))
    assert a["global_step"] == b["global_step"] == 3 * 54
    assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"])


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("shear", [0, 0.2])
def test_so_it_is_in_other_precisions(tiny_config, tmp_path, precision, shear) -> None:
    tiny_config.trainer.precision = precision
    tiny_config.data.batch_size = 12
    tiny_config.data.augment = Augment(shift=2, flip=True, shear=shear)
    tiny_config.data.mean = 0.3
    blocks = train(tiny_config, tmp_path / "blocks")[1]
    tiny_config.trainer.log_every_n_steps = 1  # so that every update is a step of the Trainer
    singly = train(tiny_config, tmp_path / "singly")[1]
    assert metrics_csv(blocks) == metrics_csv(singly)
    a, b = (weights(run.last_checkpoint) for run in (blocks, singly))
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(("limit", "drop_last", "updates"), [(7, False, 7), (0.5, False, 27), (None, True, 53)])
def test_blocks_keep_to_the_limits_of_an_epoch(tiny_config, tmp_path, limit, drop_last, updates) -> None:
    tiny_config.data.batch_size, tiny_config.data.drop_last = 3, drop_last
    tiny_config.trainer.limit_train_batches = limit
    _, run = train(tiny_config, tmp_path / "run")
    assert torch.load(run.last_checkpoint, weights_only=True)["global_step"] == 2 * updates


def test_blocks_end_where_something_is_to_be_logged(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.data.batch_size = 2
    tiny_config.data.augment = Augment(shift=2, shear=0.1)
    whole = train(tiny_config, tmp_path / "whole")[1]
    tiny_config.trainer.log_every_n_steps = 30
    _, run = train(tiny_config, tmp_path / "run")
    points = EventAccumulator(str(run.path)).Reload().Scalars("train/loss_within_epoch")
    assert [point.step for point in points] == [60, 120, 160 + 60, 160 + 120]
    assert metrics_csv(run) == metrics_csv(whole), "what is logged has no say in what is learned"


def test_the_test_curve_ends_at_the_result_and_changes_nothing(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.test_on = "last"
    plain = train(tiny_config, tmp_path / "plain")[1]
    result, run = train(replace(tiny_config, test_each_epoch=True), tmp_path / "tested")
    limited = replace(tiny_config, test_each_epoch=True, trainer=replace(tiny_config.trainer, limit_test_batches=1))
    assert train(limited, tmp_path / "limited")[0]["metrics"]["test/acc"] == result["metrics"]["test/acc"]
    assert [row["test/acc"] for row in run.read_metrics()][-1] == result["metrics"]["test/acc"]
    assert [row["test/loss"] for row in run.read_metrics()][-1] == result["metrics"]["test/loss"]
    assert len(run.read_metrics()) == 2
    a, b = weights(plain.last_checkpoint), weights(run.last_checkpoint)
    assert all(torch.equal(a[key], b[key]) for key in a)
    points = EventAccumulator(str(run.path)).Reload().Scalars("test/acc")
    assert {point.step for point in points} == {1, 2}


def test_sdlm_says_the_smallest_and_the_largest_learning_rate_of_each_epoch(tiny_config, tmp_path) -> None:
    tiny_config.optimizer = Optimizer(name="sdlm", lr=0.01, mu=0.1)
    _, run = train(tiny_config, tmp_path / "run")
    state = torch.load(run.last_checkpoint, weights_only=True)["optimizer_states"][0]["state"]
    rates = torch.cat([0.01 / (0.1 + values["h"].flatten()) for values in state.values()])
    assert len(rates) == run.read_result()["parameters"]
    last = run.read_metrics()[-1]
    assert (last["lr_min"], last["lr_max"]) == pytest.approx((rates.min().item(), rates.max().item()))
    tags = EventAccumulator(str(run.path)).Reload().Tags()
    assert "weight_log10_lr/c1.weight" in tags["histograms"]
    assert {"train/lr_min", "train/lr_max"} <= set(tags["scalars"])


def test_sdlm_whose_second_derivatives_overflow_has_diverged(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.optimizer = Optimizer(name="sdlm", lr=1e20)
    tiny_config.model.activation = "relu"
    tiny_config.trainer.limit_train_batches = 1
    with pytest.raises(Diverged, match=r"smaller optimizer\.lr"):
        train(tiny_config, tmp_path / "run")
    assert RunDirectory(tmp_path / "run").read_result()["status"] == "failed"


def test_how_convolutions_are_computed_follows_the_size_of_the_batch(tiny_config: Config, tmp_path: Path) -> None:
    for size, fast in ((4, False), (32, True), (4, False)):
        tiny_config.data.batch_size = size
        train(tiny_config, tmp_path / "run")
        assert torch.backends.mkldnn.is_available() is False or torch._C._get_mkldnn_enabled() is fast


def test_a_run_in_steps_can_be_made_longer(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.schedule = Schedule(name="steps", epochs=[1, 3], factors=[0.5, 0.1])
    _, run = train(tiny_config, tmp_path / "run")
    train(resumed_config(str(run.path), ["trainer.max_epochs=4"]), run.path)
    assert [row["lr"] for row in run.read_metrics()] == pytest.approx([0.1, 0.05, 0.05, 0.01])


def test_the_gradient_is_clipped_to_its_largest_norm(tiny_config: Config, tmp_path: Path) -> None:
    class Norms(L.Callback):
        seen: list[float] = []  # noqa: RUF012

        def on_before_optimizer_step(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
            self.seen.append(torch.cat([p.grad.flatten() for p in module.parameters()]).norm().item())

    class Distance(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
            self.before = torch.cat([p.detach().flatten().clone() for p in module.parameters()])

        def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
            after = torch.cat([p.detach().flatten() for p in module.parameters()])
            # one update of SGD moves the weights by the learning rate times the norm of the gradient
            assert (after - self.before).norm().item() == pytest.approx(0.1 * 0.01, rel=1e-2)

    tiny_config.trainer.gradient_clip_val = 0.01
    train(tiny_config, tmp_path / "run", callbacks=[Norms(), Distance()])
    assert min(Norms.seen) > 0.01  # so that there was something to clip


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_other_precisions_train(tiny_config: Config, tmp_path: Path, precision: str) -> None:
    tiny_config.trainer.precision = precision
    result, run = train(tiny_config, tmp_path / "run")
    assert result["status"] == "completed"
    dtype = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "bf16-mixed": torch.float32}[precision]
    assert next(iter(weights(run.last_checkpoint).values())).dtype == dtype


def test_fast_dev_run_does_one_batch_of_everything(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.trainer.fast_dev_run = True
    tiny_config.data.batch_size = 8
    seen = []

    class Count(L.Callback):
        def on_train_batch_end(self, *_: object) -> None:
            seen.append("train")

    result, _ = train(tiny_config, tmp_path / "run", callbacks=[Count()])
    assert seen == ["train"]
    assert result["epochs"] == 1


def test_of_the_compilers_warnings_that_of_a_machine_without_cuda_is_left_out(tiny_config) -> None:
    source = Path(torch.utils.__file__).with_name("cpp_extension.py").read_text(encoding="utf-8")
    log = logging.getLogger("torch.utils.cpp_extension")
    assert NO_CUDA in source, "these are the words of this torch"
    build_classifier(replace(tiny_config, compile=True))

    def passes(*words: str) -> bool:
        return bool(log.filter(log.makeRecord(log.name, logging.WARNING, "", 0, words[0], words[1:], None)))

    assert not passes(f"{NO_CUDA}='%s'", "/usr/local/cuda")
    assert passes("CUDA was not found on the system")


def test_a_compiled_net_computes_the_same_and_saves_the_same_names(tiny_config: Config, tmp_path: Path) -> None:
    if shutil.which("c++") is None and shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler here")
    plain, _ = train(tiny_config, tmp_path / "plain")
    compiled, run = train(replace(tiny_config, compile=True), tmp_path / "compiled")
    assert weights(run.last_checkpoint).keys() == weights(tmp_path / "plain/checkpoints/last.ckpt").keys()
    assert compiled["metrics"]["val/loss"] == pytest.approx(plain["metrics"]["val/loss"], rel=1e-4)


@pytest.mark.parametrize(("schedule", "ends"), [("cosine", 0.0), ("one_cycle", 0.1 / 25e4)])
def test_metrics_have_the_learning_rate_of_the_last_update(tiny_config, tmp_path, schedule: str, ends: float) -> None:
    tiny_config.schedule.name = schedule
    _, run = train(tiny_config, tmp_path / "run")
    first, last = (row["lr"] for row in run.read_metrics())
    assert last < first < 0.1
    if schedule == "cosine":  # the tenth of ten updates
        assert last == pytest.approx(0.05 * (1 + math.cos(math.pi * 9 / 10)))
    else:
        assert last == pytest.approx(ends)


def test_a_run_that_was_moved_keeps_its_best_weights(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.trainer.max_epochs = 6
    tiny_config.optimizer.lr = 1.5
    whole = train(tiny_config, tmp_path / "whole")[1]
    best = whole.read_result()["best_epoch"]
    assert 1 < best < 6
    with pytest.raises(CutOff):
        train(tiny_config, tmp_path / "cut", callbacks=[CutOffIn(best)])
    shutil.move(tmp_path / "cut", tmp_path / "moved")
    result, moved = train(replace(tiny_config, resume=str(tmp_path / "moved")), tmp_path / "moved")
    assert result["metrics"] == whole.read_result()["metrics"]
    assert result["best_epoch"] == best
    a, b = weights(whole.best_checkpoint), weights(moved.best_checkpoint)
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_cut_off_before_its_test_is_tested_when_it_goes_on(tiny_config: Config, tmp_path: Path) -> None:
    class InTest(L.Callback):
        def on_test_start(self, *_: object) -> None:
            raise CutOff

    with pytest.raises(CutOff):
        train(tiny_config, tmp_path / "run", ["seed=0"], callbacks=[InTest()])
    before = RunDirectory(tmp_path / "run").read_result()
    result, run = train(replace(tiny_config, resume=str(tmp_path / "run")), tmp_path / "run", ["resume=run"])
    whole = train(tiny_config, tmp_path / "whole")[0]
    assert result["metrics"] == whole["metrics"]
    assert result["overrides"] == ["seed=0"]
    assert result["seconds"] > before["seconds"]
    assert result["examples_per_sec"] == before["examples_per_sec"] > 0
    with pytest.raises(BadInput, match=r"2 epochs are done, and trainer.max_epochs=1"):
        train(resumed_config(str(run.path), ["trainer.max_epochs=1"]), run.path)
    assert run.read_config() == tiny_config


QUICK = (
    "trainer.accelerator=cpu",
    "trainer.limit_train_batches=3",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
)


@pytest.fixture
def real_environment(real_root: str) -> dict[str, str]:
    return os.environ | {"LENET_DATA": str(Path(real_root).resolve())}


@pytest.mark.real_data
def test_the_command_prints_what_it_trains_a_line_per_epoch_the_books_two_lines_and_the_directory(
    in_empty_folder, real_environment
) -> None:
    done = fresh("train.py", *QUICK, "trainer.max_epochs=2", cwd=in_empty_folder, env=real_environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    about, first, second, metrics, speed, guesses, where = done.stdout.splitlines()
    assert guesses.startswith("this is no better than guessing; 6 updates are few: try trainer.max_epochs=")
    assert about == "lenet on fashion_mnist, 61,706 parameters, 2 epochs"
    assert re.match(r"epoch 1/2  train loss \d\.\d{3}  train acc 0\.\d{3}  val loss .*  val acc 0\.\d{3}  \d", first)
    assert second.startswith("epoch 2/2")
    figures = r"loss \d\.\d{3}, train acc 0\.\d{3}, val acc 0\.\d{3}, test acc 0\.\d{3}"
    assert re.fullmatch(rf"{figures}, best epoch [12]", metrics)
    assert re.fullmatch(r"\d+\.\d examples/sec on cpu", speed)
    assert re.fullmatch(r"runs/lenet/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", where)
    result = json.loads((in_empty_folder / where / "result.json").read_text())
    assert result["overrides"] == [*QUICK, "trainer.max_epochs=2"]


@pytest.mark.parametrize(("test_on", "epoch"), [("best", 2), ("last", 3)])
def test_the_closing_line_is_the_books_and_names_the_epoch_of_its_figures(test_on, epoch) -> None:
    metrics = {"train/loss": 0.4686, "train/acc": 0.8234, "test/loss": 0.5, "test/acc": 0.8009}
    result = {"metrics": metrics, "best_epoch": 2, "epochs": 3, "examples_per_sec": 18042.3, "device": "cpu"}
    first, second, where = closing_lines(result, RunDirectory("runs/x"), test_on).splitlines()
    assert first == f"loss 0.469, train acc 0.823, test acc 0.801, {test_on} epoch {epoch}"
    assert (second, where) == ("18042.3 examples/sec on cpu", "runs/x")


@pytest.mark.real_data
def test_a_job_of_a_multirun_gives_the_numbers_of_the_run_alone(in_empty_folder, real_environment) -> None:
    done = script(
        "train.py", "-m", "seed=0,1", *QUICK, "hydra.sweep.dir=sweep", cwd=in_empty_folder, env=real_environment
    )
    assert done.returncode == 0, done.stderr
    jobs = sorted((in_empty_folder / "sweep").glob("*seed=*"))
    assert len(jobs) == 2
    script("train.py", "seed=1", *QUICK, "hydra.run.dir=alone", cwd=in_empty_folder, env=real_environment)
    alone = RunDirectory(in_empty_folder / "alone")
    assert metrics_csv(alone) == metrics_csv(RunDirectory(jobs[1]))
    assert alone.read_result()["metrics"] == RunDirectory(jobs[1]).read_result()["metrics"]


class Bars(L.Callback):
    """How far the bar is, before each update and at the end of each epoch."""

    def __init__(self, bar: Bar) -> None:
        self.bar, self.seen = bar, list[tuple[float, float | None]]()

    def on_before_optimizer_step(self, *_: object) -> None:
        self.seen.append((self.bar.train_progress_bar.n, self.bar.train_progress_bar.total))

    def on_train_epoch_end(self, *_: object) -> None:
        self.on_before_optimizer_step()


@pytest.mark.parametrize(("updates", "each", "seen"), [(1, 1, [0, 1, 2, 3, 4, 5]), (5, 1, [0, 1, 2, 3, 4, 5]),
                                                       (1, 2, [1, 3, 4, 5])])  # fmt: skip
def test_the_progress_bar_counts_batches_however_many_are_one_step(
    tiny_config, tmp_path, capsys, updates, each, seen
) -> None:
    tiny_config.trainer.log_every_n_steps = updates
    tiny_config.trainer.accumulate_grad_batches = each
    assert updates_per_step(tiny_config) == updates
    bar = Bar()
    watching = Bars(bar)
    train(tiny_config, tmp_path / "run", callbacks=[watching, bar])
    assert watching.seen == 2 * [(n, 5) for n in seen]
    said = capsys.readouterr().out
    assert re.findall(r"[Ee]poch \d+(?:/\d+)?:", said)[0] == "epoch 1/2:"
    assert not re.search(r"Training|Epoch", said)
    assert " batches/s" in said


@pytest.mark.real_data
def test_on_a_terminal_there_is_a_progress_bar(start, real_environment) -> None:
    terminal = Terminal()
    limits = ["trainer.max_epochs=1", "trainer.limit_train_batches=50", "trainer.limit_test_batches=1"]
    code, _ = start(*limits, out=terminal.name, env=real_environment).wait()
    said = terminal.said()
    assert code == 0, said
    assert re.search(r"epoch 1/1: +\d+%\|", said)
    assert "epoch 1/1  train loss" in said
    assert said.count("61,706 parameters, 1 epoch") == 1, "once, where it says that torch is loaded"


@pytest.mark.real_data
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_as_interrupted_and_it_can_go_on(
    start, in_empty_folder, real_environment, signum, code
) -> None:
    real_environment.pop("UV_RUN_RECURSION_DEPTH", None)
    run_dir = "hydra.run.dir='run, my own'"
    begun = start(run_dir, "trainer.max_epochs=100000", *QUICK, env=real_environment, apart=True)
    until(lambda: "\nepoch 2/" in begun.said, begun)
    assert begun.kill(signum)[0] == code
    said = begun.complaints
    assert said.count("\n") == 1
    command = [sys.executable, str(PROJECT / "scripts/train.py")]
    assert said.startswith(f"interrupted by {signal.Signals(signum).name}; this goes on: {shlex.join(command)} ")
    goes_on = shlex.split(said.partition("this goes on: ")[2])
    run = RunDirectory(in_empty_folder / "run, my own")
    assert run.read_result()["status"] == "interrupted"
    epochs = len(run.read_metrics())
    goes_on.append(f"trainer.max_epochs={epochs + 1}")
    done = script("train.py", *goes_on[len(command) :], cwd=in_empty_folder, env=real_environment)
    assert done.returncode == 0, done.stderr
    assert run.read_result()["status"] == "completed"
    with (run.path / "metrics.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(1, epochs + 2))
    assert all(math.isfinite(row["val/loss"]) for row in run.read_metrics())


@pytest.mark.skipif(torch.cuda.is_available(), reason="where there is a GPU its driver is asked once")
def test_an_update_does_not_look_for_a_gpu_driver_again(monkeypatch) -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    optimizer = torch.optim.Adam([weight])
    optimizer.step()
    monkeypatch.setattr("torch.cuda._device_count_nvml", lambda: pytest.fail("it does"))
    optimizer.step()
