"""What can end a run or a sweep, beside a mistake of ours."""

import re
import signal
from pathlib import Path

# Line breaks and other controls; what turns the direction of writing or has no width; halves of characters.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def one_line(text: str) -> str:
    """The text with its line breaks and other control characters written out, as the terminal should not obey them."""
    return UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


def first_line(text: str) -> str:
    """The first line that says something, written out likewise."""
    return next((one_line(line.strip()) for line in text.splitlines() if line.strip()), "")


class BadInput(Exception):
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


class Deserted(Exception):
    """Another process of those that train one net together has ended."""


class Diverged(Exception):
    """The training loss is no longer a finite number."""


class JobsFailed(Exception):
    """A sweep is at its end, and not every job is completed. The message is one line."""
