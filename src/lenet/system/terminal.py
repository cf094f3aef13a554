"""What a terminal cannot show is written with what it can: +- for ± where it knows ASCII alone."""

import codecs
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from lenet.system.ranks import is_first

INSTEAD = {"±": "+-", "×": "x", "−": "-", "–": "-", "…": "...", "·": "-", "◂": "<", "²": "^2", "→": "->", "█": "#"}


def _instead(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    escaped = (
        INSTEAD.get(character, character.encode("ascii", "backslashreplace").decode("ascii")) for character in lost
    )
    return "".join(escaped), error.end


def output() -> None:
    """From now on nothing that is printed fails, whatever the encoding of the terminal, pipe or file."""
    codecs.register_error("lenet.system.terminal", _instead)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a notebook or a test has put something else in its place
            with suppress(OSError):  # somebody has put another file beneath it; it stays as it is
                stream.reconfigure(errors="lenet.system.terminal")


def loading(what: str, library: str = "torch") -> None:
    """Say what is about to be done, before the libraries for it are imported, which takes seconds.

    It goes to standard error, and only where that is a terminal: what is printed there stays as it is for whoever
    reads it in a pipe or from a file.
    """
    if sys.stderr.isatty() and is_first():
        print(f"{what}: loading {library} ...", file=sys.stderr, flush=True)


def shows_bars() -> bool:
    """Whether what is printed goes to somebody who sees it at once: to a terminal, or below the cell of a notebook."""
    return sys.stdout.isatty() or type(sys.stdout).__module__.startswith("ipykernel.")


EXTEND = "LENET_EXTEND"  # the files that --extend has named, for the processes that a command starts


def command(*arguments: str) -> str:
    """The command that started this process, with other arguments, as a shell takes it."""
    files = filter(None, os.environ.get(EXTEND, "").split(os.pathsep))
    arguments = (*(word for file in files for word in ("--extend", file)), *arguments)
    script = sys.argv[0]
    words = sys.orig_argv[: sys.orig_argv.index(script)] if script in sys.orig_argv else []  # python, and its options
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        words = [_uv(), "run"]
    join = subprocess.list2cmdline if sys.platform == "win32" else shlex.join
    return join([*words, script, *arguments])


def _uv() -> str:
    """What uv is called here: it may lie in a folder of the project."""
    uv = os.environ.get("UV", "uv")  # which it sets itself
    known = shutil.which("uv")
    if known and os.path.realpath(known) == os.path.realpath(uv):
        return "uv"
    return os.path.relpath(uv) if Path(uv).is_relative_to(Path.cwd()) else uv
