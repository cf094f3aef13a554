"""The trials of a search: one run directory each, listed in sweep.json. They are the truth; all else is made of them.

Several processes may take trials at once, on several machines. A lock on a folder beside them makes it one at a time.
"""

import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from lenet.batches import epochs as epochs_of
from lenet.config import Config
from lenet.errors import BadInput
from lenet.models.sizes import size_of
from lenet.runs.directory import Result, RunDirectory
from lenet.runs.names import made_safe
from lenet.search.proposals import Past, proposals
from lenet.search.space import ABSENT, Setting, Space
from lenet.search.spec import COSTS, Spec
from lenet.sweeps.design import LONGEST_NAME, SEARCH, Job, Sweep
from lenet.sweeps.directory import check_job, implausible, state
from lenet.system.lock import FolderLock
from lenet.tables import aligned
from lenet.text import counted

TRIES = 3  # that a trial may lose its process in, until it counts as failed
LOST = "lost"  # how often that was, in sweep.json

Make = Callable[[Sequence[str]], Config]  # the checked config of these overrides, or BadInput


class Exhausted(Exception):
    """There is no setting left to try."""


@dataclass
class Search:
    """What is searched, how, and where. It is sent to other processes."""

    directory: Path
    space: Space
    spec: Spec
    base: dict[str, str]  # the baseline's label of each parameter
    config: dict[str, str] = field(default_factory=dict)  # the baseline's keys, as far as they make it another run
    deadline: float | None = None  # time.time() from which no more trials are begun
    _ended: dict[str, Past] = field(default_factory=dict)  # what will not change any more, by the name of the job

    def read(self) -> Sweep:
        return Sweep.read(self.directory, whole=False)

    def begin(self) -> None:
        """List no trials yet, or those that there are; what lost its process may be tried again.

        Raises:
            BadInput: the directory holds a grid's jobs, or another search; it says in what that differs.
        """
        labels = {name: [*dict.fromkeys([self.base[name], ABSENT])] for name in self.space.domains()}
        sweep = Sweep(SEARCH, labels, self.base, search=self.described | {LOST: {}})
        with self.alone():  # a worker may have been left over
            if (self.directory / "sweep.json").exists():
                before = self.read()
                self._require_same(before)
                sweep = replace(before, search=sweep.search, baseline=self.base)
            sweep.write(self.directory)

    def check(self) -> None:
        """Raises what `begin` does, and writes nothing."""
        if (self.directory / "sweep.json").exists():
            self._require_same(self.read())

    @property
    def described(self) -> dict[str, dict[str, str]]:
        """What makes it another search."""
        return {"space": self.space.describe(), "spec": self.spec.told_by(), "config": self.config}

    def _require_same(self, before: Sweep) -> None:
        ways_out = (
            f"give name=ANOTHER for a directory of its own, or remove {self.directory / 'sweep.json'} to put this one "
            "in its place"
        )
        if before.design != SEARCH:
            over = ", ".join(before.parameters) or "seeds alone"
            raise BadInput(f"{self.directory}: holds a sweep over {over} ({before.design}), and no search; {ways_out}")
        for part, words in (("space", ""), ("spec", "hydra.sweeper."), ("config", "")):
            old, new = before.search.get(part, {}), self.described[part]
            for name in dict.fromkeys([*old, *new]):
                if old.get(name) != new.get(name):
                    raise BadInput(
                        f"{self.directory}: holds a search with {words}{name}={old.get(name, ABSENT)}, and this one "
                        f"has {new.get(name, ABSENT)}; {ways_out}"
                    )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within, no other process lists or takes a trial."""
        lock = FolderLock(self.directory / ".search")
        lock.take(wait=True)
        try:
            yield
        finally:
            lock.let_go()

    def take(self, make: Make) -> tuple[int, Job, RunDirectory] | None:
        """A trial to do, with its number and its directory, which is locked: the rest of one that was cut off, or new.

        Returns:
            None where there is nothing left to begin.

        Raises:
            BadInput: hardly any setting can be.
        """
        with self.alone():
            sweep = self.read()
            for number, job in enumerate(sweep.jobs):
                if run := self._open(sweep, job):
                    return number, job, run
            if len(sweep.jobs) >= self.spec.trials or (self.deadline and time.time() >= self.deadline):
                return None
            try:
                setting, config = self._next(sweep, make)
            except Exhausted:
                return None
            job = self._listed(sweep, setting, config)
            run = RunDirectory(self.directory / job.name)
            run.lock()
            return len(sweep.jobs) - 1, job, run

    def _open(self, sweep: Sweep, job: Job) -> RunDirectory | None:
        """The directory of a trial that nobody does and that is not done, locked."""
        if job.name in self._ended:
            return None
        check_job(self.directory / job.name)
        run = RunDirectory(self.directory / job.name)
        if state(run) not in ("cut off", "not started") or not run.lock():
            return None
        if not run.begun or (run.read_result() or {}).get("status") == "interrupted":
            return run
        lost = sweep.search.setdefault(LOST, {})
        lost[job.name] = str(int(lost.get(job.name, "0")) + 1)
        sweep.write(self.directory)
        if int(lost[job.name]) < TRIES:
            return run
        message = f"it lost its process {TRIES} times"
        failed = {"status": "failed", "metrics": {}, "error": {"message": message, "traceback": None}}
        run.write_result((run.read_result() or {}) | failed)
        run.unlock()
        return None

    @property
    def longest_directory(self) -> Path:
        """One with a path as long as that of any trial."""
        return self.directory / _name(self.spec.trials - 1, self.space.longest_words)

    def first(self, make: Make) -> None:
        """Raises BadInput where hardly any setting can be; nothing is written."""
        self._next(Sweep(SEARCH, {}, {}), make)

    def plan(self) -> str:
        """What would be searched, and how far it is."""
        rows = [("parameter", "values", "baseline")]
        rows += [(name, str(domain), self.base[name]) for name, domain in self.space.domains().items()]
        lines = aligned(rows)
        told = self.spec.told_by()
        lines.append(", ".join(f"{name}={value}" for name, value in told.items() if value != "None"))
        listed = (self.directory / "sweep.json").exists()
        done = sum(past.state != "running" for past in self.past(self.read())) if listed else 0
        lines.append(f"{counted(self.spec.trials, 'trial')}, {done} done, in {self.directory}; nothing was started")
        return "\n".join(lines)

    def _next(self, sweep: Sweep, make: Make) -> tuple[Setting, Config]:
        """The first proposal that can be, is not too large, and has not been tried."""
        number, known = len(sweep.jobs), {tuple(job.overrides) for job in sweep.jobs}
        reasons: list[str] = []
        for setting in proposals(self.space, self.spec, self.past(sweep), number):
            if setting.overrides in known:
                continue
            try:
                config = make(setting.overrides)
            except BadInput as error:
                reasons.append(str(error))
                continue
            if reason := self._too_large(config):
                reasons.append(reason)
                continue
            return setting, config
        if reasons and not sweep.jobs:
            raise BadInput(
                f"{reasons[0]} (and so {len(reasons)} settings that were drawn one after another); widen the space"
            )
        raise Exhausted

    def _too_large(self, config: Config) -> str:
        for name, count in zip(COSTS, size_of(config), strict=True):
            most = getattr(self.spec, f"max_{name}")
            if most is not None and count > most:
                return f"hydra.sweeper.max_{name}={most}: a net of the space has {count:,}"
        return ""

    def _listed(self, sweep: Sweep, setting: Setting, config: Config) -> Job:
        """A new job, in sweep.json."""
        labels = {name: setting.labels.get(name, ABSENT) for name in self.space.domains()}
        for name, label in labels.items():
            if label not in sweep.parameters.setdefault(name, []):
                sweep.parameters[name].append(label)
        words = ",".join(f"{name}={label}" for name, label in setting.labels.items())
        name = _name(len(sweep.jobs), words, told_by=list(setting.overrides))
        parameters, macs = size_of(config)
        epochs = epochs_of(config)
        job = Job(name, name, labels, config.seed, list(setting.overrides), epochs, parameters, macs)
        sweep.jobs.append(job)
        sweep.write(self.directory)
        return job

    def past(self, sweep: Sweep) -> list[Past]:
        """What is known of every trial, in their order."""
        return [self.past_of(job) for job in sweep.jobs]

    def past_of(self, job: Job) -> Past:
        if job.name in self._ended:
            return self._ended[job.name]
        run = RunDirectory(self.directory / job.name)
        labels = {name: label for name, label in job.levels.items() if label != ABSENT}
        became, result = state(run), run.read_result() or {}
        objective = self.spec.objective[0]
        epochs: dict[int, float] = {}
        with suppress(BadInput, OSError):
            epochs = {int(row["epoch"]): row[objective] for row in run.read_metrics() if objective in row}
        if became == "completed":
            past = self._completed(job, labels, result, epochs)
        elif became == "failed":
            message = (result.get("error") or {}).get("message") or ""
            past = Past(labels, "diverged" if message.startswith("Diverged") else "failed", None, epochs)
        else:
            past = Past(labels, "pruned" if became == "pruned" else "running", None, epochs)
        if past.state != "running":
            self._ended[job.name] = past
        return past

    def _completed(self, job: Job, labels: dict[str, str], result: Result, epochs: dict[int, float]) -> Past:
        figures = {**(result.get("metrics") or {}), "parameters": job.parameters, "macs": job.macs}
        values = tuple(figures[name] for name in self.spec.objective if name in figures)
        if len(values) < len(self.spec.objective) or implausible(result):
            return Past(labels, "failed", None, epochs)
        if not all(map(math.isfinite, values)):
            return Past(labels, "diverged", None, epochs)
        return Past(labels, "completed", values, epochs)

    def retry_failed(self) -> None:
        """Let those that failed by something else than their setting be done again; the command has been given anew."""
        for job in self.read().jobs:
            run = RunDirectory(self.directory / job.name)
            if self.past_of(job).state == "failed" and run.lock():
                run.clear()
                run.unlock()
                del self._ended[job.name]

    def best(self, sweep: Sweep, most: int) -> list[int]:
        """The numbers of the best trials, the best first.

        With several objectives: of those that no other one is better than in all of them, by the first one.
        """
        signs = [1 if direction == "maximize" else -1 for direction in self.spec.direction]
        done = {
            number: [sign * value for sign, value in zip(signs, past.values, strict=True)]
            for number, past in enumerate(self.past(sweep))
            if past.state == "completed" and past.values
        }
        if len(signs) > 1:
            done = {number: values for number, values in done.items() if not _is_beaten(values, done.values())}
        ordered = sorted(done, key=lambda number: (-done[number][0], number))
        return list(itertools.islice(ordered, most))


def _name(number: int, words: str, told_by: Sequence[str] = ()) -> str:
    """Of the directory of a trial, told from others by its overrides where its words are too long."""
    return made_safe(f"{number:03},{words}", LONGEST_NAME, told_by=json.dumps([number, list(told_by)]))


def _is_beaten(values: Sequence[float], others: Iterable[Sequence[float]]) -> bool:
    """Whether another one is at least as good in everything, and better in something."""
    return any(
        all(theirs >= ours for theirs, ours in zip(other, values, strict=True)) and list(other) != list(values)
        for other in others
    )
