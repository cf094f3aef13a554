"""The metrics of a run: what each is called, and which epoch and which one count. Nothing here imports torch."""

import re
from collections.abc import Collection, Mapping, Sequence

Row = dict[str, float]  # of metrics.csv

METRIC_NAME = re.compile(r"\w{1,60}", re.ASCII)  # what stands behind train/, val/ and test/, also of somebody's own

# The figures of a run in metrics.csv and result.json: what each is called in a line, and in a report.
METRICS = {
    "train/loss": ("loss", "training loss"),
    "train/acc": ("train acc", "training accuracy"),
    "val/loss": ("val loss", "validation loss"),
    "val/acc": ("val acc", "validation accuracy"),
    "test/loss": ("test loss", "test loss"),
    "test/acc": ("test acc", "test accuracy"),
}


def in_a_line(metrics: Mapping[str, float], *names: str) -> str:
    """Those of `names` that there are, such as: val acc 0.797, test acc 0.798."""
    return ", ".join(f"{METRICS[name][0]} {metrics[name]:.3f}" for name in names if name in metrics)


def curves(row: Row) -> dict[str, float]:
    """The points that a row of metrics.csv has in TensorBoard and in every other logger."""
    return {name if "/" in name else f"train/{name}": value for name, value in row.items() if name != "epoch"}


def figures(rows: Sequence[Row]) -> dict[str, float]:
    """The metrics of the last of these epochs; where it was not validated, with those of the last one that was."""
    validated = next((row for row in reversed(rows) if "val/acc" in row), {})
    found = {name: value for name, value in rows[-1].items() if "/" in name}
    return found | {name: value for name, value in validated.items() if name.startswith("val/")}


def chosen_by(metrics: Collection[str]) -> str:
    """The figure that runs are compared by, and the best epoch is chosen by: never the test set's."""
    return "val/acc" if "val/acc" in metrics else "train/acc"
