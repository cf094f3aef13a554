"""SIGINT and SIGTERM: who heeds them, and when."""

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from lenet.errors import Stopped
from lenet.system.ranks import is_first

STOPPING = (signal.SIGINT, signal.SIGTERM)


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
        if hasattr(sys, "ps1"):  # but not the session of somebody at a prompt or a notebook, where it stops the cell
            signal.signal(signal.SIGINT, signal.default_int_handler)
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
def block_signals() -> Iterator[None]:
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
def ignore_signals() -> Iterator[None]:
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
