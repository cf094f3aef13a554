"""Runs a sweep: one process per directory, progress, and an end that says what became of every job."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from lenet.config import Config
from lenet.errors import BadInput, JobsFailed, Stopped
from lenet.runs.directory import RunDirectory, cannot_be_locked
from lenet.runs.files import remove_leftovers
from lenet.sweeps.design import Job, Sweep
from lenet.sweeps.directory import FAILED, check_directory, state
from lenet.sweeps.progress import Progress, _message, last_change, stamp_of
from lenet.system.lock import CannotLock, FolderLock
from lenet.system.signals import Signals, stop_on_signals
from lenet.text import are, counted, first_line

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
    with alone_in(directory):
        remove_leftovers(directory)
        check_directory(directory, configs, sweep)  # once more, now that nobody else can start a job
        sweep = replace(sweep, alone=at_once == 1 and _ran_alone(directory, configs))
        sweep.write(directory)
        (directory / FAILED).unlink(missing_ok=True)
        progress = Progress(sweep, directory, configs, at_once, afresh)
        todo = [job for job in sweep.jobs if job.name in progress.open]
        done = len(sweep.jobs) - len(todo)
        going_on = sum(RunDirectory(directory / job.name).last_checkpoint.exists() for job in todo)
        words = f"{done} completed before, {len(todo)} to do" + (f", {going_on} of them go on" if going_on else "")
        print(f"{counted(len(sweep.jobs), 'job')} in {directory}: {words}", flush=True)
        with stop_on_signals() as signals:
            all_of_them = partial(_launch_all, directory=directory, launch=launch, fail_fast=fail_fast)
            is_over = _run_open(sweep, directory, todo, progress, all_of_them, signals)
        incomplete = [job for job in sweep.jobs if state(RunDirectory(directory / job.name)) != "completed"]
        if incomplete and is_over:
            raise JobsFailed(
                f"{len(incomplete)} of {counted(len(sweep.jobs), 'job')} {are(len(sweep.jobs))} not completed; the "
                "same command tries them again"
            )


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """The directory is this sweep's within.

    Raises:
        BadInput: another sweep is at work in it, or it cannot be written to or locked.
    """
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
        yield
    finally:
        lock.let_go()


def _run_open(
    sweep: Sweep, directory: Path, todo: Sequence[Job], progress: Progress, launch: Launch, signals: Signals
) -> bool:
    """Run the jobs that are left to do and say what became of all; whether they have been waited for."""
    before = [last_change(directory / job.name) for job in todo]
    try:
        with progress:
            errors = launch(todo)
    except Detached as detached:
        print(f"{detached}; scripts/report.py {directory} shows how far they are", flush=True)
        return False
    except (Stopped, KeyboardInterrupt):
        _conclude(sweep, directory, {})
        print("stopped; started again, it goes on from here", flush=True)
        raise
    except BadInput:  # refused by the launcher, perhaps after some jobs: what has become of these is said
        if any(last_change(directory / job.name) != stamp for job, stamp in zip(todo, before, strict=True)):
            _conclude(sweep, directory, {})
        raise
    with signals.put_off():  # half of an import would be in the way of the next try
        _conclude(sweep, directory, errors)
    return True


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
    before = {job.name: stamp_of(directory, job) for job in todo}

    def ended(job: Job) -> bool:
        is_state = state(RunDirectory(directory / job.name))
        return is_state == "completed" or (is_state == "failed" and stamp_of(directory, job) != before[job.name])

    batches = [list(todo)] if todo else []
    while batches:
        batch = batches.pop(0)
        untouched = {job.name: last_change(directory / job.name) for job in batch}
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
                suspects |= {job.name for job in left if last_change(directory / job.name) != untouched[job.name]}
                if is_second:
                    alone = [job for job in left if job.name in suspects] or left
                    others = [job for job in left if job not in alone]
                    batches[:0] = [*([others] if others else []), *([job] for job in alone)]
                    suspects, is_second = set(), False
                else:
                    batches.insert(0, left)
                    is_second = True
    return errors


def _conclude(sweep: Sweep, directory: Path, errors: Mapping[str, Exception]) -> None:
    """Say what became of the jobs, and write the report."""
    states = {job.name: state(RunDirectory(directory / job.name)) for job in sweep.jobs}
    incomplete = [name for name, is_state in states.items() if is_state != "completed"]
    counts = [f"{sum(s == word for s in states.values())} {word}" for word in dict.fromkeys(states.values())]
    print(f"{counted(len(states), 'job')}: {', '.join(counts)}", flush=True)
    for name in incomplete:
        result = RunDirectory(directory / name).read_result() or {}
        if states[name] == "failed" and not isinstance(errors.get(name), BadInput):  # which is of this time
            print(f"  {directory / name}: {states[name]}: {_message(result)}")
        elif name in errors:
            print(f"  {directory / name}: {first_line(str(errors[name]))}")
    try:
        from lenet.sweeps.report import report  # pandas and matplotlib take a while to import

        print(report(directory), flush=True)
    except Exception as error:  # the results are what counts, and scripts/report.py can be run again
        log.warning("%s: the report could not be written: %s", directory, first_line(str(error)))
