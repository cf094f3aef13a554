"""Rows of a benchmark: processes that work one at a time, in turn, so that a drifting machine is as fair to each.

A process of its own keeps what a row does to its process (threads, allocator, imports) from the others, and has a peak
memory of its own. Imports no torch: neither does a row that needs none.
"""

import importlib
import multiprocessing
import os
import random
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from tqdm import tqdm


@dataclass(frozen=True)
class Row:
    """`benchmarks.speed.<module>.<function>(turns, **settings)`, which works whenever it is its turn."""

    function: str  # module.function
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Times:
    """What a row's process reported."""

    warm_up: float  # seconds of the first turn
    seconds: list[float]  # of the others
    scores: list[float]  # what the row computed in them, if it says: an accuracy
    memory: float  # peak resident set of its largest process, MB


class Turns:
    """A row's end of the line."""

    def __init__(self, line: Connection) -> None:
        self.line = line
        self.started: float | None = None
        self.memory: float | None = None  # MB, of a row that prepares its turns in larger processes than it measures

    def next(self, score: float | None = None) -> bool:
        """End this turn, if it is one, and wait for the next; False: there is none."""
        if self.started is None:
            self.line.send(("ready", None))
        else:
            self.line.send(("turn", (time.perf_counter() - self.started, score)))
        try:
            more = bool(self.line.recv())
        except EOFError:  # nobody measures any more
            raise SystemExit(1) from None
        self.started = time.perf_counter()
        return more

    def repeat(self, work: Callable[[], float | None]) -> None:
        """Do the same at every turn; what `work` returns is its score."""
        more = self.next()
        while more:
            more = self.next(work())


def _serve(row: Row, line: Connection) -> None:
    if sys.platform == "win32":  # `benchmarks.speed` says so
        raise NotImplementedError
    os.setsid()  # so that what it starts can be ended with it, and Ctrl-C is the measuring process's affair
    # A spawned process spawns as well, unless it is told what the system's own way is.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    warnings.simplefilter("ignore")  # of what others write, as it is
    module, _, function = row.function.partition(".")
    turns = Turns(line)
    getattr(importlib.import_module(f"benchmarks.speed.{module}"), function)(turns, **row.settings)
    line.send(("memory", turns.memory or peak_memory()))


def peak_memory() -> float:
    """MB of the largest that this process was, or any that it started and has seen the end of."""
    if sys.platform == "win32":  # it counts in another way
        raise NotImplementedError
    import resource

    status = Path("/proc/self/status")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if status.exists():  # Linux counts there, in ru_maxrss, what was before exec as well: the process that started it
        own = int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))[0])
    return megabytes(max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))


def megabytes(maxrss: int) -> float:
    """Of what the system calls ru_maxrss."""
    return maxrss / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kilobytes elsewhere


def measure(rows: dict[str, Row], rounds: int) -> dict[str, Times]:
    """Let the rows work in turn: one round to warm up, then `rounds` that count, each in another order.

    Raises:
        RuntimeError: a row's process ended before its time; its error is on stderr.
    """
    if sys.platform == "win32":  # where no group of processes can be ended
        raise NotImplementedError
    context = multiprocessing.get_context("spawn")
    orders = random.Random(0)
    lines: dict[str, Connection] = {}
    processes: dict[str, SpawnProcess] = {}
    times: dict[str, list[tuple[float, float | None]]] = {name: [] for name in rows}
    memory: dict[str, float] = {}
    bar = tqdm(total=len(rows) * (rounds + 1), unit="turn", disable=None)

    def hear(name: str, kind: str) -> Any:
        try:
            found, value = lines[name].recv()
        except (EOFError, ConnectionResetError):
            found = None
        if found != kind:
            raise RuntimeError(f"{name}: its process ended early")
        return value

    try:
        for name, row in rows.items():
            lines[name], theirs = context.Pipe()
            processes[name] = context.Process(target=_serve, args=(row, theirs), name=name)
            processes[name].start()
            theirs.close()
        for name in rows:
            hear(name, "ready")
        for _ in range(rounds + 1):
            for name in orders.sample(list(rows), len(rows)):
                bar.set_description(name)
                lines[name].send(True)
                times[name].append(hear(name, "turn"))
                bar.update()
        for name, line in lines.items():
            line.send(False)
            memory[name] = hear(name, "memory")
    finally:
        bar.close()
        for process in processes.values():
            if process.pid:
                with suppress(ProcessLookupError):  # it leads no group before it has begun to serve
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()
                process.join()
    return {
        name: Times(
            warm_up=reports[0][0],
            seconds=[seconds for seconds, _ in reports[1:]],
            scores=[score for _, score in reports[1:] if score is not None],
            memory=memory[name],
        )
        for name, reports in times.items()
    }
