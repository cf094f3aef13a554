"""Makes of a Python on Linux one of another system, above all of Windows, as far as this project could notice.

With this folder in PYTHONPATH every Python that is started, and every one that it starts, is such. What only Unix
has is not there for modules of this project; the libraries have their own ways on Windows, so they keep theirs. Files
behave as there for everybody:

- a folder cannot be opened;
- what somebody has open can be neither replaced nor removed;
- what somebody has locked cannot be read;
- names that differ only in case are one, some names stand for devices, and a path has at most 259 characters;
- a text without an encoding is in cp1252.
"""

import builtins
import errno
import io
import os
import shutil
import signal
import sys
import types
from contextlib import suppress
from pathlib import PurePath
from typing import Any

LONGEST_PATH = 259
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}

ABSENT = {
    "os": ("fork", "forkpty", "setsid", "killpg", "getpgid", "getpgrp", "wait4", "sched_getaffinity", "getuid",
           "geteuid", "statvfs", "mkfifo", "uname", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "ST_RDONLY"),
    "signal": ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGSTOP", "SIGCONT", "SIGQUIT",
               "pause", "alarm", "pthread_sigmask", "sigwait", "SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK"),
}  # fmt: skip
NO_MODULES = ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp")


def without(module: types.ModuleType, names: tuple[str, ...]) -> types.ModuleType:
    """The same module, in which some names are not."""

    class Other(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name in names:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r} on this system")
            return getattr(module, name)

        def __setattr__(self, name: str, value: Any) -> None:
            setattr(module, name, value)

    return Other(module.__name__)


def kill(pid: int, signum: int) -> None:
    if signum == 0:
        raise AssertionError("on Windows this sends Ctrl-C to the process")
    os.kill(pid, signum)


here = {"os": without(os, ABSENT["os"]), "signal": without(signal, ABSENT["signal"])}
vars(here["os"])["kill"] = kill
whole_import = builtins.__import__


def import_(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    importer = globals or {}
    package = str(importer.get("__name__", "")).split(".")[0]
    if package in ("lenet", "hydra_plugins") or (package == "__main__" and "__file__" in importer):  # a script
        if name in NO_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r} on this system", name=name)
        if name in here and not level:
            return here[name]
    return whole_import(name, globals, locals, fromlist, level)


builtins.__import__ = import_

CHANGED = ("open", "stat", "lstat", "mkdir", "replace", "rename", "unlink", "remove", "rmdir", "listdir", "scandir")
real: dict[str, Any] = {name: getattr(os, name) for name in CHANGED}
real_open = io.open


def actual(path: Any) -> Any:
    """What lies there under a name that differs only in case; a path that this system can have."""
    if not isinstance(path, str | os.PathLike):
        return path  # a descriptor, or bytes
    text = os.fspath(path)
    if not isinstance(text, str) or text.startswith(("/proc", "/dev", "/sys")):
        return path
    if len(os.path.abspath(text)) > LONGEST_PATH:  # noqa: PTH100
        raise windows(FileNotFoundError, errno.ENOENT, "The filename or extension is too long", 206, text)
    with suppress(OSError):
        real["lstat"](text)
        return path
    head, tail = os.path.split(text)
    if head and head != text:
        head = os.fspath(actual(head))
    with suppress(OSError):
        for name in real["listdir"](head or "."):
            if name.casefold() == tail.casefold():
                return os.path.join(head, name)  # noqa: PTH118
    return os.path.join(head, tail)  # noqa: PTH118


def windows(kind: type[OSError], number: int, words: str, winerror: int, path: Any) -> OSError:
    error = kind(number, words, os.fspath(path))
    error.winerror = winerror  # type: ignore[attr-defined]
    return error


def require_closed(path: Any) -> None:
    """Whether nobody has it open, this process included."""
    target = os.path.realpath(path)
    if not os.path.isfile(target):  # noqa: PTH113
        return
    if target in open_files():
        raise windows(PermissionError, errno.EACCES, "it is being used by another process", 32, path)


def open_files() -> set[str]:
    """What any process has open."""
    found = set()
    for process in filter(str.isdecimal, real["listdir"]("/proc")):
        with suppress(OSError):  # it has ended, or is somebody else's
            for number in real["listdir"](f"/proc/{process}/fd"):
                with suppress(OSError):  # it is closed by now
                    found.add(os.readlink(f"/proc/{process}/fd/{number}"))  # noqa: PTH115
    return found


def is_locked(path: Any) -> bool:
    """Whether another process has a lock on it."""
    try:
        inode = real["stat"](path).st_ino
    except OSError:
        return False
    with real_open("/proc/locks", encoding="ascii") as locks:
        fields = [line.split() for line in locks if "->" not in line]
    return any(int(line[4]) != os.getpid() and line[5].rpartition(":")[2] == str(inode) for line in fields)


def os_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
    path = actual(path)
    if kwargs.get("dir_fd") is None and os.path.isdir(path):  # noqa: PTH112
        raise windows(PermissionError, errno.EACCES, "Permission denied", 5, path)
    return real["open"](path, flags, *args, **kwargs)


def open_(file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, *args: Any, **kwargs: Any) -> Any:
    file = actual(file)
    if isinstance(file, str | os.PathLike) and "r" in mode and is_locked(file):
        raise windows(PermissionError, errno.EACCES, "another process has locked a portion of the file", 33, file)
    if "b" not in mode and encoding in (None, "locale"):
        encoding = "cp1252"
    return real_open(file, mode, buffering, encoding, *args, **kwargs)


def mkdir(path: Any, *args: Any, **kwargs: Any) -> None:
    path = actual(path)
    name = PurePath(path).name
    if name.partition(".")[0].casefold() in DEVICES or name.endswith("."):
        raise windows(NotADirectoryError, errno.ENOTDIR, "The directory name is invalid", 267, path)
    real["mkdir"](path, *args, **kwargs)


def onto(name: str) -> Any:
    def move(source: Any, target: Any, **kwargs: Any) -> None:
        source, target = actual(source), actual(target)
        require_closed(source)
        require_closed(target)
        if name == "rename" and os.path.exists(target):  # noqa: PTH110
            raise windows(FileExistsError, errno.EEXIST, "the file already exists", 183, target)
        real[name](source, target, **kwargs)

    return move


def away(name: str) -> Any:
    def take(path: Any, **kwargs: Any) -> None:
        path = actual(path)
        require_closed(path)
        real[name](path, **kwargs)

    return take


def look(name: str) -> Any:
    return lambda path=".", *args, **kwargs: real[name](actual(path), *args, **kwargs)


os.open, os.mkdir = os_open, mkdir
os.replace, os.rename = onto("replace"), onto("rename")
os.unlink, os.remove = away("unlink"), away("remove")
for _name in ("stat", "lstat", "rmdir", "listdir", "scandir"):
    setattr(os, _name, look(_name))
builtins.open = io.open = open_
os.supports_dir_fd = set()
os.supports_fd = set()
shutil._use_fd_functions = False  # type: ignore[attr-defined]  # as it is where folders cannot be opened
sys.dont_write_bytecode = True
