"""Blocks of updates: many that Lightning sees as one step, since each of its steps takes longer than a small net."""

from lightning.pytorch.core.optimizer import LightningOptimizer

from lenet.batches import updates_per_step
from lenet.config import Config
from lenet.data.files import Batch
from lenet.data.module import ImageData
from lenet.training.module import Classifier


class BlockClassifier(Classifier):
    """A Classifier whose training step makes as many updates as a block has batches, each as the Trainer makes it."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.automatic_optimization = False

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        optimizer = self.optimizers()
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # Lightning's annotations leave it out
        assert isinstance(optimizer, LightningOptimizer)
        assert isinstance(data, ImageData)
        for part in data.batches_of(batch):
            optimizer.zero_grad()
            self.manual_backward(self.step(part, self.train_totals)[0])
            optimizer.step()
            self._step_schedules("step")

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self._step_schedules("epoch")

    def _step_schedules(self, interval: str) -> None:
        """What Lightning does by itself where it makes the updates."""
        for schedule in self.trainer.lr_scheduler_configs:
            if schedule.interval == interval:
                self.lr_scheduler_step(schedule.scheduler)


def build_classifier(config: Config) -> Classifier:
    """What trains the net of a run: with blocks where they save time."""
    return BlockClassifier(config) if updates_per_step(config) > 1 else Classifier(config)
