"""LeNet-5's published curves, and a sweep's beside them: sweep=lenet5_1998_figures -> tables and two figures.

The published values are read off figures 5 and 6 of LeCun et al. 1998, to about 0.03 percentage points. Nothing here
imports torch.
"""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory
from lenet.sweeps.design import Sweep
from lenet.sweeps.results import read_jobs
from lenet.tables import as_markdown, mean_and_spread

# Errors in percent after each of the first ten passes; from there on the test error was flat.
TEST_ERROR = (2.65, 2.24, 1.48, 1.43, 1.43, 1.09, 1.04, 1.07, 0.99, 0.96)
TRAINING_ERROR = (4.89, 3.04, 1.77, 1.48, 1.22, 0.91, 0.78, 0.70, 0.57, 0.49)  # counted while the weights change
FINAL_TEST_ERROR, FINAL_TRAINING_ERROR = 0.95, 0.36
DISTORTED_TEST_ERROR = 0.8
BY_SIZE = {15_000: (1.68, 0.05), 30_000: (1.14, 0.31), 60_000: (0.95, 0.35)}  # images: test and training error

PARAMETER = "images"  # what sweep=lenet5_1998_figures calls it
PAPER, OURS = "0.35", "tab:blue"


def curves(directory: Path) -> dict[str, pd.DataFrame]:
    """The errors of a sweep in percent, pass by pass: `test` and `train` for each level and seed.

    Returns:
        For each level, such as 60000 or distorted, a table with a row per pass and the columns (kind, seed), of the
        passes that every one of its runs has done.

    Raises:
        BadInput: there is no sweep of this kind.
    """
    jobs = read_jobs(Sweep.read(directory), directory)
    if PARAMETER not in jobs:
        raise BadInput(
            f"{directory}: no sweep over `{PARAMETER}`; run one with scripts/train.py sweep=lenet5_1998_figures"
        )
    found: dict[str, pd.DataFrame] = {}
    for level, group in jobs.groupby(PARAMETER, sort=False):
        columns = {}
        for job, seed in zip(group["job"], group["seed"], strict=True):
            rows = pd.DataFrame(RunDirectory(directory / job).read_metrics())
            if {"test/acc", "train/acc"} <= set(rows.columns):
                rows = rows.set_index(rows["epoch"].astype(int))
                for kind in ("test", "train"):
                    columns[kind, int(seed)] = 100 * (1 - rows[f"{kind}/acc"])
        if columns:
            found[str(level)] = pd.DataFrame(columns).dropna()
    if not found:
        raise BadInput(f"{directory}: no run of this sweep has finished a pass with test_each_epoch=true yet")
    return found


def pass_by_pass(table: pd.DataFrame) -> str:
    """Errors beside the published ones, as Markdown: the mean over the seeds, and each seed.

    In brackets where the paper says no more than that the curve is flat, and where it ends.
    """
    seeds = sorted(table["test"].columns)
    heads = ["pass", "test error, paper", "ours, mean", *(f"seed {seed}" for seed in seeds), "ours - paper"]
    heads += ["training error, paper", "ours, mean"]
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join(['---'] * len(heads))} |"]
    for place, (number, row) in enumerate(table.iterrows()):
        read_off = place < len(TEST_ERROR)
        test = TEST_ERROR[place] if read_off else FINAL_TEST_ERROR
        training = TRAINING_ERROR[place] if read_off else FINAL_TRAINING_ERROR
        ours = float(row["test"].mean())
        cells = [str(number), f"{test:.2f}" if read_off else f"({test:.2f})", f"{ours:.2f}"]
        cells += [f"{row['test', seed]:.2f}" for seed in seeds]
        cells += [f"{ours - test:+.2f}", f"{training:.2f}" if read_off else f"({training:.2f})"]
        lines.append(f"| {' | '.join(cells)} | {row['train'].mean():.2f} |")
    return "\n".join(lines)


def at_the_end(found: dict[str, pd.DataFrame]) -> str:
    """The errors after the last pass beside the published ones, as Markdown."""
    header = [
        "trained on",
        "passes",
        "n",
        "test error, %",
        "each seed",
        "paper",
        "training error on the fly, %",
        "paper",
    ]
    rows = []
    for level, table in found.items():
        last = table.iloc[-1]
        test, train = last["test"], last["train"]
        paper: tuple[float, float | None] | None = None
        if level.isdigit():
            paper = BY_SIZE.get(int(level))
        elif level == "distorted":
            paper = (DISTORTED_TEST_ERROR, None)
        error = mean_and_spread(test.mean(), test.std() if len(test) > 1 else None, 2)
        each = ", ".join(f"{value:.2f}" for value in test)
        theirs = (f"{paper[0]:.2f}", f"{paper[1]:.2f}" if paper[1] is not None else "") if paper else ("", "")
        rows.append(
            [level, str(table.index[-1]), str(len(test)), error, each, theirs[0], f"{train.mean():.2f}", theirs[1]]
        )
    return "\n".join(as_markdown(header, rows))


def draw_passes(table: pd.DataFrame) -> Figure:
    """Figure 5: test and training error after each pass, the published ones and each seed's."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    passes = range(1, len(TEST_ERROR) + 1)
    end = max(int(table.index[-1]), len(TEST_ERROR))
    for kind, published, final, marker in (
        ("test", TEST_ERROR, FINAL_TEST_ERROR, "o"),
        ("train", TRAINING_ERROR, FINAL_TRAINING_ERROR, "s"),
    ):
        style = "-" if kind == "test" else "--"
        name = "test error" if kind == "test" else "training error on the fly"
        axes.plot(passes, published, style, color=PAPER, marker=marker, markersize=5, label=f"{name}, paper")
        axes.plot([passes[-1], end], [published[-1], final], linestyle=":", color=PAPER)
        axes.plot(end, final, marker, color=PAPER, fillstyle="none")
        mean = pd.Series(table[kind].to_numpy().mean(axis=1), index=table.index)
        for seed in table[kind]:
            axes.plot(table.index, table[kind][seed], style, color=OURS, alpha=0.3, linewidth=1)
        count = table[kind].shape[1]
        axes.plot(mean.index, mean, style, color=OURS, linewidth=2, label=f"{name}, mean of {count} seeds")
    axes.set_xlabel("pass over the training set")
    axes.set_ylabel("error, %")
    axes.set_ylim(0, max(6, 1.05 * table.to_numpy().max()))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def draw_sizes(found: dict[str, pd.DataFrame]) -> Figure:
    """Figure 6: errors against the size of the training set."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    ours = {int(level): table.iloc[-1] for level, table in found.items() if level.isdigit()}
    for index, (kind, marker) in enumerate((("test", "o"), ("train", "s"))):
        style, name = ("-", "test error") if kind == "test" else ("--", "training error")
        paper = [errors[index] for errors in BY_SIZE.values()]
        axes.plot(list(BY_SIZE), paper, style, color=PAPER, marker=marker, label=f"{name}, paper")
        means = {size: last[kind].mean() for size, last in sorted(ours.items())}
        axes.plot(
            list(means), list(means.values()), style, color=OURS, marker=marker, label=f"{name}, mean of our seeds"
        )
        for size, last in ours.items():
            ends = [last[kind].min(), last[kind].max()]
            axes.plot([size, size], ends, color=OURS, alpha=0.4, linewidth=5, zorder=0)  # from seed to seed
    if "distorted" in found:
        last = found["distorted"].iloc[-1]["test"]
        axes.plot(60_000, last.mean(), "*", color=OURS, markersize=11, label="test error with distortions, ours")
        axes.plot(
            60_000, DISTORTED_TEST_ERROR, "*", color=PAPER, markersize=11, label="test error with distortions, paper"
        )
    axes.set_xscale("log")
    axes.set_xticks(list(BY_SIZE), [f"{size:,}" for size in BY_SIZE])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, None)
    axes.set_xlabel("training images")
    axes.set_ylabel("error after the last pass, %")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
