"""docs/habits.md: every command that it prints is one that there is."""

import re
import shlex

import pytest

from conftest import PROJECT
from lenet.cli.commands import quoted
from test_experiments import composed

ROWS = [
    [cell.strip() for cell in line.strip("|\n").split(" | ")]
    for line in (PROJECT / "docs/habits.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and "---" not in line
][1:]
CODE = re.compile(r"`([^`]+)`")

# What is no word for scripts/train.py, or of a run that has to be there.
OTHERS = re.compile(r"--extend|resume=RUN_DIR|scripts/evaluate\.py RUN_DIR|uvx .*|uv run( pytest -n 3)?|[\w-]+")


def printed(there: str, here: str) -> list[str]:
    """The commands of a row, as they are to be typed."""
    commands = CODE.findall(here)
    if here.startswith("the same"):
        commands += [command.lstrip("+") for command in CODE.findall(there)]
    return [command.replace("NAME", "quick") for command in commands]


COMMANDS = list(dict.fromkeys(command for row in ROWS for command in printed(*row) if not OTHERS.fullmatch(command)))


def test_the_page_is_read() -> None:
    assert len(ROWS) > 20
    assert "trainer.accelerator=cpu" in COMMANDS
    assert "trainer.max_steps=1000" in COMMANDS


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("-m ")])
def test_every_command_of_the_page_composes(command: str) -> None:
    composed(*(quoted(word) for word in shlex.split(command)))


def test_so_does_every_sweep(answers) -> None:
    sweeps = [command for command in COMMANDS if command.startswith("-m ")]
    plans = answers([[*shlex.split(command), "hydra.sweeper.plan=true"] for command in sweeps])
    assert len(sweeps) >= 3
    for command, plan in zip(sweeps, plans, strict=True):
        assert plan["said"].endswith("nothing was started\n"), (command, plan)
