"""What the jobs of a sweep were measured on, from their config.yaml, and which of them can be compared.

Accuracies can be compared where as many images of the same kind judged them: of the same data set, as large a share of
it held out, and as many batches of that. Which images those are (data.split_seed) makes no difference that a mean over
seeds would not have as well. Nothing here imports torch.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from lenet.batches import EVALUATION_BATCH, batches, epochs, images_seen, overfitted, training_size, validation_size
from lenet.config import Config, Trainer, schema
from lenet.datasets import data_set
from lenet.runs.directory import RunDirectory
from lenet.runs.safe_io import YAML_LOADER, fits, read_yaml
from lenet.sweeps.design import Sweep
from lenet.sweeps.directory import recipe
from lenet.sweeps.names import label
from lenet.sweeps.results import chosen_metric, read_jobs
from lenet.text import counted, one_line, shortened

JUDGED_BY = (
    "data.name",
    "data.val_fraction",
    "trainer.limit_val_batches",
    "trainer.limit_test_batches",
    "trainer.fast_dev_run",
    "trainer.overfit_batches",
)

# What the report says in words of its own, beside the keys that make no run another one.
TOLD = (*JUDGED_BY, "seed", "trainer.max_epochs", "trainer.limit_train_batches", "data.train_size")

UNKNOWN = "not known what on"


@dataclass(frozen=True)
class Group:
    """Jobs of a sweep that can be compared."""

    title: str  # what tells it from the other groups of the sweep; nothing where there is no other
    jobs: pd.DataFrame  # rows of `results.read_jobs`
    configs: list[Config]  # one of each setting; none where they cannot be read
    metric: str  # what its settings are compared by

    @property
    def done(self) -> pd.DataFrame:
        return self.jobs[self.jobs.state == "completed"]

    @property
    def classes(self) -> int:
        """How many the data set has; ten where that cannot be read."""
        return max(2, len(data_set(self.configs[0].data).classes)) if self.configs else 10


def groups(sweep: Sweep, directory: Path) -> tuple[pd.DataFrame, list[Group]]:
    """All jobs of a sweep, and the groups of them that can be compared; a job goes with its setting."""
    jobs = read_jobs(sweep, directory)
    configs = {setting: _config_of(directory, names) for setting, names in jobs.groupby("setting", sort=False)["job"]}
    kinds = {setting: json.dumps([_get(config, key) for key in JUDGED_BY]) if config else UNKNOWN
             for setting, config in configs.items()}  # fmt: skip
    done = dict.fromkeys(kinds[setting] for setting in jobs[jobs.state == "completed"].setting)
    members = {kind: [setting for setting in configs if kinds[setting] == kind] for kind in done}
    if len(done) < 2:
        members = {"": list(configs)}
    known = [config for names in members.values() if (config := configs[names[0]])]
    differ = [key for key in JUDGED_BY if len({str(_get(config, key)) for config in known}) > 1]
    found = []
    for names in members.values():
        of = [config for name in names if (config := configs[name])]
        title = _title(of[0], differ) if of and len(members) > 1 else UNKNOWN if len(members) > 1 else ""
        found.append(_group(title, jobs[jobs.setting.isin(names)], of))
    for group in found:
        jobs.loc[group.jobs.index, ["state", "error"]] = group.jobs[["state", "error"]]
    return jobs, found


def _group(title: str, jobs: pd.DataFrame, configs: list[Config]) -> Group:
    jobs = jobs.copy()
    metric = chosen_metric(jobs)
    lost = (jobs.state == "completed") & jobs[metric].isna()
    jobs.loc[lost, "error"] = f"it has no {metric}"
    jobs.loc[lost, "state"] = "damaged"
    return Group(title, jobs, configs, metric)


def _title(config: Config, keys: Sequence[str]) -> str:
    return ", ".join(f"{key}={shortened(label(_get(config, key)))}" for key in keys) or UNKNOWN


def _config_of(directory: Path, names: Iterable[str]) -> Config | None:
    """The config of the first of these runs that has one that can be read: but for the seed it is that of all."""
    for name in names:
        try:
            return _quickly(directory / name / "config.yaml")
        except (OSError, ValueError, ArithmeticError, AttributeError, TypeError, yaml.YAMLError):
            continue
    return None


def _quickly(path: Path) -> Config:
    """What `RunDirectory.read_config` reads, in a thirtieth of the time, as a sweep has many.

    Raises: as many kinds of errors as its libraries have, where it is not a config of ours.
    """
    config, kinds = Config(), schema()
    for key, value in _leaves(yaml.load(read_yaml(path), YAML_LOADER)):
        if key not in kinds or not fits(value, kinds[key]):
            raise ValueError(key)
        *inner, last = key.split(".")
        node: Any = config
        for part in inner:
            node = getattr(node, part)
        setattr(node, last, value)
    for part in ("train", "val", "test"):
        if batches(config, part) < 0 or epochs(config) < 0:
            raise ValueError(part)
    return config


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + str(key), value


def _get(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def described(group: Group, sweep: Sweep, directory: Path) -> list[str]:
    """What these jobs were measured on: a line each of the data, the training, the recipe and the machine."""
    if not group.configs:
        return ["What was measured is not known: no config.yaml of these jobs can be read."]
    configs, jobs = group.configs, group.jobs
    lines = [
        f"data: {_each(config.data.name for config in configs)}; {_each(map(_training, configs))}; "
        f"{_each(map(_validation, configs))}; {_each(map(_test, configs))}",
        f"{_each(counted(epochs(one), 'epoch') for one in configs)}; seeds {_numbers(jobs.seed)}",
        f"all share: {_shared(configs)}",
    ]
    results = [RunDirectory(directory / job).read_result() or {} for job in group.done.job.head(LOOKED_AT)]
    if machine := _machine(results):
        lines.append(machine)
    return lines


LOOKED_AT = 200  # results, for the machine and the versions
SAID = ("python", "torch", "lightning")  # of the versions; each result.json has all


def _shared(configs: Sequence[Config]) -> str:
    """What all of them have otherwise than the default config, as on the command line."""
    ours = [recipe(asdict(config)) for config in configs]
    default = recipe(asdict(Config()))
    others = {key: value for key, value in ours[0].items() if key not in TOLD and value != default[key]}
    same = [key for key, value in others.items() if all(one[key] == value for one in ours)]
    words = [f"{key}={shortened(one_line(as_given(ours[0][key])))}" for key in same]
    return ", ".join(words) or "the default recipe, where they do not vary it"


def as_given(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, list):
        return f"[{','.join(map(as_given, value))}]"
    return label(value)


def _training(config: Config) -> str:
    return f"trained on {_images(config, 'train')} an epoch"


def _validation(config: Config) -> str:
    if few := overfitted(config):
        return f"validated on the same {counted(few, 'image')}"
    return f"validated on {_images(config, 'val')}" if validation_size(config.data) else "no validation images"


def _test(config: Config) -> str:
    return f"tested on {_images(config, 'test')}"


def _images(config: Config, split: str) -> str:
    """How many images, and how many of the batches that there are."""
    limits = dict.fromkeys(("limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches"))
    whole = replace(config, trainer=Trainer(**asdict(config.trainer) | limits | {"fast_dev_run": False}))
    used, available = batches(config, split), batches(whole, split)
    if split == "train":
        images, of = images_seen(config, 1), training_size(config.data)
    else:
        of = validation_size(config.data) if split == "val" else data_set(config.data).test_images
        images = min(used * EVALUATION_BATCH, of)
    if used < available:
        return f"{counted(images, 'image')} (only {used:,} of {counted(available, 'batch')})"
    return counted(images, "image")


def _each(texts: Iterable[str]) -> str:
    """Those that there are; where there are many, the first and the last."""
    different = list(dict.fromkeys(shortened(one_line(text), 120) for text in texts))
    return " or ".join(different) if len(different) < 4 else f"{different[0]}, ... or {different[-1]}"


def _numbers(seeds: pd.Series) -> str:
    """0 to 4, or 0, 2, 7."""
    different = np.sort(seeds.unique())
    if len(different) > 2 and different[-1] - different[0] == len(different) - 1:
        return f"{different[0]} to {different[-1]}"
    shown = ", ".join(map(str, different[:20]))
    return shown + (f" and {len(different) - 20} more" if len(different) > 20 else "")


def _machine(results: Sequence[Mapping[str, Any]]) -> str:
    """Where it was computed, as far as the results say."""
    devices = [str(result["device"]) for result in results if result.get("device")]
    threads = [counted(result["threads"], "thread") for result in results if result.get("threads")]
    precisions = [str(result["precision"]) for result in results if result.get("precision")]
    versions = [", ".join(f"{name} {text}" for name, text in found.items() if name in SAID)
                for result in results if isinstance(found := result.get("versions"), dict)]  # fmt: skip
    words = [_each(texts) for texts in (devices, threads, precisions, versions) if texts]
    return f"computed on: {'; '.join(words)}" if words else ""
