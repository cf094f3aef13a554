"""Runs a sweep: one process per directory, progress, and an end that says what became of every job."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lenet.config import Config
from lenet.errors import BadInput, JobsFailed, Stopped
from lenet.runs.directory import RunDirectory, cannot_be_locked, chosen_by, in_a_line
from lenet.runs.files import remove_leftovers
from lenet.sweeps.design import FAILED, Job, Sweep, check_directory, state
from lenet.sweeps.time_left import Timed, time_left, work
from lenet.system.lock import CannotLock, FolderLock
from lenet.system.signals import stop_on_signals
from lenet.text import first_line

log = logging.getLogger(__name__)


class Detached(Exception):
    """The jobs go on without this process. The message says where."""


Launch = Callable[[Sequence[Job]], dict[str, Exception]]


def run(
    sweep: Sweep,
    directory: Path,
    configs: Mapping[str, Config],
    launch: Launch,
    fail_fast: bool = False,
    at_once: int | None = 1,
    afresh: bool = False,
) -> None:
    """Run the jobs that are not completed, and write the report, however it ends.

    Args:
        launch: runs the given jobs, and returns the exception of each that raised one; raises when the launcher itself
            breaks, as when a worker is killed.
        fail_fast: launch nothing again when the launcher breaks.
        at_once, afresh: how it runs them, for the time that is left (`lenet.sweeps.time_left`).

    Raises:
        BadInput: another sweep is at work in `directory`, or it holds other runs, and nothing has been started; or
            what `launch` refuses.
        JobsFailed: not every job is completed.
        Stopped: a signal came.
    """
    check_directory(directory, configs, sweep)
    lock = FolderLock(directory)
    try:
        is_ours = lock.take()
    except CannotLock as error:
        raise BadInput(cannot_be_locked(directory, error)) from error
    except OSError as error:
        raise BadInput(f"{directory}: cannot be written to ({error.strerror}); start where you can write") from error
    if not is_ours:
        raise BadInput(
            f"{directory}: another sweep is at work in it; wait for it, or give name=ANOTHER for a sweep of its own"
        )
    try:
        remove_leftovers(directory)
        check_directory(directory, configs, sweep)  # once more, now that nobody else can start a job
        sweep = replace(sweep, alone=at_once == 1 and _ran_alone(directory, configs))
        sweep.write(directory)
        (directory / FAILED).unlink(missing_ok=True)
        progress = Progress(sweep, directory, configs, at_once, afresh)
        todo = [job for job in sweep.jobs if job.name in progress.open]
        before = [_changed(directory / job.name) for job in todo]
        done = len(sweep.jobs) - len(todo)
        going_on = sum(RunDirectory(directory / job.name).last_checkpoint.exists() for job in todo)
        words = f"{done} completed before, {len(todo)} to do" + (f", {going_on} of them go on" if going_on else "")
        print(f"{len(sweep.jobs)} jobs in {directory}: {words}", flush=True)
        with stop_on_signals():
            try:
                with progress:
                    errors = _launch_all(todo, directory, launch, fail_fast)
            except Detached as detached:
                print(f"{detached}; scripts/report.py {directory} shows how far they are", flush=True)
                return
            except (Stopped, KeyboardInterrupt):
                _conclude(sweep, directory, {})
                print("stopped; the same command goes on from here", flush=True)
                raise
            except BadInput:  # refused by the launcher, perhaps after some jobs: what has become of these is said
                if any(_changed(directory / job.name) != stamp for job, stamp in zip(todo, before, strict=True)):
                    _conclude(sweep, directory, {})
                raise
            _conclude(sweep, directory, errors)
        incomplete = [job for job in sweep.jobs if state(RunDirectory(directory / job.name)) != "completed"]
        if incomplete:
            raise JobsFailed(
                f"{len(incomplete)} of {len(sweep.jobs)} jobs are not completed; the same command tries them again"
            )
    finally:
        lock.let_go()


def _ran_alone(directory: Path, names: Iterable[str]) -> bool:
    """Whether those jobs that were begun in earlier sessions ran one at a time, as far as is known."""
    if not any(RunDirectory(directory / name).begun for name in names):
        return True
    return (directory / "sweep.json").exists() and Sweep.read(directory, whole=False).alone


def _launch_all(todo: Sequence[Job], directory: Path, launch: Launch, fail_fast: bool) -> dict[str, Exception]:
    """Launch, and where the launcher itself breaks, as when one of its workers is killed, launch what is left again.

    Where it breaks twice before a job has ended, those that had begun are launched by themselves, after the others, so
    that one that kills its worker stops no other. Not the first time: a worker may have been killed by chance, and one
    job at a time would leave the other cores idle to the end of the sweep.
    """
    errors: dict[str, Exception] = {}
    suspects: set[str] = set()  # what had begun when it broke
    is_second = False
    before = {job.name: _stamp(directory, job) for job in todo}

    def ended(job: Job) -> bool:
        is_state = state(RunDirectory(directory / job.name))
        return is_state == "completed" or (is_state == "failed" and _stamp(directory, job) != before[job.name])

    batches = [list(todo)] if todo else []
    while batches:
        batch = batches.pop(0)
        untouched = {job.name: _changed(directory / job.name) for job in batch}
        try:
            errors |= launch(batch)
        except (Detached, BadInput):
            raise
        except Exception as error:
            log.warning("the launcher broke off: %s", first_line(str(error)))
            if fail_fast:
                return errors | {job.name: error for job in batch if not ended(job)}
            left = [job for job in batch if not ended(job)]
            if len(batch) == 1:
                errors |= {job.name: error for job in left}
            elif len(left) < len(batch):
                batches.insert(0, left)
                suspects, is_second = set(), False
            else:
                suspects |= {job.name for job in left if _changed(directory / job.name) != untouched[job.name]}
                if is_second:
                    alone = [job for job in left if job.name in suspects] or left
                    others = [job for job in left if job not in alone]
                    batches[:0] = [*([others] if others else []), *([job] for job in alone)]
                    suspects, is_second = set(), False
                else:
                    batches.insert(0, left)
                    is_second = True
    return errors


def _stamp(directory: Path, job: Job) -> int | None:
    """When a job's result was last written."""
    return _changed(directory / job.name / "result.json")


def _changed(path: Path) -> int | None:
    """When a file was last written or, of a folder, one in it was made, replaced or removed; None where it is not."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _conclude(sweep: Sweep, directory: Path, errors: Mapping[str, Exception]) -> None:
    """Say what became of the jobs, and write the report."""
    from lenet.sweeps.report import report  # pandas and matplotlib take a while to import

    states = {job.name: state(RunDirectory(directory / job.name)) for job in sweep.jobs}
    incomplete = [name for name, is_state in states.items() if is_state != "completed"]
    counts = [f"{sum(s == word for s in states.values())} {word}" for word in dict.fromkeys(states.values())]
    print(f"{len(states)} jobs: {', '.join(counts)}", flush=True)
    for name in incomplete:
        result = RunDirectory(directory / name).read_result() or {}
        if states[name] == "failed" and not isinstance(errors.get(name), BadInput):  # which is of this time
            print(f"  {directory / name}: {states[name]}: {_message(result)}")
        elif name in errors:
            print(f"  {directory / name}: {first_line(str(errors[name]))}")
    try:
        print(report(directory), flush=True)
    except Exception as error:  # the results are what counts, and scripts/report.py can be run again
        log.warning("%s: the report could not be written: %s", directory, first_line(str(error)))


class Progress:
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
        self.directory = directory
        self.configs, self.at_once, self.afresh = configs, at_once, afresh
        self.total = len(sweep.jobs)
        self.open = {job.name: job for job in sweep.jobs if self._state(job) != "completed"}
        self.old = {name: _stamp(directory, job) for name, job in self.open.items()}  # results of earlier sessions
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Progress":
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
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        self.bar.close()

    def _timed(self, job: Job) -> Timed:
        epochs = max(0, job.epochs - self.before[job.name])
        return Timed(work(self.configs[job.name], epochs), epochs)

    def _watch(self) -> None:
        pause = 0.5
        while not self._stop.wait(pause):
            began = time.monotonic()
            self._look()
            pause = max(0.5, 50 * (time.monotonic() - began))  # at most two per cent of the time, on slow disks too

    def _look(self) -> None:
        for name, job in list(self.open.items()):
            run, timed = RunDirectory(self.directory / name), self.jobs[name]
            if _stamp(self.directory, job) in (self.old[name], None):
                continue
            with suppress(OSError):  # it is written at every start
                timed.began = (run.path / "config.yaml").stat().st_mtime
            timed.done = max(0, run.epochs - self.before[name])
            result = run.read_result()
            if result and result.get("status") in ("completed", "failed"):
                del self.open[name]
                timed.done, timed.ended = timed.epochs, (_stamp(self.directory, job) or 0) / 1e9
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
