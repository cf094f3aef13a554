"""The run directories of a sweep -> results.csv, report.md and plots.

What is on disk counts, so it works while a sweep runs, after one was cut off, and with failed jobs, and says what is
missing. Nothing here imports torch.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter
from scipy import stats

from lenet.runs import RunDirectory, write_atomically
from lenet.sweep import Job, Sweep, state

matplotlib.rcParams["text.parse_math"] = False  # a $ in a label is a $

METRICS = ["train/loss", "train/acc", "val/loss", "val/acc", "test/loss", "test/acc"]
CONFIDENCE = 0.95
EFFECTS = [
    "parameter",
    "level",
    "mean",
    "difference",
    "low",
    "high",
    "n",
    "n_baseline",
    "completed",
    "trained",
    "failed",
]
RESERVED = {"job", "setting", "seed", "state", *METRICS, "epochs", "best_epoch", "parameters", "macs", "seconds",
            "examples_per_sec", "error"}  # fmt: skip
MOST_BARS = 40  # settings in a plot; the tables have all
GREY, BLUE, RED, GREEN = "0.6", "tab:blue", "tab:red", "tab:green"


def report(directory: Path) -> str:
    """Write results.csv, report.md and its plots into the directory of a sweep.

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
    compared = effects(sweep, jobs, metric, _floor(ranked))
    plots = []
    if len(done):
        plots = [("ranking", draw_ranking(done, ranked, metric)), ("cost", draw_cost(ranked))]
        if len(compared):
            plots.insert(1, ("effects", draw_effects(compared, _floor(ranked), metric)))
        plots.append(("curves", draw_curves(sweep, done, directory, metric)))
    for name, figure in plots:
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
        write_atomically(directory / f"{name}.png", content.getvalue())
    text = as_markdown(directory.name, sweep, jobs, ranked, compared, metric, [name for name, _ in plots])
    write_atomically(directory / "report.md", text.encode())
    return _summary(ranked, metric, directory / "report.md")


def read_jobs(sweep: Sweep, directory: Path) -> pd.DataFrame:
    """A row per job, started or not: what it varies, its seed, what became of it, and its figures."""
    rows = []
    for job in sorted(sweep.jobs, key=_order(sweep)):
        run = RunDirectory(directory / job.name)
        result = run.read_result() or {}
        metrics = result.get("metrics") or {}
        error = result.get("error") or {}
        rows.append(
            {
                "job": job.name,
                "setting": job.setting,
                **{column(name): text for name, text in job.levels.items()},
                "seed": job.seed,
                "state": state(run),
                **{name: metrics.get(name, np.nan) for name in METRICS},
                "epochs": result.get("epochs", 0),
                "best_epoch": result.get("best_epoch") or np.nan,
                "parameters": job.parameters,
                "macs": job.macs,
                "seconds": result.get("seconds") or np.nan,
                "examples_per_sec": result.get("examples_per_sec") or np.nan,
                "error": _first_line(error.get("message", "")),
            }
        )
    return pd.DataFrame(rows)


def _order(sweep: Sweep) -> Callable[[Job], tuple[int, int]]:
    first: dict[str, int] = {}
    for place, job in enumerate(sweep.jobs):
        first.setdefault(job.setting, place)
    return lambda job: (first[job.setting], job.seed)


def column(parameter: str) -> str:
    """The column of a parameter, which may be called like one that is there already."""
    return f"{parameter} (swept)" if parameter in RESERVED else parameter


def chosen_metric(jobs: pd.DataFrame) -> str:
    """What settings are compared by: never the test set."""
    done = jobs[jobs.state == "completed"]
    return (
        "val/acc" if done["val/acc"].notna().all() else "train/acc"
    )  # where one has no validation images, none counts


def ranking(done: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row per setting with a completed job, the best first: mean and standard deviation over its seeds."""
    table = done.groupby("setting", sort=False).agg(
        n=("seed", "size"),
        mean=(metric, "mean"),
        sd=(metric, "std"),
        test_mean=("test/acc", "mean"),
        test_sd=("test/acc", "std"),
        parameters=("parameters", "first"),
        macs=("macs", "first"),
        seconds=("seconds", "mean"),
    )
    return table.sort_values("mean", ascending=False, kind="stable")


def effects(sweep: Sweep, jobs: pd.DataFrame, metric: str, floor: float = 0) -> pd.DataFrame:
    """What each level of each parameter changes against the baseline, all else equal.

    A seed is one observation: its jobs at the level, averaged over the settings of the other parameters that were run
    at the baseline's level too. The interval is Welch's, of the difference of two means over seeds. Paired parameters
    change together, so there the settings themselves are compared, with the first. A job below `floor` did not train.

    Returns:
        parameter, level, mean, difference, low and high of the confidence interval (nan with one seed), n and
        n_baseline (seeds), completed, trained and failed (jobs).
    """
    if sweep.design == "paired":
        first = jobs.setting.iloc[0]
        comparisons = [("setting", name, first) for name in jobs.setting.unique() if name != first]
    else:
        comparisons = [
            (column(name), level, sweep.baseline[name])
            for name, levels in sweep.parameters.items()
            for level in levels
            if level != sweep.baseline[name]
        ]
    done = jobs[jobs.state == "completed"]
    rows = []
    for name, level, base in comparisons:
        planned, ours, theirs = jobs[jobs[name] == level], done[done[name] == level], done[done[name] == base]
        others = [column(other) for other in sweep.parameters if column(other) != name and name != "setting"]
        if others:  # all else equal: only settings of the others that both were run at, and in a grid seed by seed
            same = [*others, "seed"] if sweep.design == "grid" else others
            shared = ours[same].drop_duplicates().merge(theirs[same].drop_duplicates())
            planned, ours, theirs = (
                planned.merge(theirs[others].drop_duplicates()),
                ours.merge(shared),
                theirs.merge(shared),
            )
        means = [part.groupby("seed")[metric].mean() for part in (ours, theirs)]
        low, high = interval(means[0].to_numpy(), means[1].to_numpy())
        rows.append(
            {
                "parameter": name,
                "level": level,
                "mean": means[0].mean(),
                "difference": means[0].mean() - means[1].mean(),
                "low": low,
                "high": high,
                "n": len(means[0]),
                "n_baseline": len(means[1]),
                "completed": len(ours),
                "trained": int((ours[metric] >= floor).sum()),
                "failed": int((planned.state == "failed").sum()),
            }
        )
    return pd.DataFrame(rows, columns=EFFECTS)


def interval(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Welch's 95 % confidence interval of mean(ours) - mean(theirs); nan where either has fewer than two values."""
    if len(ours) < 2 or len(theirs) < 2:
        return np.nan, np.nan
    if np.ptp(ours) == 0 and np.ptp(theirs) == 0:  # no spread at all: as when neither trains
        return ours[0] - theirs[0], ours[0] - theirs[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one of the two may have no spread
        found = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(CONFIDENCE)
    return float(found.low), float(found.high)


def draw_ranking(done: pd.DataFrame, ranked: pd.DataFrame, metric: str) -> Figure:
    """Every setting's mean and standard deviation, the best on top, and its seeds one by one."""
    shown = ranked.head(MOST_BARS)[::-1]
    figure = Figure(figsize=(9, 1.2 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    floor = _floor(ranked)
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
    for axes, (column, title) in zip(figure.subplots(1, 3, sharey=True), COSTS.items(), strict=True):
        inside = ranked[ranked["mean"] >= _floor(ranked)]
        axes.errorbar(inside[column], inside["mean"], yerr=inside["sd"].fillna(0), fmt="o", color=BLUE, alpha=0.6)
        ordered = inside.sort_values([column, "mean"], ascending=[True, False])
        front = ordered[ordered["mean"] > ordered["mean"].cummax().shift(fill_value=-np.inf)]
        axes.plot(front[column], front["mean"], color=GREY, linewidth=0.8, zorder=0)
        is_wide = inside[column].max() > 12 * inside[column].min()
        x = np.log(inside[column]) if is_wide else inside[column]
        named: list[str] = []
        for name in front.index[::-1]:  # the best first; then those with room for a name
            right, up = (abs(values[name] - values[named]) / np.ptp(values) for values in (x, inside["mean"]))
            if ((right > 0.4) | (up > 0.08)).all():
                at = (inside[column][name], inside["mean"][name])
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


NAMES = {"val/acc": "validation accuracy", "train/acc": "training accuracy"}
COSTS = {"parameters": "parameters", "macs": "multiply-accumulates of one image", "seconds": "seconds of a run"}


def _floor(ranked: pd.DataFrame) -> float:
    """Half the best mean: settings below it did not train, and would squeeze the others into a corner."""
    return 0.5 * float(ranked["mean"].max())


def _beyond(axes: Axes, points: Sequence[tuple[int, str]]) -> None:
    for place, text in points:
        axes.annotate(f"◂ {text}", (0.005, place), xycoords=("axes fraction", "data"), va="center", color=RED)


def verdict(row: pd.Series) -> str:
    """What the confidence interval of a difference says."""
    if row["n"] == 0:
        return "no run completed"
    if row["trained"] == 0:
        return "does not train"
    if row["trained"] < row["completed"]:
        return f"{row['trained']} of {row['completed']} runs train"
    if row["n_baseline"] == 0:
        return "no run of the baseline completed"
    if np.isnan(row["low"]):
        return "one seed: cannot be told"
    if row["low"] > 0:
        return "better"
    return "worse" if row["high"] < 0 else "within the spread of seeds"


def spread(mean: float, sd: float) -> str:
    """0.805 ± 0.012; with one seed there is no spread."""
    if np.isnan(mean):
        return ""
    return f"{mean:.4f}" if np.isnan(sd) else f"{mean:.4f} ± {sd:.4f}"


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


def as_markdown(
    name: str,
    sweep: Sweep,
    jobs: pd.DataFrame,
    ranked: pd.DataFrame,
    compared: pd.DataFrame,
    metric: str,
    plots: Sequence[str],
) -> str:
    """report.md."""
    metric_name = NAMES[metric]
    lines = [f"# {name}", "", f"{_counts(jobs)}. Design: {sweep.design}; results.csv has a row per job.", ""]
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
        base = ", ".join(f"{key}={text}" for key, text in sweep.baseline.items())
        lines += [
            "## What each change does",
            "",
            f"Difference of {metric_name} to the baseline ({base}), in percentage points, with Welch's 95 % confidence "
            "interval over n seeds. An interval that has 0 in it cannot be told from the spread of seeds; of "
            f"{len(compared)} intervals about {0.05 * len(compared):.1f} will leave 0 out by chance alone.",
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


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""
