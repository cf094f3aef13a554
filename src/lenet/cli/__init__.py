"""Commands: from words to a checked config, and from an error to one line. Imports no torch."""

from lenet.cli.commands import Parser, job, positive, run, run_composed
from lenet.cli.compose import config_from, run_path

__all__ = ["Parser", "config_from", "job", "positive", "run", "run_composed", "run_path"]
