"""From what Hydra composed to a checked config. Imports no torch."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lenet.batches import stops_early
from lenet.config import Config, EarlyStopping, schema
from lenet.errors import BadInput
from lenet.rules import validate
from lenet.runs.directory import INCIDENTAL, WEIGHTS, RunDirectory, timestamp
from lenet.system.ranks import is_first
from lenet.text import counted

ConfigStore.instance().store("schema", Config)

ENDLESS = ("constant", "steps", "exponential", "plateau")  # schedules that do not know how long a run is

# What a resumed run may change without becoming another run.
RESUMABLE = (
    *("trainer.max_epochs", "early_stopping.patience", "early_stopping.monitor", "early_stopping.min_delta"),
    *INCIDENTAL,
)


def config_from(composed: DictConfig, hydra: Any = None) -> Config:
    """The checked config of this job: what Hydra composed or, with `resume`, what the run directory says.

    Args:
        hydra: what Hydra composed for itself; by default that of the command that runs.

    Raises:
        BadInput: a value is not legal, or `resume` goes with a key that would make it another run.
    """
    hydra = HydraConfig.get() if hydra is None else hydra
    _require_sweep(hydra)
    if "resume" not in composed:
        name = hydra.job.config_name
        raise BadInput(f"--config-name={name}: no whole config; leave it out, and choose by group=NAME")
    if composed.resume is not None:
        overrides = list(hydra.overrides.task)
        return resumed_config(composed.resume, overrides)
    config = OmegaConf.to_object(typed(composed))
    assert isinstance(config, Config)
    validate(config)
    return config


def _require_sweep(hydra: Any) -> None:
    """What is said of a sweep goes with one; a single run would ignore it."""
    if hydra.mode == RunMode.MULTIRUN:
        return
    for word in hydra.overrides.hydra:
        key = word.lstrip("+~").partition("=")[0]
        if re.match(r"hydra[./](launcher|sweeper|sweep)\b", key):
            raise BadInput(
                f"{word}: goes with a sweep, and this is a single run; add -m or sweep=NAME, or leave it out"
            )


def typed(composed: DictConfig) -> DictConfig:
    """A composed config without keys that the schema does not have, which Hydra's +key=value adds to it.

    Raises:
        OmegaConfBaseException: it has some.
    """
    known = schema()
    if OmegaConf.get_type(composed) is Config and all(key in known for key in _keys(OmegaConf.to_container(composed))):
        return composed  # as nearly always, and merging takes longer than all else here
    merged = OmegaConf.merge(Config, OmegaConf.to_container(composed))
    assert isinstance(merged, DictConfig)
    return merged


def _keys(container: Any, prefix: str = "") -> Iterator[str]:
    for key, value in container.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")


def resumed_config(directory: str, overrides: Sequence[str]) -> Config:
    """The config of the run in `directory`, with the few keys of `overrides` that a run may change."""
    if Path(directory).is_file() and Path(directory).suffix == WEIGHTS:
        raise BadInput(
            f"resume={directory}: holds a net to look at, with scripts/evaluate.py or scripts/activations.py, and "
            "nothing of its optimizer to go on with; name the run's directory, or start a new run"
        )
    if not Path(directory).exists():
        raise BadInput(f"resume={directory}: no such directory; name that of a run, which is the last line it prints")
    run = RunDirectory(directory)
    saved = run.read_config()
    run.check()
    overrides = [override for override in overrides if not override.startswith("resume=")]
    for override in overrides:
        if override.split("=")[0] not in RESUMABLE:
            may = dict.fromkeys("dashboard.*" if key.startswith("dashboard.") else key for key in RESUMABLE)
            raise BadInput(
                f"{override}: a resumed run keeps its config; beside resume only {', '.join(may)} may be given. Start "
                "a new run to change anything else"
            )
    changed = OmegaConf.merge(OmegaConf.structured(saved), OmegaConf.from_dotlist(list(overrides)))
    config = OmegaConf.to_object(changed)
    assert isinstance(config, Config)
    config.resume = directory
    if config.early_stopping.patience is None:  # the rest of it has then no meaning
        config.early_stopping = EarlyStopping()
    if not stops_early(config):
        config.trainer.min_epochs = None
    validate(config)
    longer = config.trainer.max_epochs != saved.trainer.max_epochs
    if longer and config.schedule.name not in ENDLESS:
        raise BadInput(
            f"trainer.max_epochs={config.trainer.max_epochs}: the schedule {config.schedule.name} ends with epoch "
            f"{saved.trainer.max_epochs}; only a run with schedule.name={', '.join(ENDLESS)} can be made longer"
        )
    if longer and isinstance(config.optimizer.swa_start, float):
        raise BadInput(
            f"trainer.max_epochs={config.trainer.max_epochs}: the mean of the weights began after a share of "
            f"{counted(saved.trainer.max_epochs, 'epoch')}, optimizer.swa_start={config.optimizer.swa_start}; only a "
            "run where this is an epoch can be made longer"
        )
    return config


def run_path(config: Config) -> Path:
    """runs/<name>/<time> for one run; for a job of a sweep, or with hydra.run.dir, where Hydra says.

    Raises:
        BadInput: hydra.run.dir names the folder in which the command is given.
    """
    hydra = HydraConfig.get()
    return chosen_path(config, Path(hydra.runtime.output_dir), Path(hydra.runtime.cwd), hydra.overrides.hydra)


def chosen_path(config: Config, output: Path, here: Path, words: Sequence[str]) -> Path:
    """`output`, or runs/<name>/<time> where that is the folder in which the command is given.

    Raises:
        BadInput: one of `words` names that folder.
    """
    if output != here:
        return output
    for word in words:
        if word.startswith("hydra.run.dir=") and is_first():  # Lightning gives it to the other processes
            raise BadInput(f"{word}: a run has a directory to itself; name a folder in this one, or leave it out")
    return Path("runs") / config.name / timestamp()
