"""What a run reports while it goes on: metrics.csv, TensorBoard, the line per epoch, examples per second."""

import logging
import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import TQDMProgressBar

from lenet.data.files import Batch
from lenet.data.module import ImageData
from lenet.data.seeds import epoch_seed
from lenet.system.signals import Signals
from lenet.training.epoch_log import log_points

log = logging.getLogger(__name__)


class SeedEpochs(L.Callback):
    """Dropout and augmentation of an epoch start from (seed, epoch), so a resumed run draws the same as any other."""

    def __init__(self, data: ImageData) -> None:
        self.data = data

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        torch.manual_seed(epoch_seed(self.data.seed, trainer.current_epoch, "noise"))
        self.data.noise.manual_seed(epoch_seed(self.data.seed, trainer.current_epoch, "augmentation"))


class StopAfterStep(L.Callback):
    """Lets a signal end the run between two steps, of training or of evaluation, and never within one."""

    def __init__(self, signals: Signals) -> None:
        self.signals = signals

    def on_train_start(self, *_: Any) -> None:
        # Lightning has put a handler before ours that makes all processes wait for each other, wherever they are.
        self.signals.handle()

    def on_test_start(self, *_: Any) -> None:
        self.signals.handle()

    def on_train_batch_end(self, *_: Any) -> None:
        self.signals.check()

    def on_validation_batch_end(self, *_: Any) -> None:
        self.signals.check()

    def on_test_batch_end(self, *_: Any) -> None:
        self.signals.check()


class Throughput(L.Callback):
    """Training images per second as the book counts them: all steps, but neither loading of data nor evaluation.

    Each epoch's goes to TensorBoard as train/examples_per_sec. A GPU works through what was launched earlier, so there
    it is the time from the first step of an epoch to the end of the last.
    """

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0

    @property
    def examples_per_sec(self) -> float:
        return self.images / self.seconds if self.seconds else 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._before = (self.images, self.seconds)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        if batch_idx == 0 or pl_module.device.type == "cpu":
            self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.images += len(batch[1])
        if pl_module.device.type == "cpu":
            self.seconds += time.perf_counter() - self._started
        elif batch_idx + 1 == trainer.num_training_batches:
            torch.accelerator.synchronize(pl_module.device)
            self.seconds += time.perf_counter() - self._started

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        images, seconds = self.images - self._before[0], self.seconds - self._before[1]
        if seconds:
            log_points(trainer, {"train/examples_per_sec": images / seconds}, trainer.current_epoch + 1)


class Bar(TQDMProgressBar):
    """Lightning's, whose epochs begin with 0; here, as in every line, table and plot, with 1."""

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")
