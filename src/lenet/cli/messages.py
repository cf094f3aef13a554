"""What a person at a terminal is told while waiting, and after an interruption. Nothing here imports torch."""

from pathlib import Path

from lenet.config import Config
from lenet.models.layers import size_of
from lenet.system.terminal import command
from lenet.text import counted


def about(config: Config) -> str:
    """A run in a few words."""
    if config.resume:
        return f"{config.resume} goes on, to epoch {config.trainer.max_epochs}"
    parameters, _ = size_of(config)
    epochs = 1 if config.trainer.fast_dev_run else config.trainer.max_epochs
    return f"{config.model.kind} on {config.data.name}, {parameters:,} parameters, {counted(epochs, 'epoch')}"


def how_to_go_on(run: Path | None) -> str:
    """The command that goes on with the run in this directory; without one there is nothing to go on from."""
    if run is None:
        return "no epoch was done, so give the same command again"
    return f"this goes on: {command(f'resume={run}')}"
