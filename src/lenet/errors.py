"""What can end a run or a sweep, beside a mistake of ours."""

import signal
from collections.abc import Iterator
from pathlib import Path

from lenet.text import one_line

Complaints = Iterator[tuple[str, str]]  # what a rule finds: a key of the config, and the remedy


class OneLine:
    """What is said in one line: a notebook shows that line alone, without the way that led to it."""

    advice = ""

    def _render_traceback_(self) -> list[str]:
        """IPython asks for this method by its name (`InteractiveShell.showtraceback`)."""
        return [f"{type(self).__name__}: {self}" + (f"; {self.advice}" if self.advice else "")]


class BadInput(OneLine, Exception):
    """Something that was given cannot be used. The message is one line: the key, the value, the remedy.

    `details`, lines below it, are for what does not fit there.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details

    def __str__(self) -> str:
        return one_line(self.args[0]) + (f"\n{self.details}" if self.details else "")


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived; like KeyboardInterrupt it is no Exception, so nothing mistakes it for a failure.

    `run` is the directory of the run that it stopped, where there is a checkpoint to go on from; `advice` says what
    can be done now.
    """

    run: Path | None = None
    advice = ""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum
        self.exit_code = 128 + signum

    def __reduce__(self) -> tuple[type["Stopped"], tuple[int]]:
        return Stopped, (self.signum,)  # from the process of a job to that of its sweep


class Interrupted(OneLine, KeyboardInterrupt):
    """Ctrl-C, or the stop button of a notebook, as `lenet.train` hands it on.

    `run` and `advice` are those of Stopped.
    """

    exit_code = 128 + signal.SIGINT

    def __init__(self, run: Path | None, advice: str) -> None:
        super().__init__("the run was stopped")
        self.run, self.advice = run, advice


class TimeUp(OneLine, Exception):
    """The time that trainer.max_time gives a run is over. `run` and `advice` are those of Stopped.

    It is an Exception, so that a sweep goes on with its other jobs.
    """

    run: Path | None = None
    exit_code = 124  # as timeout(1) has it


class PeerLost(OneLine, Exception):
    """Another process of those that train one net together has ended."""


class Diverged(OneLine, Exception):
    """The training loss is no longer a finite number."""


class NothingValidated(OneLine, Exception):
    """A run has ended before its first validation, so that no epoch is the best one, which was to be tested."""


class Pruned(Exception):
    """A search has given this run up: others do better after as many epochs."""


class JobsFailed(OneLine, Exception):
    """A sweep is at its end, and not every job is completed. The message is one line."""
