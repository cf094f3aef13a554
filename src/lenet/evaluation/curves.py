"""One run or several side by side: a table of their figures, and their curves. Nothing here imports torch."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lenet.config import Config, schema, value_of
from lenet.errors import BadInput
from lenet.runs.directory import INCIDENTAL, WEIGHTS, RunDirectory
from lenet.runs.metrics import METRICS
from lenet.sweeps.names import label, short
from lenet.tables import aligned
from lenet.text import one_line, shortened

PANELS = {"loss": ("train/loss", "val/loss"), "accuracy": ("train/acc", "val/acc")}
COUNTS = ("epochs", "best_epoch", "parameters")  # of result.json; an unfinished run may have none of them
FIGURES = ("train/acc", "val/acc", "test/acc")  # of the table
OF_PLACE = (*INCIDENTAL, "resume", "name", "data.classes")  # keys that make no run another one


class Plot(Figure):
    """A figure of matplotlib that a notebook shows, whether pyplot has been imported or not.

    Attributes:
        table: a row per run: the keys in which they differ, and their figures.
    """

    table: pd.DataFrame

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=100, bbox_inches="tight")
        return content.getvalue()


def compared(paths: Sequence[Path]) -> Plot:
    """The curves of runs in one plot, with their table.

    Raises:
        BadInput: one is no run directory.
    """
    for path in paths:
        if path.suffix == WEIGHTS and not path.is_dir():
            raise BadInput(f"{path}: holds a net alone, and no curves; name the directory of the run instead")
    directories = [RunDirectory(path) for path in paths]
    configs = [run.read_config() for run in directories]
    differing = _differing(configs)
    runs = dict(zip(_names(paths, configs, differing), directories, strict=True))
    table = _table(runs, configs, differing)
    plot = draw_runs({name: metrics_of(run) for name, run in runs.items()})
    plot.table = table
    return plot


def metrics_of(run: RunDirectory) -> pd.DataFrame:
    """metrics.csv: a row per epoch."""
    rows = run.read_metrics()
    return pd.DataFrame(rows, columns=None if rows else ["epoch"]).set_index("epoch")


def _differing(configs: Sequence[Config]) -> list[str]:
    """The keys in which runs differ, but those that make no run another one."""
    keys = [key for key, kind in schema().items() if not is_dataclass(kind) and key not in OF_PLACE]
    return [key for key in keys if len({str(value_of(config, key)) for config in configs}) > 1]


def _table(runs: Mapping[str, RunDirectory], configs: Sequence[Config], differing: Sequence[str]) -> pd.DataFrame:
    rows = []
    for run, config in zip(runs.values(), configs, strict=True):
        result = run.read_result() or {}
        figures = result.get("metrics") or {}
        rows.append(
            {key: value_of(config, key) for key in differing}
            | {name: figures.get(name) for name in FIGURES}
            | {name: result.get(name) for name in ("epochs", "best_epoch", "parameters", "seconds", "status")}
        )
    table = pd.DataFrame(rows, index=list(runs))
    for key in differing:  # 5 beside None stays 5, which would be 5.0
        table[key] = pd.Series([value_of(config, key) for config in configs], table.index, dtype=object)
        if all(type(value) in (int, float, bool) for value in table[key]):
            table[key] = table[key].infer_objects()
    return table.astype(dict.fromkeys(COUNTS, "Int64"))


def as_text(table: pd.DataFrame) -> str:
    """The table of `compared`, for a terminal."""
    head = ["run", *(METRICS[name][0] if name in METRICS else str(name).replace("_", " ") for name in table)]
    rows = [[str(name), *(_cell(str(key), value) for key, value in row.items())] for name, row in table.iterrows()]
    return "\n".join(aligned([head, *rows]))


def _cell(key: str, value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if key in METRICS:
        return f"{value:.4f}"
    if key in ("parameters", "epochs", "best_epoch", "seconds"):
        return f"{value:,.0f}"
    return shortened(one_line(str(value)), 40)


STYLES: dict[str, Literal["--", "-"]] = {"training": "--", "validation": "-"}


def draw_runs(tables: Mapping[str, pd.DataFrame]) -> Plot:
    """Loss and accuracy of each run: a colour each, dashed in training, and solid in validation.

    Args:
        tables: a row per epoch, by what each run is called.
    """
    several = [f" {shortened(name, 60)}" for name in tables] if len(tables) > 1 else []  # "_a" would get no entry
    rows = (len(several) + 1) // 2  # below the plots, where long names cover no curve
    figure = Plot(figsize=(9, 3.6 + 0.22 * rows), layout="constrained")
    styles = [Line2D([], [], color="grey" if several else "C0", linestyle=style) for style in STYLES.values()]
    for axes, (title, columns) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        for number, table in enumerate(tables.values()):
            for column, style in zip(columns, STYLES.values(), strict=True):
                if column in table:
                    known = table[column].dropna()  # there are epochs without validation
                    marker = "." if len(known) < 2 else ""
                    axes.plot(known.index, known, style, color=f"C{number % 10}", marker=marker)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(styles, STYLES, fontsize="small")
    if several:
        colours = [Line2D([], [], color=f"C{number % 10}") for number in range(len(several))]
        figure.legend(colours, several, loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    return figure


TIME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?")  # how the directory of a run is called by itself
LONGEST_LABEL = 60  # characters that a run is called by


def _names(paths: Sequence[Path], configs: Sequence[Config], differing: Sequence[str]) -> list[str]:
    """What tells runs apart.

    The name of the directory, with the one above it or a number where it needs that. Where that is only a time, it is
    what the run has otherwise than the others, such as pool=max,lr=0.1, if that tells all of them apart.
    """
    paths = [path.resolve() for path in paths]
    names = [path.name for path in paths]
    if any(TIME.fullmatch(name) for name in names):
        told = [",".join(f"{short(key)}={label(value_of(config, key))}" for key in differing) for config in configs]
        if len(set(told)) == len(told) and min(map(len, told)) > 0 and max(map(len, told)) <= LONGEST_LABEL:
            return told
    if len(set(names)) < len(names):
        names = ["/".join(path.parts[-2:]) for path in paths]
    return [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, 1)]
