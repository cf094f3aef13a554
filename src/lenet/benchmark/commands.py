"""Whole processes as rows: from the command to its end, imports and all."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lenet.benchmark.turns import Turns


def run(turns: Turns, arguments: list[str], expected: int = 0, says: bool = False) -> None:
    """Run `python arguments` in an empty folder at every turn; `says`: its last line is its score.

    Raises:
        RuntimeError: its exit code is not the expected one.
    """

    def command() -> float | None:
        with tempfile.TemporaryDirectory() as folder:
            said = run_in(folder, arguments, expected)
        return float(said.splitlines()[-1]) if says else None

    turns.repeat(command)


def run_in(folder: str | Path, arguments: list[str], expected: int = 0) -> str:
    """What `python arguments` prints in `folder`.

    Raises:
        RuntimeError: its exit code is not the expected one.
    """
    environment = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}  # cli.run sets it
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != expected:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout
