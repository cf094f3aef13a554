"""The LightningModule: a net, its loss, its steps, its optimizer."""

import logging
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lenet.batches import FEW_IMAGES
from lenet.config import Config
from lenet.data.files import Batch
from lenet.datasets import data_set
from lenet.models.build import build_net
from lenet.training.losses import Loss
from lenet.training.metrics import Totals
from lenet.training.optimizers import WarmUp, build_optimizer, build_schedules
from lenet.training.shards import ShardedModule

NO_CUDA = "No CUDA runtime is found, using CUDA_HOME"


def _is_of_use(record: logging.LogRecord) -> bool:
    """False for what torch's compiler says where there are CUDA's files and no GPU, also where it needs neither."""
    return not record.getMessage().startswith(NO_CUDA)


class Classifier(ShardedModule):
    """Trains `self.net` to make `self.loss` small.

    After each epoch, validation and test `self.metrics` holds train/loss, train/acc, val/loss and so on; the Trainer
    sees the same, rounded to float32. `train/*` is counted on the fly, while the weights change, as in the book.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.net = build_net(config)
        if config.data.batch_size > FEW_IMAGES:
            # Convolutions are 1.2 to 2 times faster on a CPU with the channels as the last axis.
            self.net.to(memory_format=torch.channels_last)
        if config.trainer.precision in ("64-true", "64"):
            self.net.double()  # as Lightning will, but after it has read a checkpoint into what is here now
        if config.compile:
            logging.getLogger("torch.utils.cpp_extension").addFilter(_is_of_use)
            self.net.compile()  # the net alone: what Lightning logs cannot be compiled
        self.loss = Loss(config.loss)
        classes = len(data_set(config.data).classes)
        self.train_totals, self.val_totals, self.test_totals = (Totals(classes) for _ in range(3))
        self.metrics: dict[str, float] = {}

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of normalised images (n, 1, size, size)."""
        logits: Tensor = self.net(images.to(self.dtype))  # which trainer.precision may have changed
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One update. A small net trains by `lenet.training.blocks` instead, which makes many of them in one step."""
        loss, _ = self.step(batch, self.train_totals)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the logits, for callbacks to look at."""
        _, logits = self.step(batch, self.val_totals)
        return self.gathered(logits, len(batch[1]))

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the logits, for callbacks to look at."""
        _, logits = self.step(batch, self.test_totals)
        return self.gathered(logits, len(batch[1]))

    def step(self, batch: Batch, totals: Totals) -> tuple[Tensor, Tensor]:
        """The loss of this process's share of a batch and its logits; `totals` counts them."""
        (images, labels), count = self.shard(batch)
        logits = self(images)
        loss = self.loss(logits, labels, self.training)
        totals.update(logits[:count], labels[:count], loss)  # also of none: whoever adds up the totals waits for all
        return self.weighted(loss, count, len(batch[1])), logits

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = build_optimizer(self.net, self.config.optimizer)
        schedules = build_schedules(optimizer, self.config)
        if self.automatic_optimization:
            for schedule in schedules:
                # Lightning would change the learning rate after the epoch's checkpoint, which then knows nothing of it.
                schedule["reduce_on_plateau"] = False
        return [optimizer], schedules  # type: ignore[return-value]  # its annotation leaves dictionaries out

    def lr_scheduler_step(self, scheduler: LRScheduler, metric: Any = None) -> None:
        """After an update or an epoch: a warm-up has the first of them, and a schedule those that are left."""
        # Lightning's own count of updates begins anew where a resumed run takes other steps than before.
        is_rising = self.current_epoch < self.config.schedule.warmup_epochs
        if isinstance(scheduler, WarmUp) == is_rising and not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()

    def on_train_epoch_start(self) -> None:
        self.metrics.clear()  # an epoch may be without validation
        self.train_totals.reset()

    def on_validation_epoch_start(self) -> None:
        self.val_totals.reset()

    def on_test_epoch_start(self) -> None:
        self.test_totals.reset()

    def on_train_epoch_end(self) -> None:
        self._publish("train", self.train_totals)
        if self.current_epoch < self.config.schedule.warmup_epochs:
            return
        for schedule in self.trainer.lr_scheduler_configs:
            # An epoch without validation has no val/loss, and the schedule does not count it.
            loss = self.metrics.get(self.config.schedule.monitor)
            if isinstance(schedule.scheduler, ReduceLROnPlateau) and loss is not None:
                schedule.scheduler.step(loss)

    def on_validation_epoch_end(self) -> None:
        self._publish("val", self.val_totals)

    def on_test_epoch_end(self) -> None:
        self._publish("test", self.test_totals)

    def _publish(self, split: str, totals: Totals) -> None:
        metrics = {f"{split}/{name}": value for name, value in totals.compute().items()}
        self.metrics |= metrics
        self.log_dict(metrics, logger=False)
