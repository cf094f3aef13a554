"""A net before its first update: scripts/initial.py experiment=lenet5_1998 [model.init=fan_in ...]

How far the weighted sums of each layer spread, and the learning rates that optimizer=sdlm gives to each parameter.
"""

from itertools import pairwise

import hydra
from omegaconf import DictConfig

from lenet import cli
from lenet.data import download
from lenet.system.imports import quickly
from lenet.system.terminal import loading
from lenet.training.demands import about

EXAMPLES = (
    "scripts/initial.py experiment=lenet5_1998",
    "scripts/initial.py model.activation=tanh model.init=lecun optimizer=sdlm",
)


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(composed: DictConfig) -> None:
    with cli.job():
        config = cli.config_from(composed)
        download.look(config.data.name, config.data.root)
        loading(about(config))

        with quickly():
            import torch

            from lenet.data.module import ImageData
            from lenet.training.curvature import curvature_images
            from lenet.training.module import Classifier
            from lenet.training.optimizers import build_optimizer
            from lenet.training.sdlm import SDLM, diagonal_hessian

        torch.manual_seed(config.seed)
        model, data = Classifier(config).eval(), ImageData(config.data, config.seed)
        data.prepare_data()
        data.setup("fit")
        images = curvature_images(model, data, epoch=0)
        print(f"{'layer':<16} standard deviation of its weighted sums, over {len(images)} images and all units")
        with torch.inference_mode():
            x = images
            for layer, following in pairwise(model.net.named_children()):
                x = layer[1](x)
                if following[0].startswith("act"):
                    print(f"{layer[0]:<16} {x.std().item():.3f}")
        if config.optimizer.name != "sdlm":
            print(f"optimizer.name={config.optimizer.name} has one learning rate for all; optimizer=sdlm has many")
            return
        optimizer = build_optimizer(model.net, config.optimizer)
        assert isinstance(optimizer, SDLM)
        optimizer.observe(diagonal_hessian(model.net, model.loss, images))
        names = {parameter: name for name, parameter in model.net.named_parameters()}
        rates = {names[parameter]: values.flatten() for parameter, values in optimizer.rates().items()}
        rates["all"] = torch.cat(list(rates.values()))
        print(f"\n{'parameter':<16} smallest, median and largest learning rate")
        for name, values in rates.items():
            print(
                f"{name:<16} " + "  ".join(f"{end.item():.1e}" for end in (values.min(), values.median(), values.max()))
            )


if __name__ == "__main__":
    cli.run_composed(main, EXAMPLES)
