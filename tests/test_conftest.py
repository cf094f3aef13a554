"""What hangs fails a test, and does not hold it up for ever."""

from pathlib import Path

import pytest

import conftest
from conftest import Terminal, members, until

HANGS = "import time\nprint('so far', flush=True)\nwhile True:\n    time.sleep(1)\n"


def test_a_script_that_hangs_is_killed_and_what_it_said_is_shown(
    start, tmp_path: Path, monkeypatch, no_waiting
) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    hangs = start(script=tmp_path / "hangs.py")
    until(lambda: "so far" in hangs.said, hangs)
    monkeypatch.setattr(conftest, "HANG", 0)
    with pytest.raises(AssertionError, match="it has not ended in 0 s; it said:\nso far"):
        hangs.wait()
    monkeypatch.undo()
    until(lambda: not members(hangs.pid))


def test_a_terminal_that_somebody_keeps_open_fails(monkeypatch, no_waiting) -> None:
    terminal = Terminal()
    with Path(terminal.name).open("wb"):
        monkeypatch.setattr(conftest, "HANG", 0)
        with pytest.raises(AssertionError, match="somebody still has the terminal"):
            terminal.said()
