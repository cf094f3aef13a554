"""The jobs of a sweep as tables: what became of each, how the settings rank, what each change does.

Nothing here imports torch.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from lenet.runs.directory import RunDirectory
from lenet.runs.metrics import METRIC_NAME, METRICS, chosen_by
from lenet.sweeps.design import Job, Sweep
from lenet.sweeps.directory import implausible, state
from lenet.sweeps.statistics import CONFIDENCE, difference, holm, share
from lenet.tables import no_formula
from lenet.text import first_line

SPLIT = "split_seed"  # the last word of data.split_seed, as a sweep calls it

FIGURE = re.compile(rf"(train|val|test)/({METRIC_NAME.pattern})", re.ASCII)
EFFECTS = [
    "parameter",
    "level",
    "mean",
    "difference",
    "low",
    "high",
    "p",
    "holm",
    "sd",
    "n",
    "n_baseline",
    "completed",
    "trained",
    "settings",
    "failed",
]
RESERVED = {"job", "setting", "seed", "state", *METRICS, "epochs", "best_epoch", "parameters", "macs", "seconds",
            "examples_per_sec", "error"}  # fmt: skip


def read_jobs(sweep: Sweep, directory: Path) -> pd.DataFrame:
    """A row per job, started or not: what it varies, its seed, what became of it, and its figures."""
    rows = []
    for job in sorted(sweep.jobs, key=_order(sweep)):
        run = RunDirectory(directory / job.name)
        became, result = state(run), run.read_result() or {}
        wrong = implausible(result)
        if wrong and became == "completed":
            became, result = "damaged", {"error": {"message": wrong}}
        metrics = result.get("metrics") or {}
        error = result.get("error") or {}
        rows.append(
            {
                "job": job.name,
                "setting": job.setting,
                **{column(name): text for name, text in job.levels.items()},
                "seed": job.seed,
                "state": became,
                **{name: metrics.get(name, np.nan) for name in METRICS},
                **{name: value for name, value in metrics.items() if FIGURE.fullmatch(name)},
                "epochs": result.get("epochs", 0),
                "best_epoch": result.get("best_epoch") or np.nan,
                "parameters": job.parameters,
                "macs": job.macs,
                "seconds": result.get("seconds") or np.nan,
                "examples_per_sec": result.get("examples_per_sec") or np.nan,
                "error": first_line(error.get("message") or ""),
            }
        )
    return pd.DataFrame(rows)


def as_csv(table: pd.DataFrame) -> bytes:
    """A table of which a spreadsheet takes nothing for a formula: what begins like one has an apostrophe before it."""
    texts = {str(name): table[name].map(no_formula) for name in table if not is_numeric_dtype(table[name])}
    cells = table.assign(**texts).rename(columns=no_formula)
    return cells.to_csv(index=False, lineterminator="\n").encode()


def _order(sweep: Sweep) -> Callable[[Job], tuple[int, int]]:
    first: dict[str, int] = {}
    for position, job in enumerate(sweep.jobs):
        first.setdefault(job.setting, position)
    return lambda job: (first[job.setting], job.seed)


def column(parameter: str) -> str:
    """The column of a parameter, which may be called like one that is there already."""
    return f"{parameter} (swept)" if parameter in RESERVED else parameter


def chosen_metric(jobs: pd.DataFrame) -> str:
    """What settings are compared by: never the test set."""
    done = jobs[jobs.state == "completed"]
    return chosen_by([name for name in METRICS if done[name].notna().all()])  # where one has none, none counts


def further(done: pd.DataFrame) -> list[str]:
    """The metrics of the test set beside loss and accuracy."""
    names = map(str, done.columns)
    return [name for name in names if name.startswith("test/") and FIGURE.fullmatch(name) and name not in METRICS]


def ranking(done: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row per setting with a completed job, the best first: mean and standard deviation over its seeds.

    So too, in the columns "NAME mean" and "NAME sd", of what else than loss and accuracy was tested (`further`).
    """
    others = {
        f"{name} {column}": (name, statistic)
        for name in further(done)
        for column, statistic in (("mean", "mean"), ("sd", "std"))
    }
    table = done.groupby("setting", sort=False).agg(
        n=("seed", "size"),
        mean=(metric, "mean"),
        sd=(metric, "std"),
        test_mean=("test/acc", "mean"),
        test_sd=("test/acc", "std"),
        parameters=("parameters", "first"),
        macs=("macs", "first"),
        seconds=("seconds", "mean"),
        **others,
    )
    return table.sort_values("mean", ascending=False, kind="stable")


def trained_from(ranked: pd.DataFrame, classes: int) -> float:
    """The accuracy from which a run counts as trained: half the best setting's mean, and well above chance.

    All of a report means this by it: verdicts, shares, and what the plots leave off their scale.
    """
    if ranked.empty:
        return 0.0
    return max(0.5 * float(ranked["mean"].max()), min(1.5 / classes, 1 / classes + 0.05))


def effects(sweep: Sweep, jobs: pd.DataFrame, metric: str, floor: float = 0) -> pd.DataFrame:
    """What each level of each parameter changes against the baseline, all else equal.

    A seed is one observation: its jobs at the level, averaged over the settings of the other parameters that were run
    at the baseline's level too. How two settings are compared is said at `statistics.difference`. Paired parameters
    change together, so there the settings themselves are compared, with the first. A job below `floor` did not train.
    Another split is no change but luck, as another seed is: `split_seed` is compared with nothing.

    Returns:
        parameter, level, mean, difference, low and high of the confidence interval (nan with one seed), p, p after
        Holm's correction for all comparisons, sd of the differences seed by seed, n and n_baseline (seeds), completed
        and trained (jobs), settings (of the others, whose jobs these are) and failed (jobs).
    """
    if sweep.design == "paired":
        first = jobs.setting.iloc[0]
        settings = jobs.setting.unique() if set(sweep.parameters) != {SPLIT} else ()
        comparisons = [("setting", name, first) for name in settings if name != first]
    else:
        comparisons = [
            (column(name), level, sweep.baseline[name])
            for name, levels in sweep.parameters.items()
            if name != SPLIT
            for level in levels
            if level != sweep.baseline[name] and {level, sweep.baseline[name]} <= set(jobs[column(name)])
        ]
    done = jobs[jobs.state == "completed"]
    rows = []
    for name, level, base in comparisons:
        planned, ours, theirs = jobs[jobs[name] == level], done[done[name] == level], done[done[name] == base]
        others = [column(other) for other in sweep.parameters if column(other) != name and name != "setting"]
        if others:  # all else equal: only settings of the others that both were run at, and in a grid seed by seed
            same = [*others, "seed"] if sweep.design == "grid" else others
            shared = ours[same].drop_duplicates().merge(theirs[same].drop_duplicates())
            planned = planned.merge(theirs[others].drop_duplicates())
            ours, theirs = ours.merge(shared), theirs.merge(shared)
        mean, base_mean = (part.groupby("seed")[metric].mean() for part in (ours, theirs))
        found = difference(mean, base_mean)
        rows.append(
            {
                "parameter": name,
                "level": level,
                "mean": mean.mean(),
                "difference": found.value,
                "low": found.low,
                "high": found.high,
                "p": found.p,
                "sd": found.sd,
                "n": found.n,
                "n_baseline": len(base_mean),
                "completed": len(ours),
                "trained": int((ours[metric] >= floor).sum()),
                "settings": ours.setting.nunique(),
                "failed": int((planned.state == "failed").sum()),
            }
        )
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["holm"] = adjusted
    return pd.DataFrame(rows, columns=EFFECTS)


def share_in_words(count: int, of: int) -> str:
    low, high = share(count, of)
    return f"share: {100 * low:.0f} to {100 * high:.0f} %"


def shares_that_train(done: pd.DataFrame, metric: str, floor: float) -> pd.DataFrame:
    """Of each setting of completed jobs: `completed` jobs, and those that `trained`."""
    trains = done.assign(trains=done[metric] >= floor).groupby("setting", sort=False)
    return trains.agg(completed=("trains", "size"), trained=("trains", "sum"))


def verdict(row: pd.Series) -> str:
    """What is known of a difference: "perhaps" where its interval leaves out 0 and Holm's correction does not."""
    if row["n"] == 0:
        return "no run completed"
    if row["trained"] < row["completed"]:
        some = f"{row['trained']} of {row['completed']} runs train" if row["trained"] else "does not train"
        if row["settings"] > 1:  # which may train more or less often, so that no one interval is theirs
            return f"{some} ({row['settings']} settings)"
        return f"{some} ({share_in_words(row['trained'], row['completed'])})"
    if row["n_baseline"] == 0:
        return "no run of the baseline completed"
    if np.isnan(row["low"]):
        return "one seed: cannot be told" if row["n"] < 2 else "two seeds without a spread: cannot be told"
    if row["low"] <= 0 <= row["high"]:
        return "cannot be told from chance"
    found = "better" if row["low"] > 0 else "worse"
    return found if row["holm"] < 1 - CONFIDENCE else f"perhaps {found}"
