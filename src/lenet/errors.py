"""What can end a run or a sweep, beside a mistake of ours."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class BadInput(Exception):
    """Something that was given cannot be used. The message is one line: the key, the value, the remedy."""


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived; like KeyboardInterrupt it is no Exception, so nothing mistakes it for a failure."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum
        self.exit_code = 128 + signum

    def __reduce__(self) -> tuple[type["Stopped"], tuple[int]]:
        return Stopped, (self.signum,)  # from the process of a job to that of its sweep


class Diverged(Exception):
    """The training loss is no longer a finite number."""


class JobsFailed(Exception):
    """A sweep is at its end, and not every job is completed. The message is one line."""


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """While this lasts, the first SIGINT or SIGTERM raises Stopped; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_DFL)
        raise Stopped(signum)

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
