"""The time left of a sweep, against the clock of a simulated machine."""

import heapq
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet.config import Config, Data, Model, Optimizer, Trainer
from lenet.runs.directory import RunDirectory
from lenet.sweeps import progress as shown
from lenet.sweeps.design import Job, Sweep
from lenet.sweeps.time_left import Timed, time_left, work

configs = st.builds(
    lambda channels, batch_size, train_size, epochs: Config(
        data=Data(batch_size=batch_size, train_size=train_size),
        model=Model(conv_channels=channels, padding=2),
        trainer=Trainer(max_epochs=epochs),
    ),
    st.lists(st.integers(1, 64), min_size=1, max_size=2),
    st.sampled_from([1, 32, 256, 4096]),
    st.integers(100, 48_000),
    st.integers(1, 20),
)


@st.composite
def sweeps(draw):
    """Jobs, of which some go on, on a machine with a speed, a start-up and noise of its own, when the first has ended.

    Returns what is known then, how long it really took from there, and how long the longest job takes, imports and all,
    that is at work then.
    """
    jobs = []
    for config in draw(st.lists(configs, min_size=2, max_size=30)):
        epochs = config.trainer.max_epochs - draw(st.integers(0, config.trainer.max_epochs - 1))
        jobs.append(Timed(work(config, epochs), epochs))
    speed, imports = draw(st.floats(1e9, 1e11)), draw(st.floats(0, 60))
    at_once, afresh = draw(st.integers(1, 4)), draw(st.booleans())
    noise = st.floats(0.9, 1.1)
    started, taken = 1000.0, []
    places = [(started + (0 if afresh else imports), number) for number in range(at_once)]
    for job in jobs:
        free, number = heapq.heappop(places)
        job.began = free + (imports * draw(noise) if afresh else 0)
        job.ended = job.began + job.work / speed * draw(noise)
        heapq.heappush(places, (job.ended, number))
        taken.append((free, job.ended))
    now, end = min(job.ended for job in jobs), max(job.ended for job in jobs)
    known = [
        replace(
            job,
            began=job.began if job.began < now else None,
            ended=job.ended if job.ended <= now else None,
            is_whole=job.ended <= now,
            done=job.epochs
            if job.ended <= now
            else int(max(0, now - job.began) / (job.ended - job.began) * job.epochs),
        )
        for job in jobs
    ]
    running = max((ended - free for free, ended in taken if free < now < ended), default=0.0)
    return known, started, now, at_once, afresh, end - now, running


@given(sweeps())
def test_the_time_left_is_right_within_a_third_once_a_job_has_ended(sweep) -> None:
    *known, truth, running = sweep
    # Of a job at work what is left may be little: what a tenth of noise in it and in the first one can do remains.
    assert time_left(*known) == pytest.approx(truth, rel=1 / 3, abs=running / 4)


def test_before_a_job_has_ended_nothing_is_said() -> None:
    assert time_left([Timed(1e9, 3, began=5.0, done=2), Timed(1e9, 3)], 0.0, 10.0) is None
    assert time_left([Timed(1e9, 3, began=5.0, ended=6.0), Timed(1e9, 3)], 0.0, 10.0) is None  # it failed


def test_where_the_launcher_does_not_say_how_many_run_at_once_it_is_seen() -> None:
    ended = [Timed(1.0, 1, began=0.0, ended=10.0, is_whole=True), Timed(1.0, 1, began=1.0, ended=10.0, is_whole=True)]
    assert time_left([*ended, *[Timed(1.0, 1)] * 4], 0.0, 10.0, None) == pytest.approx(19)
    one_by_one = [ended[0], Timed(1.0, 1, began=10.0, ended=20.0, is_whole=True)]
    assert time_left([*one_by_one, *[Timed(1.0, 1)] * 4], 0.0, 20.0, None) == pytest.approx(40)


@pytest.mark.parametrize(
    ("model", "microseconds"),
    [  # of an image, forward and backward, on one core; the book's net takes 94
        (Model(conv_channels=[3, 8]), 71),
        (Model(conv_channels=[12, 32]), 159),
        (Model(conv_channels=[32, 64]), 460),
        (
            Model(conv_channels=[32, 64, 128], kernel_size=3, padding=1, norm="batch", activation="relu", pool="max"),
            553,
        ),
    ],
)
def test_the_work_of_an_epoch_goes_with_the_time_that_it_takes(model, microseconds) -> None:
    book, other = (work(config, 11) - work(config, 1) for config in (Config(), Config(model=model)))
    assert other / book == pytest.approx(microseconds / 94, rel=0.2)


@pytest.mark.parametrize(
    ("limits", "steps", "share"),
    [({}, 188 + 94, 1.5), ({"limit_train_batches": 10}, 10 + 5, 1.5), ({"overfit_batches": 4}, 4 + 1, 1.25)],
)
def test_an_epoch_that_max_steps_ends_within_is_as_much_work_as_it_has_batches(limits, steps, share) -> None:
    trainer = Trainer(max_epochs=2, check_val_every_n_epoch=2, **limits)
    nothing, whole = (work(Config(trainer=trainer), epochs) for epochs in (0, 1))
    validated = work(Config(trainer=replace(trainer, max_epochs=1)), 1)  # nothing is
    validation = whole - validated
    cut = work(Config(trainer=replace(trainer, max_steps=steps)), 2)
    assert cut - nothing == pytest.approx(share * (validated - nothing) + validation)
    assert work(Config(trainer=replace(trainer, max_epochs=5)), 4) == pytest.approx(
        nothing + 4 * (validated - nothing) + 2 * validation
    ), "it goes on after the first, and the second and the fourth are validated"


def test_a_job_in_its_last_short_epoch_has_as_little_left_as_that_is() -> None:
    first = Timed(101.0, 2, 0.01, began=0.0, ended=101.0, is_whole=True)
    runs = Timed(101.0, 2, 0.01, began=101.0)  # an epoch of 100 s, and one of 1 s
    assert time_left([first, runs], 0.0, 191.0) == pytest.approx(11.0)
    assert time_left([first, replace(runs, done=1)], 0.0, 191.0) == pytest.approx(1.0, abs=0.1)


def test_a_sweep_reads_its_times_from_the_run_directories(tmp_path: Path, monkeypatch, capsys) -> None:
    """Imports of 9 s, a first job of 30 s; the second has twice the epochs, and the third has done half of its own."""
    epochs = {"a": 10, "b": 20, "c": 10}
    configs = {name: Config(trainer=Trainer(max_epochs=count), optimizer=Optimizer(lr=0.1))
               for name, count in epochs.items()}  # fmt: skip
    jobs = [Job(name, name, {}, 0, [], count, 61_706, 416_520) for name, count in epochs.items()]

    def write(name: str, status: str, done: int, began: float, written: float) -> None:
        run = RunDirectory(tmp_path / name)
        run.path.mkdir(exist_ok=True)
        run.write_config(configs[name])
        run.write_metrics([{"epoch": epoch, "val/acc": 0.5} for epoch in range(1, done + 1)])
        metrics = {"val/acc": 0.5, "test/acc": 0.5}
        (run.path / "result.json").write_text(json.dumps({"status": status, "metrics": metrics, "seconds": 30.0}))
        os.utime(run.path / "config.yaml", (began, began))
        os.utime(run.path / "result.json", (written, written))

    clock = SimpleNamespace(time=lambda: 1000.0, monotonic=lambda: 0.0)
    monkeypatch.setattr(shown, "time", clock)
    write("c", "interrupted", 5, 500.0, 600.0)
    progress = shown.Progress(Sweep("grid", {}, {}, jobs), tmp_path, configs)
    monkeypatch.setattr(progress, "_watch", lambda: None)
    monkeypatch.setattr(progress, "_thread", SimpleNamespace(start=lambda: None, join=lambda: None))
    with progress:
        write("a", "completed", 10, 1009.0, 1039.0)
        clock.time = lambda: 1039.5
        progress.look()
        assert capsys.readouterr().out == "[1/3] a: val acc 0.500, test acc 0.500, 30 s; about 75 s left\n"
