"""Running means of the weights, and the test set after every epoch."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from lenet.batches import batches
from lenet.data.module import ImageData
from lenet.data.transforms import normalise
from lenet.datasets import data_set
from lenet.training.metrics import Totals
from lenet.training.module import Classifier


class AverageWeights(EMAWeightAveraging):
    """A running mean of the weights, and of batch normalisation's means and variances, which changes at every update.

    It stands in the net while that is validated, in every checkpoint, and from the end of the training on.
    """

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


class TestEachEpoch(L.Callback):
    """Counts test/loss and test/acc after every epoch, for a learning curve. Nothing is chosen by them."""

    def __init__(self, data: ImageData, average: AverageWeights | None = None) -> None:
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
