"""Small callbacks of every run: seeding of epochs, how it ends early, examples per second, the progress bar."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from lenet.batches import batches_in, updates_per_step
from lenet.config import Config, EarlyStopping
from lenet.data.files import Batch
from lenet.data.module import ImageData
from lenet.data.seeds import epoch_seed
from lenet.runs.metrics import Row
from lenet.system.signals import Signals
from lenet.training.epoch_log import log_points
from lenet.training.module import Classifier
from lenet.training.stopping import stopped_early

log = logging.getLogger(__name__)


# Callbacks that somebody brings along: what makes one for a run.
FURTHER_CALLBACKS: list[Callable[[Config], L.Callback]] = []


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


class StopEarly(L.Callback):
    """Ends the training where the rows of metrics.csv say so."""

    def __init__(self, settings: EarlyStopping, rows: Sequence[Row], min_epochs: int | None = None) -> None:
        self.settings, self.rows, self.min_epochs = settings, rows, min_epochs

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if stopped_early(self.settings, self.rows, self.min_epochs):
            trainer.should_stop = True


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
    """Lightning's, but that epochs begin with 1, as in every line, table and plot, and that it counts batches.

    Lightning counts its own steps. Where one of them is for many batches it would stand still for most of an epoch.
    """

    def init_train_tqdm(self) -> Tqdm:
        self._is_by_update = updates_per_step(self._config) > 1
        return Tqdm(
            desc=self._epoch(),
            total=batches_in(self._config, self.trainer.current_epoch),
            unit=" batches",
            miniters=1,  # how often it is drawn is a matter of time alone
            smoothing=0,
            position=2 * self.process_position,
            disable=self.is_disabled,
            leave=True,
            dynamic_ncols=True,
            file=sys.stdout,
            bar_format=self.BAR_FORMAT,
        )

    def init_validation_tqdm(self) -> Tqdm:
        """Below the cell of a notebook nothing goes up to the line before, so there is but the one bar."""
        return super().init_validation_tqdm() if sys.stdout.isatty() else Tqdm(disable=True)

    def init_test_tqdm(self) -> Tqdm:
        return super().init_test_tqdm() if sys.stdout.isatty() else Tqdm(disable=True)

    def on_exception(self, *_: Any) -> None:
        """A bar of a run that has stopped would be drawn again by the next one in the same process."""
        if self._train_progress_bar is not None:
            self._train_progress_bar.close()

    def on_train_epoch_start(self, *_: Any) -> None:
        self.train_progress_bar.set_description(self._epoch(), refresh=False)
        self.train_progress_bar.reset(batches_in(self._config, self.trainer.current_epoch))

    def on_before_optimizer_step(self, *_: Any) -> None:
        if self._is_by_update:
            self.train_progress_bar.update()

    def on_train_batch_end(self, *_: Any) -> None:
        if not self._is_by_update:
            self.train_progress_bar.update()

    def _epoch(self) -> str:
        return f"epoch {self.trainer.current_epoch + 1}/{self.trainer.max_epochs}"

    @property
    def _config(self) -> Config:
        model = self.trainer.lightning_module
        assert isinstance(model, Classifier)
        return model.config
