"""A row of metrics.csv, a point of each curve and a line of text for every epoch."""

import logging
import math
import time
from typing import Any

import lightning as L
import torch
from torch import Tensor

from lenet.batches import POINTS_PER_EPOCH, batches_in, images_seen, updates_per_step
from lenet.data.files import Batch
from lenet.errors import Diverged
from lenet.runs.directory import RunDirectory
from lenet.runs.metrics import Row, curves
from lenet.training.module import Classifier
from lenet.training.sdlm import SDLM

log = logging.getLogger(__name__)

GRADIENT_EVERY = 16  # updates from one measured gradient to the next; all of them would take a fiftieth of the time


def log_points(trainer: L.Trainer, metrics: dict[str, float], step: int) -> None:
    """A point of each curve, where the run keeps curves."""
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step)


class EpochLog(L.Callback):
    """A row of metrics.csv, a point of each curve in TensorBoard and a line of text for every epoch.

    In TensorBoard the x-axis is the epoch, counted from 1, so that runs with different batch sizes line up; the loss
    within an epoch, a running mean as in the book's plot, has the number of images seen.

    Raises:
        Diverged: the training loss is not finite.
    """

    def __init__(self, run: RunDirectory, rows: list[Row], every: int | None) -> None:
        """`rows` are those of earlier epochs; `every` is the number of batches between two points within an epoch."""
        self.run, self.rows, self.every = run, rows, every

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        config = pl_module.config
        self.updates, self.total = updates_per_step(config), batches_in(config, trainer.current_epoch)
        self.interval = self.every or max(1, self.total // POINTS_PER_EPOCH)
        self.updated = 0
        self.norms: list[Tensor] = []
        self.started = time.perf_counter()

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.lr = optimizer.param_groups[0]["lr"]  # after the step the schedule has moved on
        if self.updated % GRADIENT_EVERY == 0:
            gradients = [p.grad.float() for p in pl_module.parameters() if p.grad is not None]
            self.norms.append(torch.nn.utils.get_total_norm(gradients))
        self.updated += 1

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Classifier)
        before, done = batch_idx * self.updates, min((batch_idx + 1) * self.updates, self.total)
        if done // self.interval == before // self.interval:
            return
        loss = pl_module.train_totals.compute()["loss"]
        self._check(loss, trainer)
        seen = images_seen(pl_module.config, trainer.current_epoch, done)
        log_points(trainer, {"train/loss_within_epoch": loss}, seen)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        # Lightning asks the callbacks before the module, so the module has not published these yet.
        metrics = {f"train/{name}": value for name, value in pl_module.train_totals.compute().items()}
        metrics |= {name: value for name, value in pl_module.metrics.items() if name.startswith(("val/", "test/"))}
        self._check(metrics["train/loss"], trainer)
        epoch = trainer.current_epoch + 1
        row: Row = {"epoch": epoch, "lr": self.lr}
        optimizer = trainer.optimizers[0]
        if isinstance(optimizer, SDLM):  # the smallest and the largest of all weights
            # A scaler of gradients may have skipped every step.
            by_weight = optimizer.last_rates or optimizer.rates()
            rates = torch.cat([rates.flatten() for rates in by_weight.values()])
            row |= {"lr_min": rates.min().item(), "lr_max": rates.max().item()}
        norms = torch.stack(self.norms)
        row["grad_norm"] = norms[norms.isfinite()].mean().item()  # a scaler of gradients leaves out those that are not
        self.rows.append(row | metrics)
        if not trainer.is_global_zero:
            return
        self.run.write_metrics(self.rows)
        log_points(trainer, curves(self.rows[-1]), epoch)
        shown = "  ".join(f"{name.replace('/', ' ')} {value:.3f}" for name, value in metrics.items())
        seconds = time.perf_counter() - self.started
        log.info("epoch %d/%s  %s  %.1f s", epoch, trainer.max_epochs, shown, seconds)

    @staticmethod
    def _check(loss: float, trainer: L.Trainer) -> None:
        if not math.isfinite(loss):
            lr = trainer.optimizers[0].param_groups[0]["lr"]
            raise Diverged(
                f"the training loss became {loss} in epoch {trainer.current_epoch + 1} at a learning rate of {lr:g}; "
                "try a smaller optimizer.lr"
            )
