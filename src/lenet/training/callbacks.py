"""What a run reports while it goes on: metrics.csv, TensorBoard, the line per epoch, examples per second."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from lenet.batches import batches, images_seen
from lenet.data.module import Batch, ImageData, epoch_seed, normalise
from lenet.errors import Diverged
from lenet.runs.directory import Row, RunDirectory
from lenet.system.signals import Signals
from lenet.training.blocks import POINTS_PER_EPOCH, updates_per_step
from lenet.training.module import Classifier, Totals
from lenet.training.sdlm import SDLM, diagonal_hessian

log = logging.getLogger(__name__)

GRADIENT_EVERY = 16  # updates from one measured gradient to the next; all of them would take a fiftieth of the time


class SeedEpochs(L.Callback):
    """Dropout and augmentation of an epoch start from (seed, epoch), so a resumed run draws the same as any other."""

    def __init__(self, data: ImageData) -> None:
        self.data = data

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        torch.manual_seed(epoch_seed(self.data.seed, trainer.current_epoch, "noise"))
        self.data.noise.manual_seed(epoch_seed(self.data.seed, trainer.current_epoch, "augmentation"))


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


def log_points(trainer: L.Trainer, metrics: dict[str, float], step: int) -> None:
    """A point of each curve, where the run keeps curves."""
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step)


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
        totals, settings = Totals().to(pl_module.device), self.data.data
        pl_module.eval()
        averaged = self.average.in_place(pl_module) if self.average else nullcontext()
        with torch.no_grad(), trainer.precision_plugin.forward_context(), averaged:
            for stored, labels in islice(self.data.test_dataloader(), batches(pl_module.config, "test")):
                (images, known), count = pl_module.share((stored, labels))
                logits = pl_module(normalise(images, settings.mean, settings.std, settings.pad))
                totals.update(logits[:count], known[:count], pl_module.loss(logits, known))
        pl_module.train()
        pl_module.metrics |= {f"test/{name}": value for name, value in totals.compute().items()}


def curves(row: Row) -> dict[str, float]:
    """The points that a row of metrics.csv has in TensorBoard."""
    return {name if "/" in name else f"train/{name}": value for name, value in row.items() if name != "epoch"}


class Bar(TQDMProgressBar):
    """Lightning's, whose epochs begin with 0; here, as in every line, table and plot, with 1."""

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")


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
        self.updates, self.total = updates_per_step(config), batches(config, "train")
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
