"""What is shown while a sweep runs: a line per finished job, and the time left."""

import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from lenet.config import Config
from lenet.runs.directory import RunDirectory
from lenet.runs.metrics import chosen_by, in_a_line
from lenet.sweeps.design import Job, Sweep
from lenet.sweeps.directory import ENDED, state
from lenet.sweeps.time_left import Timed, last_share, time_left, work
from lenet.text import first_line


class Watch:
    """While this lasts, a thread looks at the run directories again and again, and once more at the end."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    def _watch(self) -> None:
        pause = 0.5
        while not self._stop.wait(pause):
            began = time.monotonic()
            self.look()
            pause = max(0.5, 50 * (time.monotonic() - began))  # at most two per cent of the time, on slow disks too

    def look(self) -> None:
        """Say what has changed."""
        raise NotImplementedError


class Progress(Watch):
    """While this lasts, a line for each job that ends and, on a terminal, a bar with the time left.

    It looks at the run directories, so it works with any launcher.
    """

    def __init__(
        self,
        sweep: Sweep,
        directory: Path,
        configs: Mapping[str, Config],
        at_once: int | None = 1,
        afresh: bool = False,
    ) -> None:
        """`at_once` and `afresh` are those of `time_left`."""
        super().__init__()
        self.directory = directory
        self.configs, self.at_once, self.afresh = configs, at_once, afresh
        self.total = len(sweep.jobs)
        self.open = {job.name: job for job in sweep.jobs if self._state(job) != "completed"}
        self.old = {name: stamp_of(directory, job) for name, job in self.open.items()}  # results of earlier sessions

    def __enter__(self) -> Self:
        self.started = time.time()
        self.before = {name: RunDirectory(self.directory / name).epochs for name in self.open}
        self.jobs = {name: self._timed(job) for name, job in self.open.items()}
        self.bar = tqdm(
            total=sum(job.epochs for job in self.jobs.values()),
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} epochs [{elapsed}{postfix}]",
            disable=not sys.stdout.isatty(),
            file=sys.stdout,
            leave=False,
        )
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.bar.close()

    def _timed(self, job: Job) -> Timed:
        epochs = max(0, job.epochs - self.before[job.name])
        config = self.configs[job.name]
        return Timed(work(config, epochs), epochs, last_share(config))

    def look(self) -> None:
        for name, job in list(self.open.items()):
            run, timed = RunDirectory(self.directory / name), self.jobs[name]
            if stamp_of(self.directory, job) in (self.old[name], None):
                continue
            with suppress(OSError):  # it is written at every start
                timed.began = (run.path / "config.yaml").stat().st_mtime
            timed.done = max(0, run.epochs - self.before[name])
            result = run.read_result()
            if result and result.get("status") == "interrupted" and not run.is_locked:  # as by trainer.max_time
                del self.open[name]
                timed.ended = (stamp_of(self.directory, job) or 0) / 1e9
            elif result and result.get("status") in ENDED:
                del self.open[name]
                timed.done, timed.ended = timed.epochs, (stamp_of(self.directory, job) or 0) / 1e9
                timed.is_whole = result["status"] == "completed"
                line = f"[{self.total - len(self.open)}/{self.total}] {name}: {_outcome(result)}"
                left = self._time_left()
                tqdm.write(f"{line}; {left}" if left else line, file=sys.stdout)
                sys.stdout.flush()
        self.bar.set_postfix_str(self._time_left(), refresh=False)
        self.bar.update(sum(job.done for job in self.jobs.values()) - self.bar.n)

    def _time_left(self) -> str:
        """In words; nothing where it is not known, or nothing is left to do."""
        left = time_left(list(self.jobs.values()), self.started, time.time(), self.at_once, self.afresh)
        return f"about {duration(left)} left" if left is not None and self.open else ""

    def _state(self, job: Job) -> str:
        return state(RunDirectory(self.directory / job.name))


def _message(result: Mapping[str, Any]) -> str:
    """Why a run failed."""
    return first_line((result.get("error") or {}).get("message") or "")


def _outcome(result: Mapping[str, object]) -> str:
    if result["status"] == "failed":
        return f"failed: {_message(result)}"
    metrics = result["metrics"]
    assert isinstance(metrics, dict)
    return f"{in_a_line(metrics, chosen_by(metrics), 'test/acc')}, {result['seconds']:.0f} s"


def duration(seconds: float) -> str:
    """In the unit that a person would use."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"


def stamp_of(directory: Path, job: Job) -> int | None:
    """When a job's result was last written."""
    return last_change(directory / job.name / "result.json")


def last_change(path: Path) -> int | None:
    """When a file was last written or, of a folder, one in it was made, replaced or removed; None where it is not."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
