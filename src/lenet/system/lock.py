"""A lock on the folder of a run or of a sweep: one process has it at a time.

The operating system takes it back when that process ends, however it ends. Nothing here imports torch.
"""

import errno
import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import lock_descriptor

LOCK = ".lock"  # the file that is locked; it is there while somebody has the folder
LOOKS, PAUSE = 5, 0.05  # how often, since another process that tries has a folder for a moment
PATIENCE = 200  # tries, while nobody has it but those who look whether somebody has
SHARING = 32  # what Windows says of a file that somebody else has open, in such a way that nobody may
IN_USE = (5, SHARING)  # 5, access denied, also of one that is being replaced or removed


class CannotLock(OSError):
    """Nothing can be locked there, whoever has it."""


# Whoever looks takes a lock that others who look may have as well: they are not to take each other for a process that
# has the folder. None where the system has no such lock.
shared: Callable[[int], bool] | None = None
if sys.platform != "win32":
    with suppress(ImportError):  # not every other system has it
        import fcntl

        def _shared(descriptor: int) -> bool:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    return False
                raise
            return True

        shared = _shared


class FolderLock:
    """Both are locked: a hidden file in the folder, and the folder itself, from which nobody can remove the lock.

    Not every system locks folders (Windows does not, nor NFS); there the file has to do.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: list[int] = []

    def take(self, wait: bool = False) -> bool:
        """Make the folder if it is absent, and take it for this process; whether that worked.

        Args:
            wait: until whoever has it lets go of it.

        Raises:
            CannotLock: the system locks nothing there.
            OSError: the folder cannot be made, or not be written to.
        """
        tries = taken = gone = denied = 0
        while True:
            try:
                if self._try():
                    return True
                gone = 0
            except FileNotFoundError:  # whoever had it has removed the folder between two steps of ours
                gone += 1
                if gone == LOOKS:  # nobody does so again and again: what it should lie in is gone itself
                    raise
            except PermissionError as error:
                # Windows denies for a moment what is being removed, and for good what is not to be written to.
                denied += 1
                if getattr(error, "winerror", None) not in IN_USE or denied == LOOKS:
                    raise
            # Those who only look soon have enough; how many they are says nothing.
            taken += not gone and not wait and self.is_taken
            tries += not wait
            if taken == LOOKS or tries == PATIENCE:
                return False
            time.sleep(PAUSE)

    def _try(self) -> bool:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            if os.path.lexists(self.folder) and not self.folder.is_dir():
                raise
            return False  # it was there, and is gone, or was gone and is there
        held = []
        try:
            with suppress(OSError):
                held.append(os.open(self.folder, os.O_RDONLY))
            if held and not _lock(held[0], otherwise=True):
                return False
            file = self.folder / LOCK
            is_new = not os.path.lexists(file)
            try:
                held.append(os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666))
            except PermissionError as error:
                if getattr(error, "winerror", None) == SHARING:
                    return False
                raise
            try:
                if not _lock(held[-1]):
                    return False
            except CannotLock:
                if is_new:
                    with suppress(OSError):
                        file.unlink()
                raise
            # Whoever had it before may have removed what was opened here.
            if not (_is(held[-1], file) and (len(held) == 1 or _is(held[0], self.folder))):
                return False
            self._held, held = held, []
            return True
        finally:
            for descriptor in held:
                os.close(descriptor)

    def let_go(self) -> None:
        """Leave nothing of the lock behind."""
        file, is_open = self.folder / LOCK, False
        if self._held:
            try:
                if _is(self._held[-1], file):
                    file.unlink()
            except OSError:  # Windows removes no file that is open
                is_open = True
        for descriptor in reversed(self._held):
            os.close(descriptor)
        self._held = []
        if is_open:
            with suppress(OSError):  # nor does it remove one that somebody else has locked meanwhile
                file.unlink()

    @property
    def is_taken(self) -> bool:
        """Whether a process, this one included, has the folder; nothing is made to find out."""
        return _is_locked(self.folder) or _is_locked(self.folder / LOCK)


def _lock(descriptor: int, otherwise: bool | None = None) -> bool:
    """Lock it, unless somebody else has; `otherwise` is the answer where that cannot be done at all."""
    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if otherwise is None:
            raise CannotLock(error.errno, error.strerror) from error
        return otherwise


def _look(descriptor: int) -> bool:
    """Whether nobody has locked it, as far as that can be told."""
    if shared:
        with suppress(OSError):
            return shared(descriptor)
        return True
    for _ in range(LOOKS):  # here those who look deny it one another, but each for a moment alone
        if _lock(descriptor, otherwise=True):
            return True
        time.sleep(PAUSE)
    return False


def _is(descriptor: int, path: Path) -> bool:
    """Whether it is what is now called so."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _is_locked(path: Path) -> bool:
    try:
        kind = path.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # opening a pipe may take for ever
            return False
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _look(descriptor)
    finally:
        os.close(descriptor)
