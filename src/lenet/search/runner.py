"""Runs a search: workers that take trials, the confirming round, and the report; resumed by the same command."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tqdm import tqdm

from lenet.config import Config
from lenet.errors import BadInput, JobsFailed, Stopped
from lenet.runs.directory import RunDirectory
from lenet.runs.files import remove_leftovers
from lenet.runs.metrics import METRICS
from lenet.search import confirm, journal
from lenet.search.trials import LOST, Make, Search
from lenet.sweeps.design import Job, Sweep
from lenet.sweeps.progress import Watch, duration
from lenet.sweeps.runner import Detached, alone_in
from lenet.system.signals import stop_on_signals
from lenet.text import counted, first_line

log = logging.getLogger(__name__)

PAUSE = 0.5  # seconds between two looks at what others do
BROKEN = 3  # times in a row that the launcher may break without a trial that ends

Workers = Callable[[], Mapping[int, Exception]]  # runs them, and returns the error of each that raised one
Confirm = Callable[[Sweep, Path, Mapping[str, Config]], None]  # runs an ordinary sweep


def run(search: Search, make: Make, workers: Workers, confirm_by: Confirm, fail_fast: bool = False) -> None:
    """Try settings until as many are done as are asked for, confirm the best, and write the report, however it ends.

    Raises:
        BadInput: something else is at work in the directory, or it holds other runs, and nothing has been started; or
            no trial can be done.
        JobsFailed: a trial or a confirming run has failed.
        Stopped: a signal came.
    """
    search.check()
    with alone_in(search.directory):
        remove_leftovers(search.directory)
        search.begin()
        search.retry_failed()
        journal.write(search)
        done = sum(past.state != "running" for past in search.past(search.read()))
        begun = len(search.read().jobs) - done
        words = f"{done} done before" + (f", {begun} go on" if begun else "")
        print(f"search in {search.directory}: {counted(search.spec.trials, 'trial')}, {words}", flush=True)
        with stop_on_signals() as signals:
            is_confirming = False
            try:
                with Progress(search):
                    _until_done(search, workers, fail_fast)
                is_confirming = True
                _confirm(search, make, confirm_by)
            except Detached as detached:
                print(f"{detached}; scripts/report.py {search.directory} shows how far it is", flush=True)
                return
            except (Stopped, KeyboardInterrupt):
                _conclude(search)
                if not is_confirming:  # the sweep of which that consists has said so
                    print("stopped; started again, it goes on from here", flush=True)
                raise
            except (JobsFailed, BadInput):
                _conclude(search)
                raise
            with signals.put_off():  # half of an import would be in the way of the next try
                _conclude(search)
    failed = sum(past.state == "failed" for past in search.past(search.read()))
    if failed:
        raise JobsFailed(f"{counted(failed, 'trial')} failed; the same command tries them again")


def _until_done(search: Search, workers: Workers, fail_fast: bool) -> None:
    """Start workers again as long as there is something to do: one that is killed takes the others with it.

    Raises:
        BadInput: no trial can be done.
        JobsFailed: they break off again and again, or with `fail_fast` once.
    """
    broken = 0
    while broken < BROKEN:
        before = _stamp(search)
        try:
            errors = workers()
        except (Detached, BadInput):
            raise
        except Exception as error:
            errors = {0: error}
        for raised in errors.values():
            if isinstance(raised, BadInput):
                raise raised
            log.warning("a worker broke off: %s", first_line(str(raised)))
        while any(_is_locked(search, job) for job in search.read().jobs):  # by workers that were left over
            time.sleep(PAUSE)
        journal.write(search)
        if fail_fast and errors:
            break
        if not _is_open(search):
            return
        over = search.deadline is not None and time.time() >= search.deadline
        if not errors and (over or len(search.read().jobs) < search.spec.trials):
            return  # time is up, or there is no further setting
        broken = broken + 1 if _stamp(search) == before else 0
    left = search.spec.trials - sum(past.state != "running" for past in search.past(search.read()))
    raise JobsFailed(f"{counted(left, 'trial')} not done; the same command goes on")


def _is_locked(search: Search, job: Job) -> bool:
    return search.past_of(job).state == "running" and RunDirectory(search.directory / job.name).is_locked


def _is_open(search: Search) -> bool:
    pasts = search.past(search.read())
    return len(pasts) < search.spec.trials or any(past.state == "running" for past in pasts)


def _stamp(search: Search) -> list[str]:
    sweep = search.read()
    return [*(past.state for past in search.past(sweep)), str(sweep.search.get(LOST))]


def _confirm(search: Search, make: Make, confirm_by: Confirm) -> None:
    if not search.spec.confirm:
        return
    sweep, configs = confirm.sweep_of(search, make)
    if not sweep.jobs:
        return
    best = ", ".join(label for label in sweep.parameters["setting"] if label != confirm.BASELINE)
    print(f"confirming {best} and the baseline: {counted(search.spec.confirm, 'fresh seed')}, two splits", flush=True)
    failed: JobsFailed | None = None
    try:
        confirm_by(sweep, search.directory / confirm.FOLDER, configs)
    except JobsFailed as error:  # the others say what they can
        failed = error
    if won := confirm.winner(confirm.confirmed(search), search.spec.direction[0]):
        confirm.test(search.directory, won)
    if failed:
        raise failed


def _conclude(search: Search) -> None:
    """Say what became of the trials, and write the report."""
    journal.write(search)
    sweep = search.read()
    for job, past in zip(sweep.jobs, search.past(sweep), strict=True):
        if past.state in ("failed", "diverged"):
            result = RunDirectory(search.directory / job.name).read_result() or {}
            print(f"  {search.directory / job.name}: {_reason(result)}")
    if sweep.jobs and len(sweep.jobs) < search.spec.trials and search.space.is_small:
        print(f"{counted(len(sweep.jobs), 'setting')} of the space have been tried; no other one can be", flush=True)
    try:
        from lenet.search.report import report  # pandas and matplotlib take a while to import

        print(report(search.directory), flush=True)
    except BadInput as error:  # no trial yet
        print(error, flush=True)
    except Exception as error:  # the results are what counts, and scripts/report.py can be run again
        log.warning("%s: the report could not be written: %s", search.directory, first_line(str(error)))


def _reason(result: Mapping[str, object]) -> str:
    error = result.get("error")
    return first_line(str(error.get("message") or "")) if isinstance(error, dict) else "it has no objective"


class Progress(Watch):
    """While this lasts, a line for each trial that ends."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search = search
        self.seen = {number for number, _ in self._ended()}
        self.first, self.started = len(self.seen), time.monotonic()

    def _ended(self) -> list[tuple[int, Job]]:
        sweep = self.search.read()
        both = zip(sweep.jobs, self.search.past(sweep), strict=True)
        return [(number, job) for number, (job, past) in enumerate(both) if past.state != "running"]

    def look(self) -> None:
        for number, job in self._ended():
            if number in self.seen:
                continue
            self.seen.add(number)
            left = (self.search.spec.trials - len(self.seen)) * (time.monotonic() - self.started)
            seconds = left / (len(self.seen) - self.first)
            words = f"[{len(self.seen)}/{self.search.spec.trials}] {job.name}: {self._became(job)}"
            tqdm.write(words + (f"; about {duration(seconds)} left" if seconds > 0 else ""), file=sys.stdout)
            sys.stdout.flush()

    def _became(self, job: Job) -> str:
        past, objective = self.search.past_of(job), self.search.spec.objective[0]
        shown = METRICS[objective][0]
        last = past.epochs[max(past.epochs)] if past.epochs else None
        if past.state == "completed" and past.values:
            return f"{shown} {past.values[0]:.4g}"
        if past.state == "pruned" and last is not None:
            return f"given up after epoch {max(past.epochs)} at {shown} {last:.4g}"
        return f"failed: {_reason(RunDirectory(self.search.directory / job.name).read_result() or {})}"
