"""From the times of a table's rows to figures, and to Markdown."""

import math
import os
import platform
import statistics
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.speed.parts import PROCESSOR, Table
from benchmarks.speed.turns import Times
from lenet.errors import BadInput
from lenet.tables import as_markdown, mean_and_spread

VERSIONS = ("torch", "lightning", "torchvision")


def figures(times: dict[str, Times]) -> list[dict[str, Any]]:
    """Each row's figures; how many times as fast the last one is, round by round."""
    ours = list(times.values())[-1]
    rows = []
    for name, row in times.items():
        ratios = [theirs / own for theirs, own in zip(row.seconds, ours.seconds, strict=True)]
        rows.append(
            {
                "row": name,
                "median_s": statistics.median(row.seconds),
                "min_s": min(row.seconds),
                "max_s": max(row.seconds),
                "times_as_fast": statistics.median(ratios),
                "score": statistics.mean(row.scores) if row.scores else None,
                "score_sd": statistics.stdev(row.scores) if len(row.scores) > 1 else None,
                "memory_mb": row.memory,
                "warm_up_s": row.warm_up,
                "n": len(row.seconds),
                "seconds": row.seconds,
                "scores": row.scores,
            }
        )
    return rows


def markdown(table: Table, rows: list[dict[str, Any]]) -> str:
    """A table for a page, and for a terminal."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "row": lambda row: str(row["row"]),
        "median s": lambda row: f"{row['median_s']:.2f}",
        "range": lambda row: f"{row['min_s']:.2f} to {row['max_s']:.2f}",
    }
    if table.compared:
        columns["the last row is ... times as fast"] = lambda row: f"{row['times_as_fast']:.2f}"
    if table.score:
        columns[table.score] = _score
    columns["peak MB"] = lambda row: f"{row['memory_mb']:.0f}"
    return "\n".join(as_markdown(list(columns), [[cell(row) for cell in columns.values()] for row in rows]))


def _score(row: dict[str, Any]) -> str:
    if row["score"] is None:
        return ""
    return mean_and_spread(row["score"], row["score_sd"])


def compiling(rows: list[dict[str, Any]]) -> str | None:
    """From how many epochs on compiling pays, from the first turn's extra time and what every other one saves."""
    by_name = {row["row"]: row for row in rows}
    if not {"ours", "ours compiled"} <= by_name.keys():
        return None
    compiled, ours = by_name["ours compiled"], by_name["ours"]
    spent = (compiled["warm_up_s"] - compiled["median_s"]) - (ours["warm_up_s"] - ours["median_s"])
    saved = ours["median_s"] - compiled["median_s"]
    began = f"Compiling took {spent:.1f} s in the first epoch"
    return f"{began} and pays from epoch {math.ceil(spent / saved)} on." if saved > 0 else f"{began} and does not pay."


def together(rows: list[dict[str, Any]]) -> str | None:
    """Of two rows, what all their turns took, and the turns of each round."""
    if len(rows) != 2:
        return None
    other, last = rows
    ratio = sum(last["seconds"]) / sum(other["seconds"])
    each = _ratios(last["seconds"], other["seconds"])
    return f"All turns together: `{last['row']}` takes {ratio:.2f} times as long as `{other['row']}`; by rounds {each}."


def processor(table: Table, rows: list[dict[str, Any]]) -> str | None:
    """Of two rows whose scores are a processor's seconds, how many times as many the last one takes."""
    if table.score != PROCESSOR or len(rows) != 2:
        return None
    other, last = rows
    each = _ratios(last["scores"], other["scores"])
    return f"Of the processor's time `{last['row']}` takes {each} times as much as `{other['row']}`."


def _ratios(ours: list[float], theirs: list[float]) -> str:
    ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def machine(threads: int, device: str) -> str:
    """What it is measured on, in a line.

    Raises:
        BadInput: `device` is cuda, and there is no GPU.
    """
    model = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")  # on Linux, where `platform` names no model
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise BadInput("--device cuda: there is no GPU that torch can use here; leave it out")
        model = f"{torch.cuda.get_device_name()}, {model}"
    packages = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    return f"{model}, {os.cpu_count()} cores, {threads} threads, Python {platform.python_version()}, {packages}"
