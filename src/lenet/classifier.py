"""The LightningModule: a net, its loss, its optimizer, and what is counted while it trains."""

from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import Metric

from lenet.config import Config, Model, Optimizer
from lenet.data import Batch
from lenet.geometry import IMAGE_SIDE
from lenet.models.lenet import LeNet


class Totals(Metric):
    """Mean loss and accuracy over all images seen since the last reset.

    Sums stay on the device, so no step has to wait for a figure; hits are integers, so the accuracy is exact.
    """

    full_state_update = False
    loss: Tensor
    hits: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("loss", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor, mean_loss: Tensor) -> None:
        """Add a batch: logits (n, classes), labels (n,), and the mean of the loss over it."""
        self.loss += mean_loss.detach() * len(labels)
        self.hits += (logits.argmax(1) == labels).sum()
        self.images += len(labels)

    def compute(self) -> dict[str, float]:
        images = self.images.item()
        return {"loss": self.loss.item() / images, "acc": self.hits.item() / images}


def build_net(model: Model, pad: int = 0) -> nn.Module:
    """The net that a config describes, for images of 28x28 with `pad` pixels of background on every side."""
    return {"lenet": LeNet}[model.kind](model, IMAGE_SIDE + 2 * pad)


class Classifier(L.LightningModule):
    """Trains `self.net` on cross-entropy.

    After each part `self.metrics` holds train/loss, train/acc, val/loss and so on; the Trainer sees the same, rounded
    to float32. `train/*` is counted on the fly, while the weights change, as in the book.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        # Convolutions are 1.2 to 2 times faster on a CPU with the channels as the last axis.
        self.net = build_net(config.model, config.data.pad).to(memory_format=torch.channels_last)
        if config.compile:
            self.net.compile()  # the net alone: what Lightning logs cannot be compiled
        self.train_totals, self.val_totals, self.test_totals = Totals(), Totals(), Totals()
        self.metrics: dict[str, float] = {}

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 10) of normalised images (n, 1, side, side)."""
        logits: Tensor = self.net(images.to(self.dtype))  # which trainer.precision may have changed
        return logits

    def _step(self, batch: Batch, totals: Totals) -> Tensor:
        images, labels = batch
        logits = self(images)
        loss = F.cross_entropy(logits, labels)
        totals.update(logits, labels, loss)
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._step(batch, self.train_totals)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._step(batch, self.val_totals)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._step(batch, self.test_totals)

    def on_train_epoch_start(self) -> None:
        self.train_totals.reset()

    def on_validation_epoch_start(self) -> None:
        self.val_totals.reset()

    def on_test_epoch_start(self) -> None:
        self.test_totals.reset()

    def on_train_epoch_end(self) -> None:
        self._publish("train", self.train_totals)

    def on_validation_epoch_end(self) -> None:
        self._publish("val", self.val_totals)

    def on_test_epoch_end(self) -> None:
        self._publish("test", self.test_totals)

    def _publish(self, part: str, totals: Totals) -> None:
        metrics = {f"{part}/{name}": value for name, value in totals.compute().items()}
        self.metrics |= metrics
        self.log_dict(metrics, logger=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = build_optimizer(self.net, self.config.optimizer)
        schedule = self.config.schedule
        if schedule.name == "constant":
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler: Any
        if schedule.name == "cosine":
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        else:
            scheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, self.config.optimizer.lr, steps, pct_start=schedule.warmup, cycle_momentum=False
            )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def build_optimizer(net: nn.Module, settings: Optimizer) -> torch.optim.Optimizer:
    """The optimizer that the config names, over all parameters of `net`."""
    if settings.name == "sgd":
        return torch.optim.SGD(
            net.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )
    beta1, beta2 = settings.betas
    adam = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return adam(net.parameters(), lr=settings.lr, betas=(beta1, beta2), weight_decay=settings.weight_decay)
