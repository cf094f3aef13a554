"""A net before its first update, layer by layer: scripts/initial.py experiment=lenet5_1998 [model.init=fan_in ...]

The standard deviation of what goes into each activation, over images and units, and the learning rates that sdlm would
give to each parameter: smallest, median, largest.
"""

import hydra
from omegaconf import DictConfig

from lenet import cli


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(composed: DictConfig) -> None:
    with cli.job():
        config = cli.config_from(composed)

        import torch

        from lenet.callbacks import curvature_images
        from lenet.classifier import Classifier
        from lenet.data import ImageData
        from lenet.sdlm import SDLM, diagonal_hessian

        torch.manual_seed(config.seed)
        model, data = Classifier(config).eval(), ImageData(config.data, config.seed)
        data.prepare_data()
        data.setup("fit")
        images = curvature_images(model, data, epoch=0)
        optimizer = SDLM(model.net.parameters(), config.optimizer.lr, config.optimizer.mu)
        optimizer.observe(diagonal_hessian(model.net, model.loss, images))
        with torch.inference_mode():
            x = images
            for name, layer in model.net.named_children():
                if name.startswith("act"):
                    print(f"{name:<16} its inputs' standard deviation {x.std().item():.3f}")
                x = layer(x)
        names = {parameter: name for name, parameter in model.net.named_parameters()}
        rates = {names[parameter]: values.flatten() for parameter, values in optimizer.rates().items()}
        rates["all"] = torch.cat(list(rates.values()))
        for name, values in rates.items():
            ends = f"{values.min().item():.1e}  {values.median().item():.1e}  {values.max().item():.1e}"
            print(f"{name:<16} learning rates {ends}")


if __name__ == "__main__":
    cli.run(main)
