"""The confirming round: the best settings and the baseline again, on seeds and a split that the search has not seen.

The best value of a search is too good: of many values with luck in them it is the luckiest. Only what is measured anew,
after the choice was made, is an honest figure. So the runs here are an ordinary sweep, in a folder of the search's.
"""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from lenet.batches import epochs
from lenet.config import Config
from lenet.errors import BadInput
from lenet.models.sizes import size_of
from lenet.runs.directory import RunDirectory
from lenet.runs.files import write_atomically
from lenet.runs.metrics import METRICS
from lenet.runs.safe_io import read_json
from lenet.search.trials import Make, Search
from lenet.sweeps.design import Job, Sweep
from lenet.sweeps.directory import ENDED, implausible, state

FOLDER = "confirmed"  # in that of the search
TEST = "test.json"  # in the folder of the confirming round: what the winner makes of the test set
BASELINE = "baseline"

log = logging.getLogger(__name__)


def name_of(number: int) -> str:
    return f"trial {number:03}"


def sweep_of(search: Search, make: Make) -> tuple[Sweep, dict[str, Config]]:
    """The jobs of the confirming round and their configs; none where no trial is completed."""
    trials = search.read()
    base = make([])
    chosen: dict[str, list[str]] = {BASELINE: []}
    for number in search.best(trials, search.spec.confirm_top):
        chosen[name_of(number)] = trials.jobs[number].overrides
    splits = [base.data.split_seed]
    if base.data.val_fraction:
        splits.append((base.data.split_seed + 1) % 2**32)
    jobs, configs = [], {}
    if len(chosen) > 1:
        for turn in range(search.spec.confirm):
            for split in splits:
                for setting, overrides in chosen.items():
                    seed = (base.seed + 1 + turn) % 2**32
                    words = [*overrides, f"data.split_seed={split}", f"seed={seed}"]
                    config = make(words)
                    levels = {"setting": setting, "split_seed": str(split)}
                    told, name = _names(setting, split, seed)
                    parameters, macs = size_of(config)
                    jobs.append(Job(name, told, levels, seed, words, epochs(config), parameters, macs))
                    configs[name] = config
    labels = {"setting": list(chosen), "split_seed": [str(split) for split in splits]}
    baseline = {"setting": BASELINE, "split_seed": str(splits[0])}
    return Sweep("grid", labels, baseline, jobs, search={"config": search.config}), configs


def longest_directory(search: Search, base: Config) -> Path:
    """One with a path as long as that of any job of the confirming round."""
    last = name_of(search.spec.trials - 1)
    _, name = _names(last, base.data.split_seed + 1, base.seed + search.spec.confirm)
    return search.directory / FOLDER / name


def _names(setting: str, split: int, seed: int) -> tuple[str, str]:
    """Of a setting on a split, and of a job."""
    told = f"{setting.replace(' ', '_')},split_seed={split}"
    return told, f"{told},seed={seed}"


@dataclass(frozen=True)
class Confirmed:
    """The figures of one setting, measured anew: one for each seed and split."""

    setting: str
    values: dict[tuple[int, str], float]  # by seed and split

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.values.values())))

    @property
    def sd(self) -> float:
        return float(np.std(list(self.values.values()), ddof=1)) if len(self.values) > 1 else math.nan

    def interval(self, base: "Confirmed | None" = None, among: int = 1) -> tuple[float, float]:
        """The 95 % confidence interval of the mean or, against a baseline, of the mean difference.

        Runs of one seed are one observation, as they begin with the same weights; a difference is of the same seed and
        split.

        Args:
            among: how many settings are held against the baseline. One of them looks better by chance more often than
                a single one does, so the interval is as much wider (Bonferroni).
        """
        shared = [key for key in self.values if base is None or key in base.values]
        by_seed: dict[int, list[float]] = {}
        for key in shared:
            by_seed.setdefault(key[0], []).append(self.values[key] - (base.values[key] if base else 0))
        means = [float(np.mean(values)) for values in by_seed.values()]
        if len(means) < 2:
            return math.nan, math.nan
        half = (
            float(stats.t.ppf(1 - 0.025 / among, len(means) - 1)) * float(np.std(means, ddof=1)) / math.sqrt(len(means))
        )
        return float(np.mean(means)) - half, float(np.mean(means)) + half


def confirmed(search: Search) -> dict[str, Confirmed]:
    """What has been measured anew for a search, by setting; nothing where there was no such round.

    Only runs that belong to this search count: of its config, and with what its trials have now.
    """
    folder, objective = search.directory / FOLDER, search.spec.objective[0]
    trials = search.read()
    expected = {name_of(number): job.overrides for number, job in enumerate(trials.jobs)} | {BASELINE: []}
    try:
        sweep = Sweep.read(folder)
    except BadInput:
        return {}
    if sweep.search.get("config") != trials.search.get("config") or "setting" not in sweep.parameters:
        return {}
    found: dict[str, dict[tuple[int, str], float]] = {}
    for job in sweep.jobs:
        setting, split = job.levels["setting"], job.levels.get("split_seed", "")
        result = RunDirectory(folder / job.name).read_result() or {}
        value = (result.get("metrics") or {}).get(objective)
        if job.overrides[:-2] == expected.get(setting) and setting in sweep.parameters["setting"]:
            values = found.setdefault(setting, {})
            is_known = result.get("status") == "completed" and not implausible(result)
            if is_known and value is not None and math.isfinite(value):
                values[job.seed, split] = value
    return {setting: Confirmed(setting, values) for setting, values in found.items() if values}


def is_whole(directory: Path) -> bool:
    """Whether all runs of the confirming round have ended."""
    try:
        jobs = Sweep.read(directory / FOLDER).jobs
    except BadInput:
        return False
    return all(state(RunDirectory(directory / FOLDER / job.name)) in ENDED for job in jobs)


def winner(found: Mapping[str, Confirmed], direction: str) -> str | None:
    """The setting with the best mean, if every run of it is there; of the baseline and an equal one the baseline."""
    most = max((len(one.values) for one in found.values()), default=0)
    whole = [setting for setting, one in found.items() if len(one.values) == most]
    sign = 1 if direction == "maximize" else -1
    return max(whole, key=lambda setting: (sign * found[setting].mean, setting == BASELINE), default=None)


def test(directory: Path, setting: str) -> dict[str, Any]:
    """Show the test set to the runs of the setting that has won, once; the second time what was found is read.

    Returns:
        The setting, the test accuracy of each of its runs by name, and how often the search has looked: more than once
        where more trials have brought another winner.
    """
    from lenet.evaluation.evaluate import evaluate
    from lenet.evaluation.load import load_trained

    folder = directory / FOLDER
    names = [job.name for job in Sweep.read(folder).jobs if job.levels["setting"] == setting]
    done = [name for name in names if state(RunDirectory(folder / name)) == "completed"]
    known = read_test(directory)
    if known and known["setting"] == setting and set(known["test/acc"]) == set(done):
        return known
    figures = {name: evaluate(load_trained(folder / name)).accuracy for name in done}
    looks = known["looks"] + 1 if known else 1
    found = {"setting": setting, "test/acc": figures, "looks": looks}
    write_atomically(folder / TEST, (json.dumps(found, indent=1) + "\n").encode())
    return found


def read_test(directory: Path) -> dict[str, Any] | None:
    """What `test` has found, or None where it was not asked or its file is not ours."""
    try:
        found = read_json(directory / FOLDER / TEST)
    except (OSError, ValueError):
        return None
    figures = found.get("test/acc") if isinstance(found, dict) else None
    plausible = isinstance(figures, dict) and all(isinstance(value, float | int) for value in figures.values())
    whole = plausible and isinstance(found.get("setting"), str) and isinstance(found.get("looks"), int)
    return found if whole and figures else None


def label_of(metric: str) -> str:
    return METRICS[metric][1] if metric in METRICS else metric
