"""The plots of a sweep's report: ranking, effects, cost and curves. Nothing here imports torch."""

import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory
from lenet.runs.files import write_atomically
from lenet.runs.metrics import METRICS
from lenet.sweeps.design import Sweep
from lenet.sweeps.results import column, verdict
from lenet.text import counted, shortened

log = logging.getLogger(__name__)

matplotlib.rcParams["text.parse_math"] = False  # a $ in a label is a $

MOST_BARS = 40  # settings in a plot; the tables have all
MOST_CURVES = 20  # in a panel
MOST_PANELS = 30
GREY, BLUE, RED, GREEN = "0.6", "tab:blue", "tab:red", "tab:green"
OFF_SCALE = "   ◂: off the scale, since not every run trains"
COSTS = {"parameters": "parameters", "macs": "multiply-accumulates of one image", "seconds": "seconds of a run"}


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box stands for it, and the tables have it
        figure.savefig(content, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    write_atomically(path, content.getvalue())


def draw_ranking(done: pd.DataFrame, ranked: pd.DataFrame, metric: str, floor: float) -> Figure:
    """Every setting's mean and standard deviation, the best on top, and its seeds one by one.

    Args:
        floor: settings with a lower mean would squeeze the others into a corner (`results.trained_from`). It is that of
            `draw_effects` and `draw_cost` too.
    """
    shown = ranked.head(MOST_BARS)[::-1]
    figure = Figure(figsize=(9, 1.2 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    places = dict(zip(shown.index, range(len(shown)), strict=True))
    inside = shown["mean"] >= floor
    single = done[done.setting.isin(shown.index[inside]) & (done[metric] >= floor)]
    axes.plot(single[metric], single.setting.map(places) - 0.25, ".", color="0.4", markersize=5, label="one seed")
    axes.errorbar(
        shown["mean"][inside],
        [places[name] for name in shown.index[inside]],
        xerr=shown["sd"][inside].fillna(0),
        fmt="o",
        color=BLUE,
        capsize=3,
        label="mean ± standard deviation",
    )
    _beyond(axes, [(places[str(name)], f"{row['mean']:.3f}") for name, row in shown[~inside].iterrows()])
    if "baseline" in places and inside["baseline"]:
        axes.axvline(shown["mean"]["baseline"], color=BLUE, linewidth=0.8, linestyle=":", label="baseline")
    axes.set_yticks(list(places.values()), [shortened(name) for name in places])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlabel(METRICS[metric][1] + (OFF_SCALE if len(shown[~inside]) else ""))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    return figure


def draw_effects(compared: pd.DataFrame, floor: float, metric: str) -> Figure:
    """The difference that each level makes, with its confidence interval."""
    shown = compared.dropna(subset="difference").head(MOST_BARS)[::-1].reset_index(drop=True)
    figure = Figure(figsize=(9, 1.2 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    beyond = []
    for position, (_, row) in enumerate(shown.iterrows()):
        said = verdict(row)
        colour = GREEN if said.endswith("better") else RED if said.endswith("worse") else GREY
        if row["mean"] < floor:
            beyond.append((position, f"{100 * row['difference']:+.1f}"))
            continue
        if not np.isnan(row["low"]):
            axes.plot([100 * row["low"], 100 * row["high"]], [position, position], color=colour)
        face = "white" if said.startswith("perhaps") else colour
        axes.plot(100 * row["difference"], position, "o", color=colour, markerfacecolor=face)
    axes.axvline(0, color="black", linewidth=0.8)
    inside = shown[shown["mean"] >= floor]
    ends = 100 * inside[["low", "high", "difference"]].to_numpy()
    if np.isfinite(ends).any():
        low, high = min(np.nanmin(ends), 0), max(np.nanmax(ends), 0)
        margin = 0.1 * (high - low) or 1
        axes.set_xlim(low - margin - (0.12 * (high - low) if beyond else 0), high + margin)
    _beyond(axes, beyond)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_yticks(list(shown.index), [shortened(f"{row['parameter']}={row['level']}") for _, row in shown.iterrows()])
    axes.set_xlabel(f"change of {METRICS[metric][1]} against the baseline, percentage points, 95 % confidence interval")
    title = "green: better, red: worse, hollow: perhaps (not after Holm's correction), grey: cannot be told from chance"
    axes.set_title(title + (f"\n{OFF_SCALE.strip()}" if beyond else ""), fontsize="medium")
    axes.grid(axis="x", alpha=0.3)
    return figure


def draw_cost(ranked: pd.DataFrame, metric: str, floor: float, alone: bool) -> Figure:
    """Accuracy against what it costs; a line joins the settings that nothing cheaper beats.

    Args:
        alone: the jobs ran one at a time. Else their seconds are those of the machine, and not shown.
    """
    inside = ranked[ranked["mean"] >= floor]
    costs = {cost: title for cost, title in COSTS.items()
             if cost != "seconds" or (alone and (inside["seconds"] > 0).all())}  # fmt: skip
    figure = Figure(figsize=(4 * len(costs), 4.2), layout="constrained")
    figure.suptitle("bars: standard deviation over seeds; line: settings that nothing cheaper beats", fontsize="medium")
    for axes, (cost, title) in zip(figure.subplots(1, len(costs), sharey=True), costs.items(), strict=True):
        axes.errorbar(inside[cost], inside["mean"], yerr=inside["sd"].fillna(0), fmt="o", color=BLUE, alpha=0.6)
        ordered = inside.sort_values([cost, "mean"], ascending=[True, False])
        front = ordered[ordered["mean"] > ordered["mean"].cummax().shift(fill_value=-np.inf)]
        axes.plot(front[cost], front["mean"], color=GREY, linewidth=0.8, zorder=0)
        is_wide = inside[cost].max() > 12 * inside[cost].min()
        x = np.log(inside[cost]) if is_wide else inside[cost]
        named: list[str] = []
        for name in front.index[::-1]:  # the best first; then those with room for a name
            right, up = (abs(values[name] - values[named]) / np.ptp(values) for values in (x, inside["mean"]))
            if ((right > 0.4) | (up > 0.08)).all():
                at = (inside[cost][name], inside["mean"][name])
                axes.annotate(
                    shortened(name, 40), at, (0, 9), textcoords="offset points", ha="center", fontsize="small"
                )
                named.append(name)
        if is_wide:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(EngFormatter())
        axes.set_xlabel(title)
        axes.margins(x=0.3, y=0.12)
        axes.grid(alpha=0.3)
        if len(inside) < len(ranked):
            below = f"{counted(len(ranked) - len(inside), 'setting')} below"
            axes.text(0.02, 0.02, below, transform=axes.transAxes, fontsize="small")
    figure.axes[0].set_ylabel(METRICS[metric][1])
    return figure


def draw_curves(sweep: Sweep, done: pd.DataFrame, directory: Path, metric: str) -> Figure:
    """Accuracy against the epoch for each level of each parameter: mean and standard deviation over seeds."""
    panels = {column(name): levels for name, levels in sweep.parameters.items()}
    baseline = {column(name): level for name, level in sweep.baseline.items()}
    if sweep.design == "paired" or not panels:
        panels = {"setting": list(done.setting.unique())}
    drawn: dict[str, dict[str, pd.DataFrame]] = {}
    for name, levels in panels.items():
        alone = [other for other in panels if other != name]
        for level in levels:
            jobs = done[done[name] == level]
            if sweep.design == "one_at_a_time":  # not those that vary another parameter
                jobs = jobs[(jobs[alone] == pd.Series({other: baseline[other] for other in alone})).all(axis=1)]
            if len(jobs):
                drawn.setdefault(name, {})[level] = jobs
    shown = list(drawn.items())[:MOST_PANELS]
    columns = max(1, min(3, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    curves: dict[str, pd.Series] = {}
    for axes, (name, levels_of) in zip(grid.flat, shown, strict=False):
        for level, jobs in list(levels_of.items())[:MOST_CURVES]:
            for job in jobs.job:
                if job not in curves:
                    curves[job] = _curve(directory / job, metric)
            table = pd.DataFrame({job: curves[job] for job in jobs.job})
            over_seeds = table.T.groupby(jobs.set_index("job").seed).mean().T
            mean, sd = over_seeds.mean(axis=1), over_seeds.std(axis=1).fillna(0)
            is_base = level == baseline.get(name)  # dashed and on top, since another may have the very same curve
            words = shortened(level, 40) + (" (baseline)" if is_base else "")
            (line,) = axes.plot(
                mean.index,
                mean,
                linestyle="--" if is_base else "-",
                zorder=3 if is_base else 2,
                label=f" {words}" if words.startswith("_") else words,  # matplotlib would leave it out
            )
            low, high = (mean - sd).clip(0, 1), (mean + sd).clip(0, 1)
            axes.fill_between(mean.index, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        more = f" ({MOST_CURVES} of {len(levels_of)})" if len(levels_of) > MOST_CURVES else ""
        axes.set_title(shortened(name, 40) + more)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    for axes in list(grid.flat)[len(shown) :]:
        axes.remove()
    figure.supxlabel("epoch")
    figure.supylabel(METRICS[metric][1])
    return figure


def _curve(path: Path, metric: str) -> pd.Series:
    try:
        rows = RunDirectory(path).read_metrics()
        if not all(0 <= row.get(metric, 0) <= 1 for row in rows):
            raise BadInput(f"{path / 'metrics.csv'}: has a {metric} that is no share of the images")
    except (BadInput, OSError) as error:  # one damaged file is no reason to draw nothing
        log.warning("%s; its curve is left out", str(error).split(";")[0])
        rows = []
    # An epoch that was not validated is no point of it.
    return pd.Series({row["epoch"]: row[metric] for row in rows if metric in row}, dtype=float)


def _beyond(axes: Axes, points: Sequence[tuple[int, str]]) -> None:
    for place, text in points:
        axes.annotate(f"◂ {text}", (0.005, place), xycoords=("axes fraction", "data"), va="center", color="0.3")
