"""One run or several side by side: a table of their figures, and their curves. Nothing here imports torch."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lenet.config import schema, value_of
from lenet.errors import BadInput
from lenet.runs.directory import INCIDENTAL, METRICS, WEIGHTS, RunDirectory
from lenet.tables import aligned
from lenet.text import one_line, shortened

PANELS = {"loss": ("train/loss", "val/loss"), "accuracy": ("train/acc", "val/acc")}
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
    runs = dict(zip(_names(paths), map(RunDirectory, paths), strict=True))
    table = _table(runs)
    plot = draw_runs({name: metrics_of(run) for name, run in runs.items()})
    plot.table = table
    return plot


def metrics_of(run: RunDirectory) -> pd.DataFrame:
    """metrics.csv: a row per epoch."""
    rows = run.read_metrics()
    return pd.DataFrame(rows, columns=None if rows else ["epoch"]).set_index("epoch")


def _table(runs: Mapping[str, RunDirectory]) -> pd.DataFrame:
    configs = [run.read_config() for run in runs.values()]
    keys = [key for key, kind in schema().items() if not is_dataclass(kind) and key not in OF_PLACE]
    differing = [key for key in keys if len({str(value_of(config, key)) for config in configs}) > 1]
    rows = []
    for run, config in zip(runs.values(), configs, strict=True):
        result = run.read_result() or {}
        figures = result.get("metrics") or {}
        rows.append(
            {key: value_of(config, key) for key in differing}
            | {name: figures.get(name) for name in FIGURES}
            | {name: result.get(name) for name in ("epochs", "best_epoch", "parameters", "seconds", "status")}
        )
    return pd.DataFrame(rows, index=list(runs))


def as_text(table: pd.DataFrame) -> str:
    """The table of `compared`, for a terminal."""
    head = ["run", *(METRICS[name][0] if name in METRICS else str(name).replace("_", " ") for name in table)]
    rows = [[str(name), *(_cell(str(key), value) for key, value in row.items())] for name, row in table.iterrows()]
    return "\n".join(aligned([head, *rows]))


def _cell(key: str, value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
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


def _names(paths: Sequence[Path]) -> list[str]:
    """What tells runs apart: the name of the directory, with the one above it or a number where it needs that."""
    paths = [path.resolve() for path in paths]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = ["/".join(path.parts[-2:]) for path in paths]
    return [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, 1)]
