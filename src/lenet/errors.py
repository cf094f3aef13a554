"""What can end a run or a sweep, beside a mistake of ours."""

import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from lenet.system.ranks import is_first

STOPPING = (signal.SIGINT, signal.SIGTERM)


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


class Signals:
    """The first SIGINT or SIGTERM raises Stopped: at once or, where that is put off, when somebody looks.

    Where several processes train one net only the first heeds them: the others end when it leaves them.
    """

    def __init__(self) -> None:
        self._signum: int | None = None
        self._is_put_off = False

    def handle(self) -> None:
        """From now on be who gets the signals, until the first has come."""
        if self._signum is None and threading.current_thread() is threading.main_thread():
            for signum in STOPPING:
                signal.signal(signum, self.arrive)
            _mask("SIG_UNBLOCK", STOPPING)  # whoever started this process may have blocked them

    def arrive(self, signum: int, frame: FrameType | None) -> None:
        if not is_first():
            return
        for either in STOPPING:
            signal.signal(either, signal.SIG_DFL)  # a second one ends the process at once
        self._signum = signum
        if not self._is_put_off:
            raise Stopped(signum)

    def check(self) -> None:
        """Raises Stopped if a signal has come."""
        if self._signum is not None:
            raise Stopped(self._signum)

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """While this lasts, only `check` raises Stopped, and the end of it, unless that is within another such time."""
        before, self._is_put_off = self._is_put_off, True
        try:
            yield
        except SystemExit:  # Lightning's answer to SIGTERM, which would exit with 0
            self.check()
            raise
        finally:
            self._is_put_off = before
        if not self._is_put_off:
            self.check()


def _mask(how: str, signals: Iterable[int]) -> Iterable[int]:
    """Change which signals are blocked, where the system can; those that were before."""
    mask: Callable[[int, Iterable[int]], set[int]] | None = getattr(signal, "pthread_sigmask", None)
    return mask(getattr(signal, how), signals) if mask else ()


@contextmanager
def starting_deaf() -> Iterator[None]:
    """Processes that are started meanwhile hear no SIGINT and SIGTERM until they listen (`Signals.handle`).

    A Ctrl-C goes to them as well, and would end them while they import. Windows cannot block signals: there a Ctrl-C in
    this moment ends them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Blocked and not ignored: what comes meanwhile is not lost, here or there.
    before = _mask("SIG_BLOCK", STOPPING)
    try:
        yield
    finally:
        _mask("SIG_SETMASK", before)


@contextmanager
def starting_ignorant() -> Iterator[None]:
    """Processes that are started meanwhile ignore SIGINT and SIGTERM until they set handlers, as submitit's do.

    They would not unblock what is blocked. What comes to this process in this moment is lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.signal(signum, signal.SIG_IGN) for signum in STOPPING}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def stop_on_signals() -> Iterator[Signals]:
    """While this lasts, the first SIGINT or SIGTERM raises Stopped; a second one ends the process at once."""
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals  # only the main thread may set handlers
        return
    before = {signum: signal.getsignal(signum) for signum in STOPPING}
    try:
        signals.handle()
        yield signals
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
