"""`lenet.sweep` and `lenet.summary`: tables. Nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lenet.api.spoken import spoken
from lenet.api.sweeping import swept
from lenet.cli.words import as_words, wanted
from lenet.datasets import input_size
from lenet.errors import BadInput
from lenet.models.sizes import layers_of
from lenet.models.table import as_table
from lenet.sweeps.design import SEARCH, Sweep

if TYPE_CHECKING:
    import pandas as pd


class Tables(NamedTuple):
    """What a sweep shows: `results, ranking, effects = lenet.sweep("sweep=pooling")`."""

    results: pd.DataFrame
    """A row per job: what it varies, its seed, what became of it, and its figures."""
    ranking: pd.DataFrame
    """A row per setting, the best first: mean and standard deviation (sd) over its n seeds, by validation accuracy;
    test_mean and test_sd are only shown."""
    effects: pd.DataFrame
    """What each value of each parameter changes against the baseline: the difference, its 95 % confidence interval from
    low to high, and p after Holm's correction (holm). docs/sweeps.md says how each is found."""

    def _repr_html_(self) -> str:
        named = zip(self._fields, self, strict=True)
        return "".join(f"<h4>{name}</h4>{table.to_html(notebook=True)}" for name, table in named)


@spoken
def sweep(*words: Any, **keys: Any) -> Tables:
    """Train what is left to do of a sweep, as scripts/train.py does, and give the tables of its report.

    Given again, it trains nothing that is done. With other values it trains those, and a line says how many earlier
    runs the tables leave out. The folder of a sweep is only read, finished or not.

    >>> results, ranking, effects = lenet.sweep("sweep=pooling")
    >>> tables = lenet.sweep(pool=["avg", "max"], seed=range(3), max_epochs=2, name="poolings")
    >>> best = lenet.sweep("runs/pooling").ranking.index[0]

    The baseline is the config as it is without what is swept, or the first value where that is none of them. Where not
    all jobs can be compared, ranking and effects have a further index that says which can.

    Args:
        words: those of the command line, such as "sweep=pooling" or "model.pool=avg,max"; or the folder of a sweep.
        keys: values of keys, as of `lenet.train`. A list is several values, each of them tried.

    Returns:
        `results`, `ranking` and `effects`, three DataFrames.

    Raises:
        BadInput: what the command line says of the same words; or there is no such sweep, or it is a search.
        JobsFailed: at the end, not every job is completed; lenet.sweep(FOLDER) has the tables of the others.
        Interrupted: Ctrl-C, or the stop button of a notebook; the same call goes on.
    """
    if (
        len(words) == 1
        and not keys
        and (isinstance(words[0], Path) or (isinstance(words[0], str) and "=" not in words[0]))
    ):
        directory, is_told = Path(words[0]), False
        if not directory.exists():
            raise BadInput(
                f"{directory}: no such folder, as {directory.absolute()} is not there; name that of a sweep, runs/NAME"
            )
    else:
        directory = swept(as_words(words, keys, sweeps=True))
        is_told = True  # by the report that it writes at its end
    found = Sweep.read(directory)
    if found.design == SEARCH:
        raise BadInput(f"{directory}: a search, which has other tables; scripts/report.py {directory} writes them")

    import pandas as pd  # takes a while, so only once it is needed

    from lenet.sweeps.report import notes, tables

    results, parts = tables(found, directory)
    if not is_told:
        print("".join(f"{note}\n" for note in notes(found, directory, parts)), end="")
    if len(parts) == 1:
        return Tables(results, parts[0].ranked, parts[0].compared)
    ranked, compared = (
        pd.concat({part.group.title: table for part, table in zip(parts, each, strict=True)}, names=["judged by"])
        for each in ([part.ranked for part in parts], [part.compared for part in parts])
    )
    return Tables(results, ranked, compared)


class Text(str):
    """A text that a notebook and Python's prompt show as it is, line by line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@spoken
def summary(*words: Any, **keys: Any) -> Text:
    """The layers of a net with their output shapes, parameters and costs, as scripts/summary.py has them.

    >>> print(lenet.summary(conv_channels=[4, 8]).splitlines()[2])
    c1        Conv2d         4 x 28 x 28              104        81,536        78,400

    Args:
        words: and `keys`, those of `lenet.train`.

    Returns:
        A text, a line for each layer.

    Raises:
        BadInput: as `lenet.train`.
    """
    config = wanted(words, keys).config
    return Text(as_table(layers_of(config), input_size(config.data)))
