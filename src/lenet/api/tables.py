"""`lenet.sweep` and `lenet.summary`: tables. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lenet.cli.words import as_words, compose, wanted
from lenet.config import Config
from lenet.datasets import input_size
from lenet.errors import BadInput
from lenet.models.sizes import layers_of
from lenet.models.table import as_table
from lenet.sweeps.design import SEARCH, Sweep, sweep_name

if TYPE_CHECKING:
    import pandas as pd


class Tables(NamedTuple):
    """What a sweep shows: `results, ranking, effects = lenet.sweep("sweep=pooling")`."""

    results: pd.DataFrame
    """A row per job: what it varies, its seed, what became of it, and its figures."""
    ranking: pd.DataFrame
    """A row per setting, the best first: mean and standard deviation over its seeds."""
    effects: pd.DataFrame
    """What each value of each parameter changes against the baseline, with its 95 % confidence interval."""


def sweep(*words: Any, **keys: Any) -> Tables:
    """The tables of a sweep that scripts/train.py has trained, finished or not.

    >>> results, ranking, effects = lenet.sweep("sweep=pooling")
    >>> best = lenet.sweep("runs/pooling").ranking.index[0]

    Where not all jobs can be compared, ranking and effects have a further index that says which can.

    Args:
        words: the folder of the sweep, or words of its command that name it, such as "sweep=pooling".
        keys: values of keys, as of `lenet.train`.

    Raises:
        BadInput: there is no such sweep, or it is a search.
    """
    directory = _directory(words, keys)
    if not directory.exists():
        given = " ".join(as_words(words, keys))
        raise BadInput(
            f"{directory}: no such folder; "
            + (
                f"scripts/train.py {given} trains this sweep"
                if "=" in given
                else "name that of a sweep, such as runs/exercises"
            )
        )
    found = Sweep.read(directory)
    if found.design == SEARCH:
        raise BadInput(f"{directory}: a search, which has other tables; scripts/report.py {directory} writes them")

    import pandas as pd  # takes a while, so only once it is needed

    from lenet.sweeps.report import tables

    results, parts = tables(found, directory)
    if len(parts) == 1:
        return Tables(results, parts[0].ranked, parts[0].compared)
    ranked, compared = (
        pd.concat({part.group.title: table for part, table in zip(parts, each, strict=True)}, names=["judged by"])
        for each in ([part.ranked for part in parts], [part.compared for part in parts])
    )
    return Tables(results, ranked, compared)


def _directory(given: Sequence[Any], keys: dict[str, Any]) -> Path:
    if len(given) == 1 and not keys and (isinstance(given[0], Path) or "=" not in str(given[0])):
        return Path(given[0])
    composed, hydra = compose(as_words(given, keys))
    chosen = hydra.runtime.choices.get("sweep") or hydra.runtime.choices.get("search")
    if chosen and composed.name == Config().name:
        composed.name = sweep_name([chosen])  # as the sweeper calls one that nobody has named
    folder = Path(str(hydra.sweep.dir))
    if not chosen and composed.name == Config().name:
        raise BadInput(f"{' '.join(map(str, given))}: names no sweep; give sweep=NAME, or the folder of one")
    return folder


class Text(str):
    """A text that a notebook and Python's prompt show as it is, line by line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def summary(*words: Any, **keys: Any) -> Text:
    """The layers of a net with their output shapes, parameters and costs, as scripts/summary.py has them.

    >>> print(lenet.summary(conv_channels=[4, 8]).splitlines()[2])
    c1        Conv2d         4 x 28 x 28              104        81,536        78,400

    Args:
        words: and `keys`, those of `lenet.train`.

    Raises:
        BadInput: as `lenet.train`.
    """
    config = wanted(words, keys).config
    return Text(as_table(layers_of(config), input_size(config.data)))
