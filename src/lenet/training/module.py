"""The LightningModule: a net, its loss, its optimizer, and what is counted while it trains."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics.utilities.distributed import gather_all_tensors

from lenet.batches import updates
from lenet.config import Config
from lenet.data.files import Batch
from lenet.data.module import ImageData
from lenet.models.build import build_net
from lenet.training.blocks import FEW_IMAGES, updates_per_step
from lenet.training.losses import Loss
from lenet.training.metrics import Totals
from lenet.training.optimizers import build_optimizer, factor


class Classifier(L.LightningModule):
    """Trains `self.net` to make `self.loss` small.

    After each part `self.metrics` holds train/loss, train/acc, val/loss and so on; the Trainer sees the same, rounded
    to float32. `train/*` is counted on the fly, while the weights change, as in the book.
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
            self.net.compile()  # the net alone: what Lightning logs cannot be compiled
        self.loss = Loss(config.loss)
        self.automatic_optimization = updates_per_step(config) == 1
        self.train_totals, self.val_totals, self.test_totals = Totals(), Totals(), Totals()
        self.metrics: dict[str, float] = {}

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 10) of normalised images (n, 1, side, side)."""
        logits: Tensor = self.net(images.to(self.dtype))  # which trainer.precision may have changed
        return logits

    @property
    def processes(self) -> int:
        """That train this net together."""
        return self._trainer.world_size if self._trainer else 1

    def share(self, batch: Batch) -> tuple[Batch, int]:
        """What this process is to do of a batch, and of how many images that is: all, or one in so many as there are.

        Of fewer images than processes some have none to count; those are given one all the same, to keep in step.
        """
        if self.processes == 1:
            return batch, len(batch[1])
        images, labels = (part[self.global_rank :: self.processes] for part in batch)
        count = len(labels)
        return ((images, labels) if count else (batch[0][:1], batch[1][:1])), count

    def _step(self, batch: Batch, totals: Totals) -> tuple[Tensor, Tensor]:
        """The loss, so weighted that its mean over the processes is that of the batch; and the logits of the share."""
        (images, labels), count = self.share(batch)
        logits = self(images)
        loss = self.loss(logits, labels, self.training)
        totals.update(logits[:count], labels[:count], loss)  # also of none: whoever adds up the totals waits for all
        if self.processes > 1:
            loss = loss * (count * self.processes / len(batch[1]))
        return loss, logits

    def _all(self, logits: Tensor, size: int) -> Tensor:
        """The logits (size, classes) of a batch from those that each process has of its share."""
        if len(logits) == size:
            return logits
        whole = logits.new_empty(size, *logits.shape[1:])
        for rank, share in enumerate(gather_all_tensors(logits)):
            place = whole[rank :: self.processes]
            place.copy_(share[: len(place)])
        return whole

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        if self.automatic_optimization:
            return self._step(batch, self.train_totals)[0]
        # A block of updates, each as the Trainer makes it.
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # Lightning's annotations leave it out
        assert isinstance(optimizer, LightningOptimizer)
        assert isinstance(data, ImageData)
        for piece in data.pieces(batch):
            optimizer.zero_grad()
            self.manual_backward(self._step(piece, self.train_totals)[0])
            optimizer.step()
            if isinstance(scheduler, LRScheduler) and self.config.schedule.name != "steps":
                scheduler.step()
        return None

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the logits, for callbacks to look at."""
        return self._all(self._step(batch, self.val_totals)[1], len(batch[1]))

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Likewise."""
        return self._all(self._step(batch, self.test_totals)[1], len(batch[1]))

    def on_train_epoch_start(self) -> None:
        self.train_totals.reset()

    def on_validation_epoch_start(self) -> None:
        self.val_totals.reset()

    def on_test_epoch_start(self) -> None:
        self.test_totals.reset()

    def on_train_epoch_end(self) -> None:
        self._publish("train", self.train_totals)
        scheduler = self.lr_schedulers()
        if not self.automatic_optimization and self.config.schedule.name == "steps":
            assert isinstance(scheduler, LRScheduler)
            scheduler.step()

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
        if schedule.name == "steps":
            changes = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: factor(schedule, epoch))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": changes, "interval": "epoch"}}
        steps = updates(self.config)
        scheduler: Any
        if schedule.name == "cosine":
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        elif schedule.name != "one_cycle":
            raise ValueError(f"schedule.name={schedule.name}: no such schedule")
        else:
            scheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, self.config.optimizer.lr, steps, pct_start=schedule.warmup, cycle_momentum=False
            )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
