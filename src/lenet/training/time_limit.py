"""What ends a run before its last epoch, beside a signal."""

from time import monotonic
from typing import Any

import lightning as L

from lenet.bounds import seconds
from lenet.config import Trainer
from lenet.errors import TimeUp
from lenet.system.ranks import is_first


class StopInTime(L.Callback):
    """Ends this start of a run between two steps once trainer.max_time is over, but not before trainer.min_epochs.

    An epoch whose last step is done is validated and kept. Where several processes train one net the first one decides:
    the others end when it leaves them.

    Raises:
        TimeUp: it is over.
    """

    def __init__(self, settings: Trainer) -> None:
        self.settings = settings
        self.limit = seconds(settings.max_time or "") or 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started, self.first = monotonic(), trainer.current_epoch

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        epoch = trainer.current_epoch
        if epoch < (self.settings.min_epochs or 0) or monotonic() - self.started < self.limit or not is_first():
            return
        words = f"trainer.max_time={self.settings.max_time} is over"
        raise TimeUp(words if epoch > self.first else f"{words} before the end of one epoch, so give more")


def stop_in_time(settings: Trainer) -> list[L.Callback]:
    """The callback, where the run has a limit."""
    return [] if settings.max_time is None else [StopInTime(settings)]
