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

from lenet.config import Config
from lenet.errors import BadInput
from lenet.models.sizes import size_of
from lenet.runs.directory import METRICS, RunDirectory
from lenet.runs.files import write_atomically
from lenet.runs.safe_io import read_json
from lenet.search.trials import Make, Search
from lenet.sweeps.design import ENDED, Job, Sweep, state

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
    splits = [base.data.split_seed, (base.data.split_seed + 1) % 2**32]
    jobs, configs = [], {}
    if len(chosen) > 1:
        for turn in range(search.spec.confirm):
            for split in splits:
                for setting, overrides in chosen.items():
                    seed = (base.seed + 1 + turn) % 2**32
                    words = [*overrides, f"data.split_seed={split}", f"seed={seed}"]
                    config = make(words)
                    levels = {"setting": setting, "split_seed": str(split)}
                    told = f"{setting.replace(' ', '_')},split_seed={split}"
                    parameters, macs = size_of(config)
                    name = f"{told},seed={seed}"
                    jobs.append(Job(name, told, levels, seed, words, config.trainer.max_epochs, parameters, macs))
                    configs[name] = config
    labels = {"setting": list(chosen), "split_seed": [str(split) for split in splits]}
    return Sweep("grid", labels, {"setting": BASELINE, "split_seed": str(splits[0])}, jobs), configs


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

    def interval(self, base: "Confirmed | None" = None) -> tuple[float, float]:
        """The 95 % confidence interval of the mean or, against a baseline, of the mean difference.

        Runs of one seed are one observation, as they begin with the same weights; a difference is of the same seed and
        split.
        """
        shared = [key for key in self.values if base is None or key in base.values]
        by_seed: dict[int, list[float]] = {}
        for key in shared:
            by_seed.setdefault(key[0], []).append(self.values[key] - (base.values[key] if base else 0))
        means = [float(np.mean(values)) for values in by_seed.values()]
        if len(means) < 2:
            return math.nan, math.nan
        half = float(stats.t.ppf(0.975, len(means) - 1)) * float(np.std(means, ddof=1)) / math.sqrt(len(means))
        return float(np.mean(means)) - half, float(np.mean(means)) + half


def confirmed(directory: Path, objective: str) -> dict[str, Confirmed]:
    """What has been measured anew for a search, by setting; nothing where there was no such round."""
    try:
        sweep = Sweep.read(directory / FOLDER, whole=False)
    except BadInput:
        return {}
    found: dict[str, dict[tuple[int, str], float]] = {}
    for job in sweep.jobs:
        run = RunDirectory(directory / FOLDER / job.name)
        result = run.read_result() or {}
        value = (result.get("metrics") or {}).get(objective)
        if state(run) == "completed" and value is not None:
            found.setdefault(job.levels["setting"], {})[job.seed, job.levels["split_seed"]] = value
    return {setting: Confirmed(setting, values) for setting, values in found.items()}


def is_whole(directory: Path) -> bool:
    """Whether all runs of the confirming round have ended."""
    try:
        jobs = Sweep.read(directory / FOLDER).jobs
    except BadInput:
        return False
    return all(state(RunDirectory(directory / FOLDER / job.name)) in ENDED for job in jobs)


def winner(found: Mapping[str, Confirmed], direction: str) -> str | None:
    """The setting with the best mean; of the baseline and a setting that is as good, the baseline."""
    if not found:
        return None
    sign = 1 if direction == "maximize" else -1
    return max(found, key=lambda setting: (sign * found[setting].mean, setting == BASELINE))


def test(directory: Path, setting: str) -> dict[str, Any]:
    """Show the test set to the runs of the setting that has won, once; the second time what was found is read.

    Returns:
        The setting, and the test accuracy of each of its runs by name.
    """
    from lenet.evaluation.evaluate import evaluate
    from lenet.evaluation.load import load_trained

    folder = directory / FOLDER
    names = [job.name for job in Sweep.read(folder).jobs if job.levels["setting"] == setting]
    done = [name for name in names if state(RunDirectory(folder / name)) == "completed"]
    if (known := read_test(directory)) and known["setting"] == setting and set(known["test/acc"]) == set(done):
        return known
    figures = {name: evaluate(load_trained(folder / name)).accuracy for name in done}
    found = {"setting": setting, "test/acc": figures}
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
    return found if plausible and isinstance(found.get("setting"), str) and figures else None


def label_of(metric: str) -> str:
    return METRICS[metric][1] if metric in METRICS else metric
