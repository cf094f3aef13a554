"""Train a LeNet: scripts/train.py [key=value ...]; or many: sweep=NAME, or -m key=a,b. --cfg job shows every key."""

import hydra
from omegaconf import DictConfig

from lenet import cli
from lenet.cli.single import train_composed

EXAMPLES = (
    "scripts/train.py model.activation=relu model.pool=max optimizer.lr=0.1",
    "scripts/train.py experiment=lenet5_1998_fast",
    "scripts/train.py sweep=pooling",
    "scripts/train.py -m model=classic,modern optimizer.lr=0.1,0.3 hydra.sweeper.seeds=3",
    "scripts/train.py resume=RUN_DIR trainer.max_epochs=20",
)


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(composed: DictConfig) -> float:
    return train_composed(composed)


if __name__ == "__main__":
    cli.run_composed(main, EXAMPLES)
