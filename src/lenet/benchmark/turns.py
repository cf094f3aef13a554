"""Rows of a benchmark: processes that work one at a time, in turn, so that a drifting machine is as fair to each.

A process of its own keeps what a row does to its process (threads, allocator, imports) from the others, and has a peak
memory of its own. Imports no torch: neither does a row that needs none.
"""

import importlib
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from tqdm import tqdm


@dataclass(frozen=True)
class Row:
    """`lenet.benchmark.<module>.<function>(turns, **settings)`, which works whenever it is its turn."""

    function: str  # module.function
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Times:
    """What a row's process reported."""

    warm_up: float  # seconds of the first turn
    seconds: list[float]  # of the others
    scores: list[float]  # what the row computed in them, if it says: an accuracy
    memory: float  # peak resident set, MB


class Turns:
    """A row's end of the line."""

    def __init__(self, line: Connection) -> None:
        self.line = line
        self.started: float | None = None

    def next(self, score: float | None = None) -> bool:
        """End this turn, if it is one, and wait for the next; False: there is none."""
        if self.started is not None:
            self.line.send((time.perf_counter() - self.started, score))
        more = bool(self.line.recv())
        self.started = time.perf_counter()
        return more

    def repeat(self, work: Callable[[], float | None]) -> None:
        """Do the same at every turn; what `work` returns is its score."""
        more = self.next()
        while more:
            more = self.next(work())


def _serve(row: Row, line: Connection) -> None:
    module, _, function = row.function.partition(".")
    getattr(importlib.import_module(f"lenet.benchmark.{module}"), function)(Turns(line), **row.settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line.send(peak / (1e6 if sys.platform == "darwin" else 1e3))  # bytes there, kilobytes elsewhere


def measure(rows: dict[str, Row], rounds: int) -> dict[str, Times]:
    """Let the rows work in turn: one round to warm up, then `rounds` that count.

    Raises:
        RuntimeError: a row's process ended before its time; its error is on stderr.
    """
    context = multiprocessing.get_context("spawn")
    lines, processes = {}, {}
    times: dict[str, list[tuple[float, float | None]]] = {name: [] for name in rows}
    memory = {}
    bar = tqdm(total=len(rows) * (rounds + 1), unit="turn", disable=None)
    try:
        for name, row in rows.items():
            lines[name], theirs = context.Pipe()
            processes[name] = context.Process(target=_serve, args=(row, theirs), name=name)
            processes[name].start()
            theirs.close()
        for turn in range(rounds + 1):
            for name in list(rows)[:: -1 if turn % 2 else 1]:  # none always comes after the same one
                bar.set_description(name)
                lines[name].send(True)
                times[name].append(lines[name].recv())
                bar.update()
        for name, line in lines.items():
            line.send(False)
            memory[name] = line.recv()
            processes[name].join()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise RuntimeError(f"{name}: its process ended early") from None
    finally:
        bar.close()
        for process in processes.values():
            process.kill()
    return {
        name: Times(
            warm_up=reports[0][0],
            seconds=[seconds for seconds, _ in reports[1:]],
            scores=[score for _, score in reports[1:] if score is not None],
            memory=memory[name],
        )
        for name, reports in times.items()
    }
