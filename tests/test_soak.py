"""A sweep that is killed again and again ends as one that never was, in the manner of Ray Tune's restore tests.

    uv run pytest tests/test_soak.py --kills 30 -s

kills it thirty times and says when and how; without --kills it is four times.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import same_run
from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory
from lenet.training.checkpoints import load_checkpoint

EPOCHS = 5
SWEEP = ["-m", "seed=0,1,2,3", "model.conv_channels=[2,3]", "model.fc_sizes=[12]", "model.dropout=0.2",
         "data.augment.shift=1", f"trainer.max_epochs={EPOCHS}", "trainer.limit_train_batches=12", "threads=1",
         "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "trainer.accelerator=cpu",
         "data.batch_size=32"]  # fmt: skip
JOBS = [f"seed={seed}" for seed in range(4)]
MOMENTS = ["any time", "while a checkpoint is written", "while a result is written", "between two jobs"]
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
ENDS = {signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}, signal.SIGINT: {130}}  # -15: before there is a handler


@dataclass
class Watched:
    """What has been seen of the jobs of a sweep."""

    runs: Path
    finished: dict[str, bytes] = field(default_factory=dict)  # result.json of each job that is completed
    epochs: Counter[str] = field(default_factory=Counter)  # that the newest checkpoint of each job has seen
    lost: int = 0  # epochs that were in metrics.csv but not in a checkpoint

    def look(self) -> None:
        """Asserts that nothing that was there has gone."""
        for job in JOBS:
            run = RunDirectory(self.runs / job)
            if job in self.finished:
                assert (run.path / "result.json").read_bytes() == self.finished[job], f"{job} ran again"
            elif (run.read_result() or {}).get("status") == "completed":
                self.finished[job] = (run.path / "result.json").read_bytes()
            try:
                epochs = load_checkpoint(run.last_checkpoint)["epoch"] + 1
            except BadInput:
                epochs = 0
                assert not run.last_checkpoint.exists(), "a checkpoint that is there is whole"
            assert epochs >= self.epochs[job], f"{job} lost an epoch"
            in_flight = len(run.read_metrics()) - epochs
            assert in_flight in (0, 1), f"{job} has {in_flight} epochs that no checkpoint has"
            self.lost += in_flight
            self.epochs[job] = epochs


def staged(runs: Path, beginning: str, folder: str = ".") -> bool:
    """Whether a file is being written in some job just now: that takes a millisecond or two, so this is quick."""
    for job in JOBS:
        try:
            with os.scandir(runs / job / folder) as files:
                if any(file.name.startswith(beginning) for file in files):
                    return True
        except FileNotFoundError:
            continue
    return False


def wait_for(moment: str, runs: Path, random_: random.Random, whole: float, is_over: Callable[[], bool]) -> bool:
    """Wait for a moment; whether it came before the sweep was over."""
    began = time.monotonic()
    if moment == "any time":
        pause = random_.uniform(0, 0.4 * whole)  # what is left to do is less each time
        while time.monotonic() - began < pause and not is_over():
            time.sleep(0.002)
        return not is_over()
    if moment == "between two jobs":
        before = completed(runs)

        def has_come() -> bool:
            return completed(runs) > before
    else:
        at_checkpoint = "checkpoint" in moment
        where = (runs, ".last.ckpt" if random_.random() < 0.5 else ".best.ckpt", "checkpoints")
        has_come = nth(lambda: staged(*(where if at_checkpoint else (runs, ".result.json"))), random_.randrange(3))
    looked = time.monotonic()
    while True:
        if has_come():
            return True
        if time.monotonic() - looked > 0.05:
            if is_over():
                return False
            looked = time.monotonic()


def nth(condition: Callable[[], bool], skipped: int) -> Callable[[], bool]:
    """The condition, but only after it has come and gone so many times."""

    def times() -> Iterator[bool]:
        for _ in range(skipped):
            while not condition():
                yield False
            while condition():
                yield False
        while True:
            yield condition()

    found = times()
    return lambda: next(found)


def completed(runs: Path) -> int:
    return sum((RunDirectory(runs / job).read_result() or {}).get("status") == "completed" for job in JOBS)


def one_point_an_epoch(run: RunDirectory) -> None:
    (_,) = run.event_files
    points = EventAccumulator(str(run.path)).Reload().Scalars("val/loss")
    assert [point.step for point in points] == list(range(1, EPOCHS + 1))


@pytest.mark.real_data
def test_a_sweep_that_is_killed_again_and_again_ends_as_one_that_never_was(
    start, in_empty_folder, real_root, request
) -> None:
    kills, random_ = request.config.getoption("--kills"), random.Random(0)
    given = [*SWEEP, f"data.root={real_root}"]
    began = time.monotonic()
    code, said = start(*given, "name=whole").wait()
    assert code == 0, said
    seconds = time.monotonic() - began
    counts: Counter[tuple[str, str]] = Counter()
    lost, sweeps = 0, 0
    while counts.total() < kills:
        sweeps += 1
        watched = Watched(in_empty_folder / f"runs/killed{sweeps}")
        code = None
        while code != 0:
            sweep = start(*given, f"name=killed{sweeps}")
            done = counts.total()  # a moment that was missed is tried again
            moment, signum = MOMENTS[done % len(MOMENTS)], SIGNALS[done // len(MOMENTS) % len(SIGNALS)]

            def is_over(sweep=sweep) -> bool:
                return "jobs: 4 completed" in sweep.log.read_text()

            if counts.total() < kills and wait_for(moment, watched.runs, random_, seconds, is_over):
                code, said = sweep.kill(signum)
                assert code in ENDS[signum] | {0}, said
                counts[moment, signum.name] += code != 0
            else:
                code, said = sweep.wait()
                assert code == 0, said
            assert "Traceback" not in said
            watched.look()
        for job in JOBS:
            run = RunDirectory(watched.runs / job)
            same_run(run, RunDirectory(in_empty_folder / "runs/whole" / job))
            one_point_an_epoch(run)
        assert not list(watched.runs.rglob(".*.tmp")), "a temporary file was left"
        lost += watched.lost
    assert all(RunDirectory(watched.runs / job).read_result()["status"] == "completed" for job in JOBS)
    print(f"\n{counts.total()} kills over {sweeps} sweeps of four jobs; {lost} epochs in flight were trained again")
    for (moment, name), count in sorted(counts.items()):
        print(f"{count:3} {name} {moment}")
