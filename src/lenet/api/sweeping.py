"""A sweep from Python: what `lenet.sweep` trains, by the sweeper that scripts/train.py has. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from lenet.cli import usage
from lenet.cli.commands import quiet, quoted
from lenet.cli.explain import bad_words
from lenet.cli.guard import GuardedLoader
from lenet.cli.single import train_composed
from lenet.cli.words import compose
from lenet.errors import BadInput, Interrupted, Stopped
from lenet.sweeps.design import SEARCH
from lenet.system import terminal


def swept(words: Sequence[str]) -> Path:
    """Train what is left to do of a sweep; its directory.

    Raises:
        BadInput: what the command line says of the same words, or it is a search or a plan.
        JobsFailed: at the end, not every job is completed.
        Interrupted: Ctrl-C, or the stop button of a notebook.
    """
    _, hydra = compose(words, RunMode.MULTIRUN)
    sweeper, given = hydra.sweeper, " ".join(words)
    if sweeper.get("design") == SEARCH:
        raise BadInput(f"{given}: a search, which has other tables; scripts/train.py {given} does it, and reports it")
    if sweeper.get("plan"):
        raise BadInput("hydra.sweeper.plan=true: trains nothing, so there are no tables; give it to scripts/train.py")
    varied = any(one.is_sweep_override() for one in OverridesParser.create().parse_overrides(list(words)))
    if not (varied or sweeper.get("params") or sweeper.get("seeds")):
        raise BadInput(
            f'{given}: varies nothing; give sweep=NAME, several values such as pool=["avg", "max"], or the folder of a '
            "sweep"
        )
    terminal.output()
    quiet()
    try:
        loader = GuardedLoader(create_config_search_path(str(usage.CONF)))
        directory = Hydra("train", loader).multirun("train", train_composed, [quoted(word) for word in words], False)
    except Stopped as stopped:
        if stopped.exit_code == Interrupted.exit_code:
            raise Interrupted(None, "the same call goes on") from None
        sys.exit(stopped.exit_code)
    except Exception as error:
        raise (bad_words(error, words) or error) from None
    finally:
        quiet()  # jobs say less
    assert isinstance(directory, Path)
    return directory
