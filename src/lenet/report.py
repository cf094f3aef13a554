"""The run directories of a sweep -> results.csv, report.md and plots.

What is on disk counts, so it works while a sweep runs, after one was cut off, and with failed jobs, and says what is
missing. Nothing here imports torch.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lenet.plots import draw_cost, draw_curves, draw_effects, draw_ranking, save
from lenet.results import NAMES, chosen_metric, effects, ranking, read_jobs, trained_from, verdict
from lenet.runs import write_atomically
from lenet.sweep import Sweep


def report(directory: Path, at_work: bool = False) -> str:
    """Write results.csv, report.md and its plots into the directory of a sweep.

    Args:
        at_work: whether the sweep goes on (`lenet.sweep.is_at_work`); said in the report, nothing else.

    Returns:
        What a person wants to see first: the best settings, and where the rest is.

    Raises:
        BadInput: there is no sweep.
    """
    sweep = Sweep.read(directory)
    jobs = read_jobs(sweep, directory)
    write_atomically(directory / "results.csv", jobs.to_csv(index=False, lineterminator="\n").encode())
    done = jobs[jobs.state == "completed"]
    metric = chosen_metric(jobs)
    ranked = ranking(done, metric)
    compared = effects(sweep, jobs, metric, trained_from(ranked))
    plots = []
    if len(done):
        plots = [("ranking", draw_ranking(done, ranked, metric)), ("cost", draw_cost(ranked, metric))]
        if len(compared):
            plots.insert(1, ("effects", draw_effects(compared, 0.5 * ranked["mean"].max(), metric)))
        plots.append(("curves", draw_curves(sweep, done, directory, metric)))
    for name, figure in plots:
        save(figure, directory / f"{name}.png")
    text = as_markdown(directory.name, sweep, jobs, ranked, compared, metric, [name for name, _ in plots], at_work)
    write_atomically(directory / "report.md", text.encode())
    return _summary(ranked, metric, directory / "report.md")


def as_markdown(
    name: str,
    sweep: Sweep,
    jobs: pd.DataFrame,
    ranked: pd.DataFrame,
    compared: pd.DataFrame,
    metric: str,
    plots: Sequence[str],
    at_work: bool,
) -> str:
    """report.md."""
    metric_name = NAMES[metric]
    running = " (the sweep is at work)" if at_work else ""
    lines = [f"# {name}", "", f"{_counts(jobs)}{running}. Design: {sweep.design}; results.csv has a row per job.", ""]
    lines += _missing(jobs)
    if len(ranked):
        lines += [
            "## Ranking",
            "",
            f"By {metric_name}, mean ± standard deviation over n seeds. The test set is shown and not chosen by.",
            "",
            *_table(
                ["setting", "n", metric_name, "test accuracy", "parameters", "MACs", "seconds"], ranking_rows(ranked)
            ),
            "",
            "![ranking](ranking.png)",
            "",
        ]
    if "effects" in plots:
        averaged = (
            " For each seed it is the average over the settings of the other parameters that were run at both values."
            if sweep.design == "grid" and len(sweep.parameters) > 1
            else ""
        )
        base = ", ".join(f"{key}={text}" for key, text in sweep.baseline.items())
        lines += [
            "## What each change does",
            "",
            f"Difference of {metric_name} to the baseline ({base}), in percentage points, with Welch's 95 % confidence "
            f"interval over n seeds.{averaged} An interval that has 0 in it cannot be told from the spread of seeds; "
            f"of {len(compared)} intervals about {0.05 * len(compared):.1f} will leave 0 out by chance alone.",
            "",
            *_table(["parameter", "value", "difference", "95 % interval", "n", ""], effect_rows(compared)),
            "",
            "![effects](effects.png)",
            "",
        ]
    if plots:
        lines += ["## Cost", "", "![accuracy against cost](cost.png)", "", "## Curves", ""]
        lines += [
            f"{metric_name.capitalize()}, mean and standard deviation over seeds.",
            "",
            "![curves](curves.png)",
            "",
        ]
    return "\n".join(lines)


def _counts(jobs: pd.DataFrame) -> str:
    counts = jobs.state.value_counts()
    return f"{len(jobs)} jobs: " + ", ".join(f"{count} {name}" for name, count in counts.items())


def _missing(jobs: pd.DataFrame) -> list[str]:
    lines = []
    for _, row in jobs[jobs.state == "failed"].iterrows():
        lines.append(f"- failed: `{row['job']}`: {row['error']} (traceback in its result.json)")
    for word in ("cut off", "running", "not started"):
        names = [f"`{job}`" for job in jobs[jobs.state == word].job]
        if names:
            more = f" and {len(names) - 20} more" if len(names) > 20 else ""
            lines.append(f"- {word}: {', '.join(names[:20])}{more}")
    return ["## Missing", "", *lines, ""] if lines else []


def ranking_rows(ranked: pd.DataFrame) -> list[list[str]]:
    return [
        [
            str(name),
            str(int(row["n"])),
            spread(row["mean"], row["sd"]),
            spread(row["test_mean"], row["test_sd"]),
            f"{int(row['parameters']):,}",
            f"{int(row['macs']):,}",
            f"{row['seconds']:.0f}",
        ]
        for name, row in ranked.iterrows()
    ]


def effect_rows(compared: pd.DataFrame) -> list[list[str]]:
    rows = []
    for _, row in compared.iterrows():
        between = "" if np.isnan(row["low"]) else f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f}"
        change = "" if np.isnan(row["difference"]) else f"{100 * row['difference']:+.2f}"
        failed = f"; {row['failed']} failed" if row["failed"] else ""
        rows.append([row["parameter"], row["level"], change, between, str(row["n"]), verdict(row) + failed])
    return rows


def spread(mean: float, sd: float) -> str:
    """0.805 ± 0.012; with one seed there is no spread."""
    if np.isnan(mean):
        return ""
    return f"{mean:.4f}" if np.isnan(sd) else f"{mean:.4f} ± {sd:.4f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows]]


def _summary(ranked: pd.DataFrame, metric: str, path: Path, most: int = 12) -> str:
    rows = [["setting", "n", NAMES[metric], "test accuracy"], *(row[:4] for row in ranking_rows(ranked))]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
             for row in rows[: most + 1]]  # fmt: skip
    if len(rows) > most + 1:
        lines.append(f"... and {len(rows) - most - 1} more")
    return "\n".join([*(lines if len(ranked) else []), str(path)])
