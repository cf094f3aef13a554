"""The curves of one run or of several: loss and accuracy against the epoch. Nothing here imports torch."""

import io
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lenet.text import shortened

PANELS = {"loss": ("train/loss", "val/loss"), "accuracy": ("train/acc", "val/acc")}


class Plot(Figure):
    """A figure of matplotlib that a notebook shows, whether pyplot has been imported or not."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=100, bbox_inches="tight")
        return content.getvalue()


def draw_runs(tables: Mapping[str, pd.DataFrame]) -> Plot:
    """Loss and accuracy of each run: dashed in training, and solid in validation.

    Args:
        tables: a row per epoch, by what each run is called.
    """
    figure = Plot(figsize=(9, 3.6), layout="constrained")
    for axes, (title, (training, validation)) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        for number, (name, table) in enumerate(tables.items()):
            colour = f"C{number % 10}"
            for column, style, part in ((training, "--", "training"), (validation, "-", "validation")):
                if column in table:
                    known = table[column].dropna()  # there are epochs without validation
                    label = f"{shortened(name, 40)}, {part}" if len(tables) > 1 else part
                    marker = "." if len(known) < 2 else ""
                    axes.plot(known.index, known, style, color=colour, label=f" {label}", marker=marker)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    return figure
