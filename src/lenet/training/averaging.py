"""Running means of the weights, and the test set after every epoch."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import update_bn

from lenet.batches import batches, first_averaged
from lenet.config import Config
from lenet.data.module import ImageData
from lenet.data.transforms import normalise
from lenet.datasets import data_set
from lenet.training.metrics import Totals
from lenet.training.module import Classifier


class Averaging(WeightAveraging):
    """A mean of the weights. It stands in the net while that is validated, in checkpoints, and after the training."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device  # where the net will be; it is not there yet
        super().setup(trainer, pl_module, stage)

    @contextmanager
    def in_place(self, model: Classifier) -> Iterator[None]:
        """Within it the mean stands in the net."""
        self._swap_models(model)
        try:
            yield
        finally:
            self._swap_models(model)


class AverageWeights(Averaging, EMAWeightAveraging):
    """A running mean of the weights, and of batch normalisation's means and variances, changed by every update."""


class AverageEpochs(Averaging):
    """Stochastic weight averaging (Izmailov et al. 2018): the mean of the weights after each epoch, from `first` on.

    Batch normalisation's means and variances belong to one net. Those of the mean are counted anew after each epoch, in
    a pass over the training images. Before its first epoch all is as without a mean.
    """

    def __init__(self, first: int, data: ImageData) -> None:
        """`first`: an epoch, counted from 1."""
        super().__init__(use_buffers=False)
        self.first, self.data = first, data

    @property
    def has_begun(self) -> bool:
        return self._average_model is not None and bool(self._average_model.n_averaged)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return False  # not when Lightning asks: after an epoch it has been validated already

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch + 1 < self.first or batch_idx + 1 < trainer.num_training_batches:
            return
        assert isinstance(pl_module, Classifier)
        assert self._average_model
        self._average_model.update_parameters(pl_module)
        if pl_module.config.model.norm == "batch":
            with trainer.precision_plugin.forward_context():
                update_bn(self._images(pl_module), self._average_model.module.net)  # type: ignore[arg-type]

    def _images(self, model: Classifier) -> Iterator[Tensor]:
        """The batches of an epoch, changed at random as those that the net trains on."""
        parts = (part for block in self.data.train_dataloader() for part in self.data.batches_of(block))
        for images, _ in islice(parts, batches(model.config, "train")):
            yield images.to(model.dtype)

    def _swap_models(self, pl_module: L.LightningModule) -> None:
        if self.has_begun:
            super()._swap_models(pl_module)

    def _copy_average_to_current(self, pl_module: L.LightningModule) -> None:
        if self.has_begun:
            super()._copy_average_to_current(pl_module)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.has_begun:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if "current_model_state" in checkpoint:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


def build_average(config: Config, data: ImageData) -> Averaging | None:
    """The mean of the weights that a config asks for, if any."""
    if config.optimizer.ema_decay:
        return AverageWeights(decay=config.optimizer.ema_decay)
    first = first_averaged(config)
    return AverageEpochs(first, data) if first else None


class TestEachEpoch(L.Callback):
    """Counts test/loss and test/acc after every epoch, for a learning curve. Nothing is chosen by them."""

    def __init__(self, data: ImageData, average: Averaging | None = None) -> None:
        self.data, self.average = data, average

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        totals, settings = Totals(len(data_set(self.data.data).classes)).to(pl_module.device), self.data.data
        pl_module.eval()
        averaged = self.average.in_place(pl_module) if self.average else nullcontext()
        with torch.no_grad(), trainer.precision_plugin.forward_context(), averaged:
            for batch in islice(self.data.test_dataloader(), batches(pl_module.config, "test")):
                (images, labels), count = pl_module.shard(batch)
                logits = pl_module(normalise(images, settings.mean, settings.std, settings.pad))
                totals.update(logits[:count], labels[:count], pl_module.loss(logits, labels))
        pl_module.train()
        pl_module.metrics |= {f"test/{name}": value for name, value in totals.compute().items()}
