"""A lock on the folder of a run or of a sweep: one process has it at a time.

The operating system takes it back when that process ends, however it ends. Nothing here imports torch.
"""

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from filelock import lock_descriptor

LOCK = ".lock"  # the file that is locked; it is there while somebody has the folder
LOOKS, PAUSE = 5, 0.05  # how often a folder is tried, since whoever looks whether it is taken has it for a moment


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
            OSError: the folder cannot be made, or not be written to.
        """
        looks = 0
        while not self._try():
            looks += 1
            if looks == LOOKS and not wait:
                return False
            time.sleep(PAUSE)
        return True

    def _try(self) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        held = []
        try:
            with suppress(OSError):
                held.append(os.open(self.folder, os.O_RDONLY))
            if held and not _lock(held[0], otherwise=True):
                return False
            file = self.folder / LOCK
            held.append(os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666))
            if not _lock(held[-1]):
                return False
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
        return _is_locked(self.folder, os.O_RDONLY) or _is_locked(self.folder / LOCK, os.O_RDWR)


def _lock(descriptor: int, otherwise: bool | None = None) -> bool:
    """Lock it, unless somebody else has; `otherwise` is the answer where that cannot be done at all."""
    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError:
        if otherwise is None:
            raise
        return otherwise


def _is(descriptor: int, path: Path) -> bool:
    """Whether it is what is now called so."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _is_locked(path: Path, flags: int) -> bool:
    try:
        kind = path.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # opening a pipe may take for ever
            return False
        descriptor = os.open(path, flags)
    except OSError:
        return False
    try:
        return not _lock(descriptor, otherwise=True)
    finally:
        os.close(descriptor)
