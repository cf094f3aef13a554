"""What a person at a terminal is told while waiting, and after an interruption. Nothing here imports torch."""

from pathlib import Path

from lenet.runs.directory import Result, RunDirectory
from lenet.runs.metrics import in_a_line
from lenet.system.terminal import command


def how_to_go_on(run: Path | None) -> str:
    """The command that goes on with the run in this directory; without one there is nothing to go on from."""
    if run is None:
        return "no epoch was done, so give the same command again"
    return f"this goes on: {command(f'resume={run}')}"


def closing_lines(result: Result, run: RunDirectory, test_on: str, remedy: str = "") -> str:
    """The book's two closing lines, and where to look further; the first one ends with the epoch of its figures.

    Between the two stands why a run stopped early, and why its weights are no mean where one was asked for.

    Args:
        remedy: what to try where the net has learned nothing, said before the last line.
    """
    figures = in_a_line(result["metrics"], "train/loss", "train/acc", "val/acc", "test/acc")
    epoch = result["best_epoch"] if test_on == "best" else result["epochs"]
    line = f"{figures}, {test_on} epoch {epoch}"
    speed = result["examples_per_sec"]
    early = result.get("stopped_early")
    stopped = f"stopped early after epoch {result['epochs']}: {early}" if early else ""
    guesses = f"this is no better than guessing; {remedy}" if remedy and result.get("at_chance") else ""
    pace = f"{speed:.1f} examples/sec on {result['device']}" if speed else ""
    lines = [line, stopped, result.get("not_averaged"), pace, guesses, str(run.path)]
    return "\n".join(filter(None, lines))
