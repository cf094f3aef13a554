"""The inspection table of a net, from its config alone: scripts/summary.py [model=NAME key=value ...]"""

import hydra
from omegaconf import DictConfig

from lenet import cli
from lenet.datasets import input_size
from lenet.models.sizes import layers_of
from lenet.models.table import as_table

EXAMPLES = (
    "scripts/summary.py model=modern",
    "scripts/summary.py model=lenet5",
    'scripts/summary.py "model.conv_channels=[12,32]" "model.kernel_size=[7,3]" "model.padding=[3,0]"',
)


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(composed: DictConfig) -> None:
    with cli.job():
        config = cli.config_from(composed)
        print(as_table(layers_of(config), input_size(config.data)))


if __name__ == "__main__":
    cli.run_composed(main, EXAMPLES, of_one_net=True)
