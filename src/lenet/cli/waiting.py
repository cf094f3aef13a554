"""What a person at a terminal is told while waiting, and after an interruption. Nothing here imports torch."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from lenet.config import Config
from lenet.models.layers import IMAGE_SIDE, parameters_and_macs
from lenet.system.ranks import is_first


def loading(what: str, library: str = "torch") -> None:
    """Say what is about to be done, before the libraries for it are imported, which takes seconds.

    It goes to standard error, and only where that is a terminal: what is printed there stays as it is for whoever
    reads it in a pipe or from a file.
    """
    if sys.stderr.isatty() and is_first():
        print(f"{what}: loading {library} ...", file=sys.stderr, flush=True)


def about(config: Config) -> str:
    """A run in a few words."""
    if config.resume:
        return f"{config.resume} goes on, to epoch {config.trainer.max_epochs}"
    parameters, _ = parameters_and_macs(config.model, IMAGE_SIDE + 2 * config.data.pad)
    epochs = 1 if config.trainer.fast_dev_run else config.trainer.max_epochs
    return f"{config.model.kind} on {config.data.name}, {parameters:,} parameters, {counted(epochs, 'epoch')}"


def how_to_go_on(run: Path | None) -> str:
    """The command that goes on with the run in this directory; without one there is nothing to go on from."""
    if run is None:
        return "no epoch was done, so give the same command again"
    return f"this goes on: {command(f'resume={run}')}"


def command(*arguments: str) -> str:
    """The command that started this process, with other arguments, as a shell takes it."""
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


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "es" if thing.endswith("tch") else "s")
