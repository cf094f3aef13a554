"""The plots of a sweep's report: ranking, effects, cost and curves. Nothing here imports torch."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

from lenet.results import NAMES, column, trained_from, verdict
from lenet.runs import RunDirectory
from lenet.sweep import Sweep

matplotlib.rcParams["text.parse_math"] = False  # a $ in a label is a $

MOST_BARS = 40  # settings in a plot; the tables have all
GREY, BLUE, RED, GREEN = "0.6", "tab:blue", "tab:red", "tab:green"
COSTS = {"parameters": "parameters", "macs": "multiply-accumulates of one image", "seconds": "seconds of a run"}


def draw_ranking(done: pd.DataFrame, ranked: pd.DataFrame, metric: str) -> Figure:
    """Every setting's mean and standard deviation, the best on top, and its seeds one by one."""
    shown = ranked.head(MOST_BARS)[::-1]
    figure = Figure(figsize=(9, 1.2 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    floor = trained_from(ranked)
    places = dict(zip(shown.index, range(len(shown)), strict=True))
    inside = shown["mean"] >= floor
    single = done[done.setting.isin(shown.index[inside]) & (done[metric] >= floor)]
    axes.plot(single[metric], single.setting.map(places), ".", color=GREY, markersize=5, label="one seed")
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
        axes.axvline(shown["mean"]["baseline"], color=BLUE, linewidth=0.8, linestyle=":")
    axes.set_yticks(list(places.values()), list(places))
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlabel(NAMES[metric])
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    return figure


def draw_effects(compared: pd.DataFrame, floor: float, metric: str) -> Figure:
    """The difference that each level makes, with its confidence interval."""
    shown = compared.dropna(subset="difference").head(MOST_BARS)[::-1].reset_index(drop=True)
    figure = Figure(figsize=(9, 1.2 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    beyond = []
    for place, (_, row) in enumerate(shown.iterrows()):
        colour = {"better": GREEN, "worse": RED}.get(verdict(row), GREY)
        if row["mean"] < floor:
            beyond.append((place, f"{100 * row['difference']:+.1f}"))
            continue
        if not np.isnan(row["low"]):
            axes.plot([100 * row["low"], 100 * row["high"]], [place, place], color=colour)
        axes.plot(100 * row["difference"], place, "o", color=colour)
    axes.axvline(0, color="black", linewidth=0.8)
    centre = shown["difference"][shown["mean"] >= floor]
    if len(centre):  # an interval of two seeds may be wider than all else together
        margin = 0.5 * (max(centre.max(), 0) - min(centre.min(), 0)) or 0.01
        axes.set_xlim(100 * (min(centre.min(), 0) - margin), 100 * (max(centre.max(), 0) + margin))
    _beyond(axes, beyond)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_yticks(list(shown.index), [f"{row['parameter']}={row['level']}" for _, row in shown.iterrows()])
    axes.set_xlabel(f"change of {NAMES[metric]} against the baseline, percentage points, 95 % confidence interval")
    axes.set_title("green: better, red: worse, grey: cannot be told from the spread of seeds", fontsize="medium")
    axes.grid(axis="x", alpha=0.3)
    return figure


def draw_cost(ranked: pd.DataFrame) -> Figure:
    """Accuracy against what it costs; the settings that nothing cheaper beats have their names."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    for axes, (cost, title) in zip(figure.subplots(1, 3, sharey=True), COSTS.items(), strict=True):
        inside = ranked[ranked["mean"] >= trained_from(ranked)]
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
                axes.annotate(name, at, (0, 9), textcoords="offset points", ha="center", fontsize="small")
                named.append(name)
        if is_wide:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(EngFormatter())
        axes.set_xlabel(title)
        axes.margins(x=0.2, y=0.1)
        axes.grid(alpha=0.3)
        if len(inside) < len(ranked):
            axes.text(
                0.02, 0.02, f"{len(ranked) - len(inside)} settings below", transform=axes.transAxes, fontsize="small"
            )
    figure.axes[0].set_ylabel("accuracy")
    return figure


def draw_curves(sweep: Sweep, done: pd.DataFrame, directory: Path, metric: str) -> Figure:
    """Accuracy against the epoch for each level of each parameter: mean and standard deviation over seeds."""
    curves = {job: _curve(directory / job, metric) for job in done.job}
    panels = {column(name): levels for name, levels in sweep.parameters.items()}
    baseline = {column(name): level for name, level in sweep.baseline.items()}
    if sweep.design == "paired" or not panels:
        panels = {"setting": list(done.setting.unique())}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, (name, levels) in zip(grid.flat, panels.items(), strict=False):
        for level in levels:
            jobs = done[done[name] == level]
            if sweep.design == "one_at_a_time":  # not those that vary another parameter
                alone = [other for other in panels if other != name]
                jobs = jobs[(jobs[alone] == pd.Series({other: baseline[other] for other in alone})).all(axis=1)]
            if jobs.empty:
                continue
            table = pd.DataFrame({job: curves[job] for job in jobs.job})
            over_seeds = table.T.groupby(jobs.set_index("job").seed).mean().T
            mean, sd = over_seeds.mean(axis=1), over_seeds.std(axis=1).fillna(0)
            (line,) = axes.plot(mean.index, mean, label=level)
            axes.fill_between(mean.index, mean - sd, mean + sd, color=line.get_color(), alpha=0.2, linewidth=0)
        axes.set_title(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    figure.supxlabel("epoch")
    figure.supylabel(NAMES[metric])
    return figure


def _curve(path: Path, metric: str) -> pd.Series:
    rows = RunDirectory(path).read_metrics()
    return pd.Series({row["epoch"]: row.get(metric, np.nan) for row in rows}, dtype=float)


def _beyond(axes: Axes, points: Sequence[tuple[int, str]]) -> None:
    for place, text in points:
        axes.annotate(f"◂ {text}", (0.005, place), xycoords=("axes fraction", "data"), va="center", color=RED)
