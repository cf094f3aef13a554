"""Blocks of updates: many that Lightning sees as one step, since each of its steps takes longer than a small net."""

import math

from lenet.batches import (
    batches,
)
from lenet.config import Config
from lenet.models.layers import size_of

FEW_IMAGES = 8  # in a batch: so few that other arithmetic is faster than for many


MOST_UPDATES = 256  # that the Trainer sees as one step


MOST_WORK = 6e9  # multiply-accumulates forward in one step of the Trainer: about a second on two cores


POINTS_PER_EPOCH = 5  # of train/loss within an epoch, as in the book's plot


def updates_per_step(config: Config) -> int:
    """How many updates one step of the Trainer makes: one, but many where they take little time.

    Lightning takes 1 to 2 ms around each of its steps: a tenth of an update of the book's net, and twice what LeNet-5
    needs for one on a single image. What is logged within an epoch falls on the end of a step, and a signal is heeded
    there; nothing else depends on this. A mean of the weights has to see every update, and so have several devices,
    which exchange their gradients.
    """
    trainer = config.trainer
    if trainer.accumulate_grad_batches > 1 or trainer.gradient_clip_val or config.optimizer.ema_decay:
        return 1
    if (trainer.devices, trainer.num_nodes, trainer.strategy) != (1, 1, "auto"):
        return 1
    every = trainer.log_every_n_steps or max(1, batches(config, "train") // POINTS_PER_EPOCH)
    _, macs = size_of(config)
    most = max(1, min(MOST_UPDATES, int(MOST_WORK / (macs * config.data.batch_size))))
    return math.ceil(every / math.ceil(every / most))  # so that steps end where a point is due, or soon after
