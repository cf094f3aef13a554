"""What ends a run, and what helps to find a mistake in one: each key of Lightning's, and what it then does."""

import json
import logging
import math
import sys
import threading
from dataclasses import replace
from pathlib import Path

import lightning as L
import pytest
import torch
from hydra.types import RunMode

from conftest import PROJECT, CutOff, CutOffIn, same_run
from lenet import cli
from lenet.batches import batches_in, epochs, updates, updates_per_step
from lenet.bounds import seconds
from lenet.cli.compose import resumed_config
from lenet.cli.messages import how_to_go_on
from lenet.config import Augment, Config, Schedule, Trainer
from lenet.errors import BadInput, Diverged, NothingValidated, TimeUp
from lenet.job import train_job
from lenet.rules import validate
from lenet.run import train
from lenet.runs.directory import RunDirectory
from lenet.runs.metrics import chosen_by
from lenet.training.demands import about
from test_experiments import composed


def with_trainer(config: Config, **settings: object) -> Config:
    return replace(config, trainer=replace(config.trainer, **settings))


class Steps(L.Callback):
    """Counts what Lightning does."""

    def __init__(self) -> None:
        self.steps, self.lrs, self.images = 0, list[float](), list[torch.Tensor]()
        self.validated = list[torch.Tensor]()

    def on_before_optimizer_step(self, trainer: L.Trainer, module: L.LightningModule, optimizer: object) -> None:
        self.steps += 1
        self.lrs.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs, batch, batch_idx) -> None:
        self.images.append(batch[0].sum((1, 2, 3)).clone())

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0) -> None:
        self.validated.append(batch[0].sum((1, 2, 3)).clone())


class FakeHydra:
    """What `cli.job` asks Hydra of a single run."""

    mode, output_dir = RunMode.RUN, "."

    @classmethod
    def get(cls) -> "FakeHydra":
        return cls()

    @property
    def runtime(self) -> "FakeHydra":
        return self


class EndAfter(L.Callback):
    """Somebody's own, that ends a run as Lightning's callbacks do."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: L.Trainer, *_: object) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epoch


def global_step(run: RunDirectory) -> int:
    return int(torch.load(run.last_checkpoint, weights_only=True)["global_step"])


# max_steps


KINDS = {
    "singly": {},  # 5 batches an epoch, each an update
    "in blocks": {"batch_size": 4},  # 40 updates, 8 of them a step of Lightning's
    "in blocks, unshuffled": {"batch_size": 4, "shuffle": False},
    "two batches an update": {"batch_size": 10},  # 16 batches, 8 updates
}


def limited(config: Config, kind: str, more: int = 1) -> Config:
    """A run of one epoch and `more` updates; every kind has a schedule over updates."""
    config = replace(config, data=replace(config.data, **KINDS[kind]), schedule=Schedule(name="one_cycle"))
    config.data.augment = Augment(shift=2)
    config.model.dropout = 0.3
    if kind == "two batches an update":
        config.trainer.accumulate_grad_batches = 2
    config.trainer.max_epochs = 3
    config.trainer.max_steps = updates(config) // 3 + more
    return config


@pytest.mark.parametrize("kind", KINDS)
def test_max_steps_counts_updates_and_the_shortened_epoch_is_an_epoch(tiny_config, tmp_path, kind) -> None:
    config = limited(tiny_config, kind, more=3)
    watch = Steps()
    result, run = train(config, tmp_path / "run", callbacks=[watch])
    assert (updates_per_step(config) > 1) == ("blocks" in kind)
    assert watch.steps == global_step(run) == config.trainer.max_steps == updates(config)
    assert result["status"] == "completed"
    assert result["epochs"] == epochs(config) == 2
    rows = run.read_metrics()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(0 <= row["val/acc"] <= 1 for row in rows), "the last epoch is validated as any"
    batches = batches_in(config, 1)
    assert (batches_in(config, 0), batches) == {"singly": (5, 3), "two batches an update": (16, 6)}.get(kind, (40, 3))
    assert sum(len(images) for images in watch.images) == 160 + batches * config.data.batch_size
    assert rows[1]["train/acc"] * batches * config.data.batch_size == pytest.approx(
        round(rows[1]["train/acc"] * batches * config.data.batch_size)
    ), "it is the accuracy of that many images"
    assert max(watch.lrs) > 20 * watch.lrs[-1], "the schedule ends with the run"
    assert f"{config.trainer.max_steps} updates in 2 epochs" in about(config)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_max_steps_that_was_cut_off_ends_as_one_that_never_stopped(tiny_config, tmp_path, kind) -> None:
    config = limited(tiny_config, kind)
    whole = train(config, tmp_path / "whole")[1]
    with pytest.raises(CutOff):
        train(config, tmp_path / "cut", callbacks=[CutOffIn(1)])
    cut = train(replace(config, resume=str(tmp_path / "cut")), tmp_path / "cut")[1]
    same_run(cut, whole)
    a, b = (torch.load(run.last_checkpoint, weights_only=True) for run in (whole, cut))
    assert a["lr_schedulers"] == b["lr_schedulers"]


def test_a_run_at_its_max_steps_is_not_made_longer(tiny_config: Config, tmp_path: Path) -> None:
    run = train(with_trainer(tiny_config, max_steps=7), tmp_path / "run")[1]
    longer = resumed_config(str(run.path), ["trainer.max_epochs=9"])
    with pytest.raises(BadInput, match=r"it is at its end, and trainer\.max_steps=7 stays what it was"):
        train(longer, run.path)
    with pytest.raises(BadInput, match=r"^trainer\.max_steps=9: a resumed run keeps its config"):
        resumed_config(str(run.path), ["trainer.max_steps=9"])


def test_max_steps_at_the_end_of_an_epoch_are_that_epoch(tiny_config: Config, tmp_path: Path) -> None:
    config = replace(tiny_config, schedule=Schedule(name="cosine"))
    whole = train(config, tmp_path / "epochs")[1]
    same_run(train(with_trainer(config, max_epochs=9, max_steps=10), tmp_path / "steps")[1], whole)


# max_time


class Clock:
    """A second passes whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lenet.training.time_limit.monotonic", Clock())


@pytest.mark.parametrize("batch_size", [32, 4])
def test_max_time_ends_a_run_between_two_steps_and_a_resumed_one_has_the_bits_of_one_that_was_not_stopped(
    tiny_config, tmp_path, clock, batch_size
) -> None:
    tiny_config.data.batch_size = batch_size  # 5 steps of Lightning's an epoch either way
    tiny_config.data.augment = Augment(shift=2)
    config = replace(tiny_config, schedule=Schedule(name="one_cycle"))
    config.trainer.max_epochs = 4
    whole = train(config, tmp_path / "whole")[1]
    config.trainer.max_time = "00:00:08"
    watch = Steps()
    with pytest.raises(TimeUp, match=r"^trainer\.max_time=00:00:08 is over$") as caught:
        train(config, tmp_path / "run", callbacks=[watch])
    assert len(watch.images) == 7
    run = RunDirectory(tmp_path / "run")
    result = run.read_result() or {}
    assert (result["status"], result["epochs"]) == ("interrupted", 1)
    assert result["error"] == {"message": "TimeUp: trainer.max_time=00:00:08 is over", "traceback": None}
    assert not run.is_locked
    assert how_to_go_on(caught.value.run).endswith(f"resume={run.path}")
    with pytest.raises(TimeUp):  # each start has as long again
        train(resumed_config(str(run.path), []), run.path)
    assert len(run.read_metrics()) == 2
    result, _ = train(resumed_config(str(run.path), ["trainer.max_time=null"]), run.path)
    assert result["status"] == "completed"
    same_run(run, whole)


def test_what_is_over_with_the_last_step_of_an_epoch_or_before_min_epochs_is_done(tiny_config, tmp_path, clock) -> None:
    config = with_trainer(tiny_config, max_time="00:00:05", max_epochs=3)
    with pytest.raises(TimeUp, match="is over before the end of one epoch, so give more") as caught:
        train(config, tmp_path / "none")
    assert caught.value.run is None
    with pytest.raises(TimeUp, match=r"is over$"):
        train(with_trainer(config, min_epochs=2), tmp_path / "two")
    assert RunDirectory(tmp_path / "two").epochs == 2
    assert train(with_trainer(config, max_epochs=1, max_time="00:00:06"), tmp_path / "one")[0]["status"] == "completed"


def test_a_job_of_a_sweep_that_its_time_ends_goes_on_when_the_sweep_does(tiny_config, tmp_path, clock) -> None:
    config = with_trainer(tiny_config, max_time="00:00:07")
    with pytest.raises(Exception, match="max_time"):  # so the sweep has its other jobs
        train_job(config, tmp_path / "job", [])
    assert train_job(config, tmp_path / "job", [])["status"] == "completed"


def test_a_run_that_its_time_ends_says_how_to_go_on_and_ends_with_an_exit_code_of_its_own(
    tiny: Path, in_empty_folder: Path, capsys, monkeypatch
) -> None:
    def main() -> None:
        error = TimeUp("trainer.max_time=00:00:08 is over")
        error.run = Path("runs/lenet/x")
        with cli.job():
            raise error

    for name in ("quiet", "terminal.output"):  # what they change would stay
        monkeypatch.setattr(f"lenet.cli.commands.{name}", lambda *_: None)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")
    monkeypatch.delenv("HYDRA_FULL_ERROR")
    monkeypatch.setattr("lenet.cli.commands.HydraConfig", FakeHydra)
    monkeypatch.setattr(sys, "argv", ["scripts/train.py"])
    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    assert ended.value.code == 124
    said = capsys.readouterr().err
    assert said.startswith("stopped: trainer.max_time=00:00:08 is over; this goes on: ")
    assert said.endswith("resume=runs/lenet/x\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00:20", 20), ("00:00:00:20", 20), ("01:30:00", 5400), ("1:0:0:0", 86400), ("100:00:00", 360000),
        ("tomorrow", None), ("20", None), ("00:20", None), ("00:00:60", None), ("-1:00:00", None), ("", None),
    ],
)  # fmt: skip
def test_a_time_is_days_hours_minutes_seconds(text: str, expected: int | None) -> None:
    assert seconds(text) == expected


def test_a_run_that_gets_no_better_has_its_min_epochs(tiny_config: Config, tmp_path: Path) -> None:
    config = with_trainer(tiny_config, max_epochs=6)
    config.optimizer.lr = 1e-9
    config.early_stopping.patience = 1
    assert train(config, tmp_path / "early")[0]["epochs"] == 2
    with pytest.raises(CutOff):
        train(with_trainer(config, min_epochs=4), tmp_path / "run", callbacks=[CutOffIn(3)])
    result, _ = train(with_trainer(replace(config, resume=str(tmp_path / "run")), min_epochs=4), tmp_path / "run")
    assert (result["status"], result["epochs"]) == ("completed", 4)


# overfit_batches


@pytest.mark.parametrize("batch_size", [32, 4])
def test_overfit_batches_trains_and_validates_on_the_same_few_in_the_same_order(
    tiny_config, tmp_path, batch_size
) -> None:
    tiny_config.data.batch_size = batch_size
    config = with_trainer(tiny_config, overfit_batches=2, max_epochs=3)
    watch = Steps()
    result, run = train(config, tmp_path / "run", callbacks=[watch])
    assert global_step(run) == 6
    epochs_seen = torch.cat(watch.images).split(2 * batch_size) if batch_size == 32 else None
    for images in [*(epochs_seen or []), *watch.validated]:
        assert torch.equal(images, watch.validated[0])
    assert all(len(images) == 2 * batch_size for images in watch.validated)
    assert f"trained and validated on the same {2 * batch_size} images" in about(config)
    assert result["status"] == "completed"


def test_a_net_that_can_learn_knows_a_few_images_by_heart(tiny_config: Config, tmp_path: Path) -> None:
    result, _ = train(with_trainer(tiny_config, overfit_batches=1, max_epochs=100), tmp_path / "run")
    assert result["metrics"]["val/acc"] == 1
    assert result["metrics"]["test/acc"] < 1


def test_a_run_on_a_few_batches_that_was_cut_off_ends_as_one_that_never_stopped(tiny_config, tmp_path) -> None:
    config = with_trainer(tiny_config, overfit_batches=2, max_epochs=3)
    config.data.augment, config.model.dropout = Augment(shift=2), 0.3
    whole = train(config, tmp_path / "whole")[1]
    with pytest.raises(CutOff):
        train(config, tmp_path / "cut", callbacks=[CutOffIn(1)])
    same_run(train(replace(config, resume=str(tmp_path / "cut")), tmp_path / "cut")[1], whole)


# validation


@pytest.mark.parametrize("sanity", [0, 1])
def test_epochs_without_validation_have_no_val_acc_and_cannot_be_the_best(tiny_config, tmp_path, sanity) -> None:
    config = with_trainer(tiny_config, max_epochs=5)
    every = train(config, tmp_path / "every")[1]
    config = with_trainer(config, check_val_every_n_epoch=2, num_sanity_val_steps=sanity)
    result, run = train(config, tmp_path / "run")
    ours, theirs = run.read_metrics(), every.read_metrics()
    assert ["val/acc" in row for row in ours] == [False, True, False, True, False]
    assert (run.path / "metrics.csv").read_text().splitlines()[1].endswith(",,"), "an empty cell"
    for row, whole in zip(ours, theirs, strict=True):
        assert {name: whole[name] for name in row} == row, "nothing else depends on it"
    best = max((2, 4), key=lambda epoch: theirs[epoch - 1]["val/acc"])
    assert result["best_epoch"] == best
    assert result["metrics"]["val/acc"] == theirs[best - 1]["val/acc"]


def test_a_run_whose_last_epoch_is_not_validated_is_compared_by_the_last_validation(tiny_config, tmp_path) -> None:
    config = replace(with_trainer(tiny_config, max_epochs=3, check_val_every_n_epoch=2), test_on="last")
    result, run = train(config, tmp_path / "run")
    rows = run.read_metrics()
    assert chosen_by(result["metrics"]) == "val/acc"
    assert {name: result["metrics"][name] for name in ("val/acc", "val/loss", "train/acc")} == {
        **{name: rows[1][name] for name in ("val/acc", "val/loss")},
        "train/acc": rows[2]["train/acc"],
    }


@pytest.mark.parametrize("test_on", ["best", "last"])
def test_a_run_that_a_callback_ends_before_its_first_validation(tiny_config, tmp_path, test_on) -> None:
    config = replace(with_trainer(tiny_config, max_epochs=5, check_val_every_n_epoch=2), test_on=test_on)
    path, ends = tmp_path / "run", [EndAfter(1)]
    if test_on == "last":
        result, _ = train(config, path, callbacks=ends)
        assert (result["status"], result["epochs"], result["best_epoch"]) == ("completed", 1, None)
        return
    with pytest.raises(NothingValidated, match=r"after epoch 1, before the first .*_n_epoch=2.*or test_on=last"):
        train_job(config, path, [], ends)
    run = RunDirectory(path)
    assert ((run.read_result() or {})["status"], run.epochs) == ("failed", 1), "a sweep keeps what was trained"
    assert train_job(config, path, [])["status"] == "completed"


def test_a_run_that_is_cut_off_before_its_first_validation_goes_on(tiny_config, tmp_path, caplog) -> None:
    config = with_trainer(tiny_config, max_epochs=5, check_val_every_n_epoch=2)
    whole = train(config, tmp_path / "whole")[1]
    for epoch in (1, 2, 3):
        path = tmp_path / f"cut{epoch}"
        with pytest.raises(CutOff):
            train(config, path, callbacks=[CutOffIn(epoch)])
        assert RunDirectory(path).best_checkpoint.exists() == (epoch > 1)
        same_run(train(replace(config, resume=str(path)), path)[1], whole)
    assert "best.ckpt" not in caplog.text, "that there is none yet is no news"
    train(config, tmp_path / "lost", callbacks=[])
    lost = RunDirectory(tmp_path / "lost")
    lost.write_result((lost.read_result() or {}) | {"status": "interrupted"})
    lost.best_checkpoint.unlink()
    with pytest.raises(BadInput, match="but the best epoch is lost"):
        train(replace(config, resume=str(lost.path)), lost.path)


def test_a_first_look_at_validation_comes_before_all_and_changes_nothing(tiny_config, tmp_path) -> None:
    class Order(L.Callback):
        seen: list[str] = []  # noqa: RUF012

        def on_train_batch_start(self, *_: object) -> None:
            self.seen.append("train")

        def on_validation_batch_start(self, *_: object) -> None:
            self.seen.append("val")

    tiny_config.dashboard.pictures_every = 1
    plain = train(tiny_config, tmp_path / "plain")[1]
    looked = train(with_trainer(tiny_config, num_sanity_val_steps=-1), tmp_path / "run", callbacks=[Order()])[1]
    assert Order.seen[:2] == ["val", "train"]
    same_run(looked, plain)


# what helps to find a mistake


def test_each_number_of_the_gradient_is_clipped_by_value(tiny_config: Config, tmp_path: Path) -> None:
    class Largest(L.Callback):
        seen: list[float] = []  # noqa: RUF012

        def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
            self.before = torch.cat([p.detach().flatten().clone() for p in module.parameters()])

        def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
            after = torch.cat([p.detach().flatten() for p in module.parameters()])
            self.seen.append((after - self.before).abs().max().item())

    config = with_trainer(tiny_config, gradient_clip_val=1e-3, gradient_clip_algorithm="value")
    train(config, tmp_path / "run", callbacks=[Largest()])
    assert Largest.seen == pytest.approx([0.1 * 1e-3] * 10, rel=1e-2)  # the learning rate times the largest


@pytest.mark.parametrize("batch_size", [32, 4])
def test_an_anomaly_is_named_and_without_one_nothing_changes(tiny_config, tmp_path, batch_size) -> None:
    tiny_config.data.batch_size = batch_size
    plain = train(tiny_config, tmp_path / "plain")[1]
    same_run(train(with_trainer(tiny_config, detect_anomaly=True), tmp_path / "watched")[1], plain)
    config = with_trainer(tiny_config, detect_anomaly=True)
    config.optimizer.lr, config.model.activation = 1e30, "relu"
    with pytest.raises(Diverged, match=r"^Function '\w+' returned nan values .* In epoch 1; .*train\.log has the line"):
        train(config, tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    assert (run.read_result() or {})["status"] == "failed"
    assert "Traceback of forward call that caused the error" in (run.path / "train.log").read_text()


@pytest.mark.parametrize("profiler", ["simple", "advanced", "pytorch"])
def test_a_profile_lies_in_the_run_and_changes_nothing(tiny_config, tmp_path, caplog, capfd, profiler) -> None:
    caplog.set_level(logging.INFO, "lenet")
    tiny_config.data.batch_size = 4
    plain = train(tiny_config, tmp_path / "plain")[1]
    _, run = train(with_trainer(tiny_config, profiler=profiler), tmp_path / "run")
    same_run(run, plain)
    assert f"what takes how long: {run.profile}" in caplog.text
    for part, step in (("fit", "training_step"), ("test", "test_step")):
        word = "aten::" if profiler == "pytorch" else step
        assert word in (run.profile / f"{part}-{profiler}.txt").read_text()
    traces = sorted(run.profile.glob("fit-*training_step*.pt.trace.json"))
    assert bool(traces) == (profiler == "pytorch")
    if traces:
        names = {event.get("name") for event in json.loads(traces[0].read_text())["traceEvents"]}
        assert "aten::convolution" in names
    assert torch.cuda.is_available() or "profiler_start" not in capfd.readouterr().err
    run.clear()
    assert not run.profile.exists()


# what Lightning takes as well, and groups of keys


def test_words_that_lightning_takes_for_others_are_taken_for_those() -> None:
    for precision, meant in (("16", "16-mixed"), ("bf16", "bf16-mixed"), ("32", "32"), ("64-true", "64-true")):
        assert composed(f"trainer.precision={precision}").trainer.precision == meant
    assert composed("trainer.accelerator=cuda").trainer.accelerator == "gpu"
    assert Trainer(accelerator="cuda", precision="16").precision == "16-mixed"


DEBUG = {
    "run": {"fast_dev_run": True},
    "overfit": {"overfit_batches": 1, "max_epochs": 300},
    "profile": {"profiler": "simple", "max_epochs": 1},
    "anomaly": {"detect_anomaly": True},
}


@pytest.mark.parametrize("name", DEBUG)
def test_debug_is_some_keys_and_without_it_nothing_changes(name: str) -> None:
    for words in ([], ["experiment=improved"], ["experiment=lenet5_1998"]):
        plain, debug = composed(*words), composed(*words, f"debug={name}")
        if name == "overfit":  # each image as it is
            plain.data.augment, plain.model.dropout, plain.loss.label_smoothing = Augment(), 0.0, 0.0
            plain.data.augment.erase_area = debug.data.augment.erase_area
        assert debug == replace(with_trainer(plain, **DEBUG[name]), name="debug")
    assert composed(f"debug={name}", "trainer.max_epochs=7").trainer.max_epochs == 7


def test_every_debug_has_a_file_with_its_command() -> None:
    files = {path.stem: path.read_text() for path in (PROJECT / "conf/debug").glob("*.yaml")}
    assert files.keys() == DEBUG.keys()
    assert all("# Command: scripts/train.py" in text and f"debug={name}" in text for name, text in files.items())


def test_a_whole_epoch_is_asked_for_where_nothing_else_is() -> None:
    config = Config()
    assert (epochs(config), updates(config), batches_in(config, 9)) == (10, 1880, 188)
    config.trainer.max_steps = 20
    validate(config)
    assert (epochs(config), updates(config), batches_in(config, 0)) == (1, 20, 20)
    assert math.ceil(1879 / 188) == epochs(with_trainer(config, max_steps=1879)) == 10
