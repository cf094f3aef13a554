"""Second derivatives for SDLM, looked at before each epoch."""

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from lenet.data.module import ImageData
from lenet.data.seeds import epoch_seed
from lenet.data.transforms import normalise
from lenet.errors import Diverged
from lenet.training.module import Classifier
from lenet.training.sdlm import SDLM, diagonal_hessian


def curvature_images(model: Classifier, data: ImageData, epoch: int) -> Tensor:
    """The training images, normalised, that second derivatives are estimated on before an epoch counted from 0."""
    images, settings = data.training.images, data.data
    generator = torch.Generator().manual_seed(epoch_seed(data.seed, epoch, "curvature"))
    samples = model.config.optimizer.curvature_samples
    chosen = torch.randperm(len(images), generator=generator)[:samples].to(images.device)
    return normalise(images[chosen], settings.mean, settings.std, settings.pad).to(model.dtype)


class ObserveCurvature(L.Callback):
    """Before each epoch tells SDLM the second derivatives on some training images, chosen by (seed, epoch)."""

    def __init__(self, data: ImageData) -> None:
        self.data = data

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        optimizer = trainer.optimizers[0]
        assert isinstance(optimizer, SDLM)
        images = curvature_images(pl_module, self.data, trainer.current_epoch)
        net = pl_module.net.eval()
        optimizer.observe(diagonal_hessian(net, pl_module.loss, images))
        net.train()
        names = {parameter: name for name, parameter in net.named_parameters()}
        for parameter, rates in optimizer.rates().items():
            if not (rates.isfinite() & (rates > 0)).all():
                raise Diverged(
                    f"the second derivatives by {names[parameter]} are no longer finite in epoch "
                    f"{trainer.current_epoch + 1}; try a smaller optimizer.lr"
                )
            if isinstance(trainer.logger, TensorBoardLogger):
                tag = f"weight_log10_lr/{names[parameter]}"  # behind the curves in the alphabet, and so on the page
                trainer.logger.experiment.add_histogram(tag, rates.log10(), trainer.current_epoch + 1)
