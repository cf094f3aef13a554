"""What a terminal cannot show is written with what it can: +- for ± where it knows ASCII alone."""

import codecs
import sys
from contextlib import suppress

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
    codecs.register_error("lenet.system.plain", _instead)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a notebook or a test has put something else in its place
            with suppress(OSError):  # somebody has put another file beneath it; it stays as it is
                stream.reconfigure(errors="lenet.system.plain")
