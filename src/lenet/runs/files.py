"""Files that are replaced in one step, so that a crash never leaves a lie."""

import os
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil

from lenet.system.lock import IN_USE

PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)  # seconds; whoever reads a file of ours has it for milliseconds
FEW = PAUSES[:5]  # to open it: it is replaced within a moment, and what may not be read is to be said soon


# What a file is called while it is written; without the computer's name if it is from before there was one.
STAGED = re.compile(r"\..+\.(?P<pid>\d+)(?:@(?P<host>[\w-]*))?\.tmp", re.ASCII)


LONG_AGO = 86400  # seconds; nobody writes a file for a day


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step: whatever stops us, the old file or the new one is there, whole.

    Where `path` is a link it is the link that is replaced, never what it leads to.

    Raises:
        OSError: naming `path`; the old file is untouched and nothing is left beside it.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}@{host()}.tmp")
    try:
        staged.unlink(missing_ok=True)
        with staged.open("xb") as file:  # a new file: nobody can have put a link there
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _replace(staged, path)
    except OSError as error:
        with suppress(OSError):  # where nothing can be written, it cannot be removed either
            staged.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def _replace(staged: Path, path: Path) -> None:
    """Rename it, and wait for those who read what is there: Windows replaces no file that somebody has open."""
    for pause in PAUSES:
        try:
            staged.replace(path)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in IN_USE:
                raise
        time.sleep(pause)
    staged.replace(path)


def host() -> str:
    """The name of this computer, as a part of a file's name."""
    return re.sub(r"[^\w-]", "_", socket.gethostname(), flags=re.ASCII)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while they wrote a file have left beside it.

    Of a process of another computer, which shares the folder, nobody here knows whether it still runs.
    """
    for staged in folder.glob(".*.tmp"):
        if not (found := STAGED.fullmatch(staged.name)):  # not one of ours
            continue
        with suppress(OSError, OverflowError):  # it is a folder, or somebody else was faster; or no process's number
            pid = int(found["pid"])
            if found["host"] == host():
                is_left = pid == os.getpid() or not psutil.pid_exists(pid)  # in a container each may have the same one
            else:
                is_left = time.time() - staged.lstat().st_mtime > LONG_AGO
            if is_left:
                staged.unlink()
