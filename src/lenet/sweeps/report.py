"""The run directories of a sweep -> results.csv, report.md, plots, and curves over seeds for TensorBoard.

What is on disk counts, so it works while a sweep runs, after one was cut off, and with failed jobs, and says what is
missing. What it reads may be a stranger's, and is shown as plain text. Nothing here imports torch.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lenet.runs.files import write_atomically
from lenet.runs.metrics import METRICS
from lenet.sweeps.design import Sweep, baseline_of
from lenet.sweeps.measured import Group, described, groups
from lenet.sweeps.over_seeds import write_curves
from lenet.sweeps.plots import draw_cost, draw_curves, draw_effects, draw_ranking, save
from lenet.sweeps.results import (
    SPLIT,
    as_csv,
    column,
    effects,
    further,
    ranking,
    share_in_words,
    shares_that_train,
    trained_from,
    verdict,
)
from lenet.sweeps.statistics import detectable, shares
from lenet.tables import aligned, mean_and_spread
from lenet.tables import as_markdown as markdown
from lenet.text import are, counted, one_line, shortened


@dataclass(frozen=True)
class Part:
    """What the report says of jobs that can be compared."""

    group: Group
    floor: float  # the accuracy from which a run counts as trained
    ranked: pd.DataFrame
    compared: pd.DataFrame
    plots: dict[str, str] = field(default_factory=dict)  # the file of each


def tables(sweep: Sweep, directory: Path) -> tuple[pd.DataFrame, list[Part]]:
    """All jobs of a sweep, and what can be said of those that can be compared; no plots yet."""
    jobs, comparable = groups(sweep, directory)
    parts = []
    for group in comparable:
        ranked = ranking(group.done, group.metric)
        floor = trained_from(ranked, group.classes)
        parts.append(Part(group, floor, ranked, effects(sweep, group.jobs, group.metric, floor)))
    return jobs, parts


def report(directory: Path, at_work: bool = False) -> str:
    """Write results.csv, report.md, its plots and the curves over seeds into the directory of a sweep.

    Args:
        at_work: whether the sweep goes on (`lenet.sweeps.directory.is_at_work`); said in the report, nothing else.

    Returns:
        What a person wants to see first: the best settings, and where the rest is.

    Raises:
        BadInput: there is no sweep.
    """
    sweep = Sweep.read(directory)
    jobs, parts = tables(sweep, directory)
    write_atomically(directory / "results.csv", as_csv(jobs))
    for number, part in enumerate(parts, 1):
        for name, figure in _figures(sweep, part, directory).items():
            part.plots[name] = f"{name}.png" if number == 1 else f"{name}_{number}.png"
            save(figure, directory / part.plots[name])
    done = jobs[jobs.state == "completed"]
    write_curves(directory, done, [str(name) for part in parts for name in part.ranked.index])
    text = as_markdown(directory, sweep, jobs, parts, at_work)
    told = notes(sweep, directory, parts)
    write_atomically(directory / "report.md", text.encode())
    damaged = [f"{directory / row['job'] / 'result.json'}: damaged: {row['error']}; {PUT_RIGHT}"
               for _, row in jobs[jobs.state == "damaged"].head(5).iterrows()]  # fmt: skip
    return "\n".join(
        [*(_summary(sweep, part) for part in parts if len(part.ranked)), *damaged, *told, str(directory / "report.md")]
    )


def notes(sweep: Sweep, directory: Path, parts: Sequence[Part]) -> list[str]:
    """What the tables do not show by themselves, a line each: runs that they leave out, and why they have no spread."""
    lines = []
    jobs = {job.name for job in sweep.jobs}
    if others := sorted(name for path in directory.glob("*/config.yaml") if (name := path.parent.name) not in jobs):
        named = ", ".join(shortened(one_line(name)) for name in others[:3]) + (", ..." if len(others) > 3 else "")
        lines.append(
            f"{counted(len(others), 'run')} of before {are(len(others))} not shown, as this sweep does not ask for "
            f"{'it' if len(others) == 1 else 'them'}: {named}"
        )
    seeds = [int(part.compared["n"].max()) for part in parts if len(part.compared)]
    if seeds and max(seeds) == 1:
        lines.append("a spread needs two seeds or more, such as seed=0,1: with one no difference can be told from luck")
    return lines


PUT_RIGHT = "remove it, and the sweep does this job again"


def _figures(sweep: Sweep, part: Part, directory: Path) -> dict[str, Figure]:
    done, metric = part.group.done, part.group.metric
    if done.empty:
        return {}
    figures = {"ranking": draw_ranking(done, part.ranked, metric, part.floor)}
    if len(part.compared):
        figures["effects"] = draw_effects(part.compared, part.floor, metric)
    figures["cost"] = draw_cost(part.ranked, metric, part.floor, sweep.alone)
    figures["curves"] = draw_curves(sweep, done, directory, metric)
    return figures


def as_markdown(directory: Path, sweep: Sweep, jobs: pd.DataFrame, parts: Sequence[Part], at_work: bool) -> str:
    """report.md."""
    running = " (the sweep is at work)" if at_work else ""
    lines = [f"# {plain(directory.resolve().name)}", ""]
    lines += [f"{_counts(jobs)}{running}. Design: {sweep.design}; results.csv has a row per job.", ""]
    if len(parts) == 1:
        lines += [*_bullets(described(parts[0].group, sweep, directory)), ""]
    else:
        lines += [
            f"Not all jobs were judged by as many images of the same data set, so there are {len(parts)} rankings. "
            "Figures of different ones cannot be compared.",
            "",
        ]
    lines += _missing(jobs)
    if told := notes(sweep, directory, parts):
        lines += [*_bullets(told), ""]
    for part in parts:
        if part.group.title:
            lines += [f"## {plain(part.group.title)}", "", *_bullets(described(part.group, sweep, directory)), ""]
        lines += _section(sweep, part, "###" if part.group.title else "##")
    return "\n".join(lines)


def _section(sweep: Sweep, part: Part, level: str) -> list[str]:
    metric_name = METRICS[part.group.metric][1]
    words = _baseline(sweep, part)
    others = further(part.group.done)
    lines = []
    if len(part.ranked):
        baseline = f" Baseline: {plain(words)}." if words else ""
        seconds = "" if sweep.alone else " Seconds say little, as jobs may have run side by side."
        lines += [
            f"{level} Ranking",
            "",
            f"By {metric_name}, mean ± standard deviation over n seeds. The test set is shown and not chosen by."
            f"{baseline}{seconds}",
            "",
            *_table(
                ["setting", "n", metric_name, "test accuracy", "parameters", "MACs", "seconds", *others],
                ranking_rows(part.ranked, others),
            ),
            "",
            f"![ranking]({part.plots['ranking']})",
            "",
        ]
    left_out = _left_out(sweep, part)
    if "effects" in part.plots:
        lines += [
            f"{level} What each change does",
            "",
            f"Difference of {metric_name} to the baseline ({plain(words)}), in percentage points. "
            f"{_method(sweep, part.compared)}{left_out}",
            "",
            *_baseline_that_may_not_train(sweep, part),
            *_table(
                ["parameter", "value", "difference", "95 % interval", "p (Holm)", "n", ""], effect_rows(part.compared)
            ),
            "",
            f"![effects]({part.plots['effects']})",
            "",
            *_settings_that_may_not_train(sweep, part),
        ]
    elif left_out:
        lines += [left_out.strip(), ""]
    lines += _splits(sweep, part, level)
    if part.plots:
        lines += [f"{level} Cost", "", f"![accuracy against cost]({part.plots['cost']})", "", f"{level} Curves", ""]
        lines += [
            f"{metric_name.capitalize()}, mean and standard deviation over seeds.",
            "",
            f"![curves]({part.plots['curves']})",
            "",
        ]
    return lines


def _method(sweep: Sweep, compared: pd.DataFrame) -> str:
    """How the differences were judged, and how small a one would have been seen."""
    count = int(compared["p"].notna().sum())
    lines = [
        "Where a seed was run at both settings the two are compared seed by seed, as it gives both the same order of "
        "images; elsewhere the interval is Welch's."
    ]
    if sweep.design == "grid" and len(sweep.parameters) > 1:
        lines.append("For each seed it is the average over the settings of the other parameters that were run at both.")
    if count > 1:
        lines.append(
            f"Each interval is for its comparison alone: of {count} about {0.05 * count:.1f} leave out 0 by chance. So "
            f'"better" and "worse" are said only after Holm\'s correction for all {count}, and "perhaps" where the '
            "interval alone says so."
        )
    usual = compared[(compared["trained"] == compared["completed"]) & (compared["sd"] > 0)]
    if len(usual):
        pairs, sd = int(usual["n"].median()), float(usual["sd"].median())
        alone, among = (100 * detectable(sd, pairs, of) for of in (1, max(count, 1)))
        lines.append(
            f"With {pairs} seeds and the usual spread of such a difference ({100 * sd:.1f} points) "
            f"{_seen(alone, among if count > 1 else None)}."
        )
    return " ".join(lines)


def _seen(alone: float, among: float | None) -> str:
    """How large a difference has to be in points; more than 100 there are not."""
    if alone > 100:
        return "no difference is so large that four sweeps of five would show it"
    words = f"a true one of {alone:.1f} points is seen in four sweeps of five"
    if among is None:
        return words
    return words + (f", and of {among:.1f} after the correction" if among <= 100 else ", and none after the correction")


def _baseline_that_may_not_train(sweep: Sweep, part: Part) -> list[str]:
    jobs = part.group.jobs
    if sweep.design == "paired":
        setting = jobs.setting.iloc[0]
    else:
        at = pd.Series({column(name): text for name, text in sweep.baseline.items() if name != SPLIT})
        setting = next(iter(jobs[(jobs[at.index] == at).all(axis=1)].setting), None)
    found = shares_that_train(part.group.done, part.group.metric, part.floor)
    if setting not in found.index or found.trained[setting] == found.completed[setting]:
        return []
    trained, completed = found.trained[setting], found.completed[setting]
    return [
        f"The baseline itself trains in {trained} of {counted(completed, 'run')} "
        f"({share_in_words(trained, completed)}), so a difference to its mean tells how often that was as much as how "
        f"good it is. A run counts as trained from {METRICS[part.group.metric][1]} {part.floor:.2f} on.",
        "",
    ]


def _settings_that_may_not_train(sweep: Sweep, part: Part) -> list[str]:
    """The share of each, where a row of the effects is of several."""
    found = shares_that_train(part.group.done, part.group.metric, part.floor)
    found = found[found.trained < found.completed]
    if not (part.compared["settings"] > 1).any() or found.empty:
        return []
    rows = [
        [str(setting), str(row["trained"]), str(row["completed"]), share_in_words(row["trained"], row["completed"])]
        for setting, row in found.iterrows()
    ]
    return [
        f"Settings that do not always train, which is from {METRICS[part.group.metric][1]} {part.floor:.2f} on, with "
        "Wilson's 95 % interval of the share:",
        "",
        *_table(["setting", "trained", "runs", ""], rows),
        "",
    ]


def _splits(sweep: Sweep, part: Part, level: str) -> list[str]:
    """How much of the spread is the split's, where each split was run with the same seeds."""
    name = column(SPLIT)
    if SPLIT not in sweep.parameters or (sweep.design == "paired" and len(sweep.parameters) > 1):
        return []
    others = [column(other) for other in sweep.parameters if other != SPLIT]
    rows, found = [], []
    done = part.group.done
    for setting, runs in done.groupby(others, sort=False) if others else [((), done)]:
        values = runs.pivot(index=name, columns="seed", values=part.group.metric).dropna(axis=1)
        if min(values.shape) < 2:
            continue
        one = shares(values.to_numpy())
        found.append(one)
        sds = [f"{100 * variance**0.5:.2f}" for variance in (*one, one.total)]
        named = ", ".join(f"{other}={value}" for other, value in zip(others, setting, strict=True)) or "all"
        rows.append([named, str(values.shape[0]), str(values.shape[1]), *sds])
    total = sum(one.total for one in found)
    if not total:
        return []
    metric = METRICS[part.group.metric][1]
    by_split, by_seed = (100 * sum(parts) / total for parts in ([o.split for o in found], [o.seed for o in found]))
    return [
        f"{level} Where the spread comes from",
        "",
        f"Standard deviation of {metric} in points: between splits, between seeds, and what is left, which the two do "
        "together. "
        f"The split makes {by_split:.0f} % of the variance of these settings, the seed {by_seed:.0f} %, the rest is "
        "neither's alone (two-way random effects; few splits and seeds make it a rough figure).",
        "",
        *_table(["setting", "splits", "seeds", "of the split", "of the seed", "rest", "all"], rows),
        "",
        "A split is luck, as a seed is. So there is no verdict on one.",
        "",
    ]


def _baseline(sweep: Sweep, part: Part) -> str:
    """The baseline as far as it is among these jobs; "" if nothing but the seed varies."""
    jobs = part.group.jobs
    if sweep.design == "paired":
        return str(jobs.setting.iloc[0]) if sweep.parameters else ""
    return baseline_of(sweep, lambda name, text: bool((jobs[column(name)] == text).any()))


def _left_out(sweep: Sweep, part: Part) -> str:
    """Where the values of a parameter are spread over several rankings, its effect is none that can be told."""
    names = [name for name, labels in sweep.parameters.items() if set(labels) - set(part.group.jobs[column(name)])]
    if not (part.group.title and names):
        return ""
    said = ", ".join(map(plain, names))
    return f" What {said} changes from this ranking to another is not told, as other images judged it there."


# What Markdown takes for more than itself; _ is spared, as names are full of it.
MARKS = re.compile(r"([\\`*\[\]<>|!~&])")


def plain(text: str) -> str:
    """Text as Markdown shows it as it is: no table cell, link, picture or tag comes of it."""
    return re.sub(r"(?i)(:)(?=//)|(?<=www)(\.)", r"\\\g<0>", MARKS.sub(r"\\\1", text))


def _bullets(texts: Sequence[str]) -> list[str]:
    return [f"- {plain(text)}" for text in texts]


def _counts(jobs: pd.DataFrame) -> str:
    counts = jobs.state.value_counts()
    return f"{counted(len(jobs), 'job')}: " + ", ".join(f"{count} {name}" for name, count in counts.items())


def _missing(jobs: pd.DataFrame) -> list[str]:
    lines = []
    for _, row in jobs[jobs.state == "failed"].iterrows():
        lines.append(f"- failed: `{row['job']}`: {plain(shortened(row['error'], 500))} (traceback in its result.json)")
    for _, row in jobs[jobs.state == "damaged"].iterrows():
        lines.append(f"- damaged: `{row['job']}/result.json`: {plain(row['error'])}; {PUT_RIGHT}")
    for word in ("cut off", "running", "not started"):
        names = [f"`{job}`" for job in jobs[jobs.state == word].job]
        if names:
            more = f" and {len(names) - 20} more" if len(names) > 20 else ""
            lines.append(f"- {word}: {', '.join(names[:20])}{more}")
    return ["## Missing", "", *lines, ""] if lines else []


def ranking_rows(ranked: pd.DataFrame, further: Sequence[str] = ()) -> list[list[str]]:
    return [
        [
            str(name),
            str(int(row["n"])),
            mean_and_spread(row["mean"], row["sd"]),
            mean_and_spread(row["test_mean"], row["test_sd"]),
            f"{int(row['parameters']):,}",
            f"{int(row['macs']):,}",
            f"{row['seconds']:.0f}",
            *(mean_and_spread(row[f"{name} mean"], row[f"{name} sd"]) for name in further),
        ]
        for name, row in ranked.iterrows()
    ]


def effect_rows(compared: pd.DataFrame) -> list[list[str]]:
    rows = []
    for _, row in compared.iterrows():
        between = "" if np.isnan(row["low"]) else f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f}"
        change = "" if np.isnan(row["difference"]) else f"{100 * row['difference']:+.2f}"
        failed = f"; {row['failed']} failed" if row["failed"] else ""
        p = "" if np.isnan(row["holm"]) else f"{row['holm']:.3f}" if row["holm"] >= 0.001 else "< 0.001"
        rows.append([row["parameter"], row["level"], change, between, p, str(row["n"]), verdict(row) + failed])
    return rows


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return markdown(header, [[plain(cell) for cell in row] for row in rows])


def _summary(sweep: Sweep, part: Part, most: int = 12) -> str:
    """The best settings, as a table for a terminal, and the baseline."""
    found = [[shortened(row[0], 100), *row[1:4]] for row in ranking_rows(part.ranked)]
    rows = [["setting", "n", METRICS[part.group.metric][1], "test accuracy"], *found]
    lines = aligned(rows)[: most + 1]
    if len(rows) > most + 1:
        lines.append(f"... and {len(rows) - most - 1} more")
    lines += [f"baseline: {words}"] if (words := _baseline(sweep, part)) else []
    return "\n".join([f"{part.group.title}:"] * bool(part.group.title) + lines)
