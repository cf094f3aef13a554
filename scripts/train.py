"""Train a LeNet: scripts/train.py [key=value ...]; or many: sweep=NAME, or -m key=a,b. --cfg job shows every key."""

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lenet import cli
from lenet.cli.single import train_single
from lenet.runs.directory import chosen_by
from lenet.system.imports import quickly

EXAMPLES = (
    "scripts/train.py model.activation=relu model.pool=max optimizer.lr=0.1",
    "scripts/train.py experiment=lenet5_1998_fast",
    "scripts/train.py sweep=pooling",
    "scripts/train.py -m model=classic,modern optimizer.lr=0.1,0.3 hydra.sweeper.seeds=3",
    "scripts/train.py resume=RUN_DIR trainer.max_epochs=20",
)


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(composed: DictConfig) -> float:
    """Returns what an optimising sweeper would maximise: val/acc or, without validation images, train/acc."""
    with cli.job():
        config = cli.config_from(composed)
        place = cli.run_path(config)
        hydra_config = HydraConfig.get()
        if hydra_config.mode == RunMode.MULTIRUN:  # a sweep has asked the machine before its first job
            with quickly():
                from lenet.job import train_job  # only now: it imports torch

            result = train_job(config, place, hydra_config.overrides.task)
        else:
            result, _ = train_single(config, place, hydra_config.overrides.task)
        metrics: dict[str, float] = result["metrics"]
        return metrics[chosen_by(metrics)]


if __name__ == "__main__":
    cli.run_composed(main, EXAMPLES)
