"""Training from Python: what `lenet.train` and `Run.resume` do. Nothing here imports torch before it has to."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet.cli.commands import quiet
from lenet.cli.single import train_single
from lenet.cli.words import wanted
from lenet.config import Config
from lenet.errors import BadInput, Interrupted, Stopped, TimeUp
from lenet.rules.processes import device_count
from lenet.system import terminal
from lenet.training import demands

if TYPE_CHECKING:
    import lightning as L


def trained(words: Sequence[Any], keys: Mapping[str, Any], callbacks: Sequence[L.Callback]) -> Path:
    """The directory of a finished run; the arguments are those of `lenet.train`.

    Raises: those of `lenet.train`.
    """
    if not isinstance(callbacks, Sequence) or any(not hasattr(one, "on_train_start") for one in callbacks):
        raise BadInput(f"callbacks={callbacks!r}: give a list of Lightning callbacks, such as [MyCallback()]")
    asked = wanted(words, keys)
    demands.check(asked.config)  # what the command line says comes first
    _require_one_process(asked.config)
    terminal.output()
    quiet()
    try:
        _, run = train_single(asked.config, asked.place, asked.words, callbacks)
    except Stopped as stopped:
        interrupted = Interrupted(stopped.run, _how_to_go_on(stopped))
        if stopped.exit_code == Interrupted.exit_code:
            raise interrupted from None
        print(f"interrupted by {stopped}; {interrupted.advice}", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except TimeUp as over:
        over.advice = _how_to_go_on(over)
        raise
    return run.path


def _require_one_process(config: Config) -> None:
    """Lightning would start the whole program again for each further process.

    Raises:
        BadInput: the config asks for several.
    """
    settings = config.trainer
    if (device_count(settings.devices) or 1) > 1:
        raise BadInput(
            f"trainer.devices={settings.devices}: each is a process that the command starts, so scripts/train.py has "
            "several; leave it out"
        )
    if settings.num_nodes > 1:
        raise BadInput(
            f"trainer.num_nodes={settings.num_nodes}: each is a command of its own, so scripts/train.py has several; "
            "leave it out"
        )


def _how_to_go_on(ended: Stopped | TimeUp) -> str:
    if ended.run is None:
        return "no epoch was done, so train again"
    return f'this goes on: lenet.train(resume="{ended.run}")'
