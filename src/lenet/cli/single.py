"""What is trained: one run, or a job of a sweep, for commands and for `import lenet`.

Nothing here imports torch before it has to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lenet.cli.commands import job
from lenet.cli.compose import config_from, run_path
from lenet.cli.messages import closing_lines
from lenet.config import Config
from lenet.evaluation.initial_weights import check_initial_weights
from lenet.runs.directory import Result, RunDirectory
from lenet.runs.metrics import chosen_by
from lenet.system import terminal
from lenet.system.imports import quickly
from lenet.system.ranks import is_first
from lenet.training import demands

if TYPE_CHECKING:
    import lightning as L


def train_composed(composed: DictConfig) -> float:
    """What Hydra calls for a run, and for each job of a sweep.

    Returns:
        What an optimising sweeper would maximise: val/acc or, without validation images, train/acc.
    """
    with job():
        config = config_from(composed)
        place = run_path(config)
        hydra_config = HydraConfig.get()
        if hydra_config.mode == RunMode.MULTIRUN:  # a sweep has asked the machine before its first job
            with quickly():
                from lenet.job import train_job  # only now: it imports torch

            result = train_job(config, place, hydra_config.overrides.task)
        else:
            result, _ = train_single(config, place, hydra_config.overrides.task)
        metrics: dict[str, float] = result["metrics"]
        return metrics[chosen_by(metrics)]


def train_single(
    config: Config, place: Path, overrides: Sequence[str], callbacks: Sequence[L.Callback] = ()
) -> tuple[Result, RunDirectory]:
    """Ask the machine, train, and print the closing lines.

    Args:
        config: checked.
        place: the directory to make.
        overrides: the words of the command, for the record.
        callbacks: to watch the training.

    Raises: those of `lenet.run.train`.
    """
    demands.check(config)
    demands.check_places(config, place)
    check_initial_weights(config)
    terminal.loading(demands.about(config))

    # Only now: what can be known without torch is answered before it is imported.
    with quickly():
        from lenet.run import train
    from lenet.training.chance import remedy

    result, run = train(config, place, overrides, callbacks)
    if is_first():
        # Which only shows whether it runs.
        advice = "" if config.trainer.fast_dev_run else remedy(config, result["epochs"])
        print(closing_lines(result, run, config.test_on, advice), flush=True)
    return result, run
