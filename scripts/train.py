"""Train one LeNet, or with -m several: scripts/train.py [key=value ...]; --cfg job shows every key."""

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lenet import cli


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(composed: DictConfig) -> float:
    """Returns what an optimising sweeper would maximise: val/acc or, without validation images, train/acc."""
    with cli.job():
        config = cli.config_from(composed)

        # Only now: a wrong key is answered before torch is imported.
        from lenet.train import report, train

        result, run = train(config, cli.run_path(config), HydraConfig.get().overrides.task)
        print(report(result, run), flush=True)
        metrics: dict[str, float] = result["metrics"]
        return metrics.get("val/acc", metrics["train/acc"])


if __name__ == "__main__":
    cli.run(main)
