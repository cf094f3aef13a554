"""Whole processes as rows: from the command to its end, imports and all."""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.speed.turns import Turns, megabytes


def run(turns: Turns, arguments: list[str], expected: int = 0, says: bool = False) -> None:
    """Run `python arguments` in an empty folder at every turn; `says`: its last line is its score.

    Raises:
        RuntimeError: its exit code is not the expected one.
    """

    def command() -> float | None:
        with tempfile.TemporaryDirectory() as folder:
            said, _ = run_in(folder, arguments, expected)
        return float(said.splitlines()[-1]) if says else None

    turns.repeat(command)


def run_in(folder: str | Path, arguments: list[str], expected: int = 0) -> tuple[str, float]:
    """What `python arguments` prints in `folder`, and the peak of its memory in MB.

    Raises:
        RuntimeError: its exit code is not the expected one.
    """
    # cli.run sets the one; with the other every command would compile what it imports anew.
    unwanted = ("HYDRA_FULL_ERROR", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    temporary = functools.partial(tempfile.TemporaryFile, "w+", encoding="utf-8")
    with temporary() as stdout, temporary() as stderr:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=environment, stdout=stdout, stderr=stderr
        )
        if sys.platform == "win32":  # which tells no parent what its children used
            raise NotImplementedError
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        if process.returncode != expected:
            raise RuntimeError(f"{' '.join(arguments)}: exit code {process.returncode}\n{stderr.read()}")
        return stdout.read(), megabytes(usage.ru_maxrss)
