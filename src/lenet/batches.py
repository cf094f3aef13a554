"""How many images, batches and updates a run has. Imports no torch."""

import math
from decimal import Decimal

from lenet.config import Config, Data, value_of
from lenet.datasets import data_set
from lenet.models.sizes import size_of

# Images; evaluation keeps nothing for a backward pass, so a batch may be larger than in training.
EVALUATION_BATCH = 1000
FEW_IMAGES = 8  # in a batch: so few that other arithmetic is faster than for many
MOST_UPDATES = 256  # that the Trainer sees as one step
MOST_WORK = 6e9  # multiply-accumulates forward in one step of the Trainer: about a second on two cores
POINTS_PER_EPOCH = 5  # of train/loss within an epoch, as in the book's plot


def validation_size(data: Data) -> int:
    """Images of the official training set that are held out."""
    return round(data_set(data).training_images * data.val_fraction)


def training_size(data: Data) -> int:
    """Images to train on: as many as data.train_size says, or all that are not held out."""
    return data.train_size or data_set(data).training_images - validation_size(data)


def batches(config: Config, split: str) -> int:
    """Batches of one pass over the train, val or test images, the Trainer's limits included."""
    few = overfitted(config)
    if split == "train":
        images, size = few or training_size(config.data), config.data.batch_size
    elif split == "val":
        images, size = few or validation_size(config.data), EVALUATION_BATCH
    else:
        images, size = data_set(config.data).test_images, EVALUATION_BATCH
    count = images // size if split == "train" and config.data.drop_last else math.ceil(images / size)
    limit = value_of(config, f"trainer.limit_{split}_batches")
    if isinstance(limit, float):
        count = int(count * limit)
    elif limit is not None:
        count = min(count, limit)
    return min(count, 1) if config.trainer.fast_dev_run else count


def overfitted(config: Config) -> int | None:
    """Training images to train and to validate on, where trainer.overfit_batches asks for the same few."""
    few = config.trainer.overfit_batches
    return None if few is None else min(int(few) * config.data.batch_size, training_size(config.data))


def updates_per_epoch(config: Config) -> int:
    """Updates of the weights in a whole epoch."""
    return math.ceil(batches(config, "train") / config.trainer.accumulate_grad_batches)


def updates(config: Config) -> int:
    """Updates of the weights in the whole run."""
    return config.trainer.max_steps or updates_per_epoch(config) * config.trainer.max_epochs


def warmup_updates(config: Config) -> int:
    """Updates of the epochs in which the learning rate rises before its schedule begins."""
    return updates_per_epoch(config) * config.schedule.warmup_epochs


def first_averaged(config: Config) -> int | None:
    """The first epoch, counted from 1, whose weights go into their mean (optimizer.swa_start); None without one."""
    start = config.optimizer.swa_start
    return math.floor(Decimal(str(start)) * epochs(config)) + 1 if isinstance(start, float) else start


def epochs(config: Config) -> int:
    """Epochs of the whole run; the last one is shorter where trainer.max_steps ends within it."""
    if config.trainer.fast_dev_run:
        return 1
    if config.trainer.max_steps is None:
        return config.trainer.max_epochs
    return math.ceil(config.trainer.max_steps / max(1, updates_per_epoch(config)))


def batches_in(config: Config, epoch: int) -> int:
    """Training batches of an epoch, counted from 0: of the last one those that trainer.max_steps leaves."""
    whole = batches(config, "train")
    if config.trainer.max_steps is None:
        return whole
    left = config.trainer.max_steps - epoch * updates_per_epoch(config)
    return max(0, min(whole, left * config.trainer.accumulate_grad_batches))


def ends_within_an_epoch(config: Config) -> bool:
    """Whether the last epoch is shorter than the others."""
    return batches_in(config, epochs(config) - 1) < batches(config, "train")


def stops_early(config: Config) -> bool:
    """Whether something may stop the run before its last epoch, other than a signal or a failure."""
    return config.trainer.max_time is not None or config.early_stopping.patience is not None


def images_seen(config: Config, whole_epochs: int, more_batches: int = 0) -> int:
    """Training images seen after whole epochs and some batches of the next one."""
    size = config.data.batch_size
    per_epoch = min(batches(config, "train") * size, training_size(config.data))
    return whole_epochs * per_epoch + min(more_batches * size, per_epoch)


def batch_sizes(config: Config) -> list[int]:
    """Images in the batches of an epoch: in all but the last one, and in the last one where it has fewer."""
    whole, rest = divmod(training_size(config.data), config.data.batch_size)
    return [config.data.batch_size] * (whole > 0) + [rest] * (rest > 0 and not config.data.drop_last)


def validates(config: Config) -> bool:
    """Whether there are validation images."""
    return config.data.val_fraction > 0 and config.trainer.limit_val_batches != 0


def validated_every(config: Config) -> int | None:
    """Epochs from one validation to the next, and so to the first; None where there is none."""
    if not validates(config):
        return None
    return 1 if config.trainer.fast_dev_run else config.trainer.check_val_every_n_epoch


def updates_per_step(config: Config) -> int:
    """How many updates one step of the Trainer makes: one, but many where they take little time.

    Lightning takes 1 to 2 ms around each of its steps: a tenth of an update of the book's net, and twice what LeNet-5
    needs for one on a single image. What is logged within an epoch falls on the end of a step, and a signal is heeded
    there; nothing else depends on this. It is one where something has to be done after every update: a mean of the
    weights changes, or several devices exchange their gradients.
    """
    trainer = config.trainer
    if trainer.accumulate_grad_batches > 1 or trainer.gradient_clip_val or config.optimizer.ema_decay:
        return 1
    if trainer.profiler == "pytorch":  # which records some steps
        return 1
    if (trainer.devices, trainer.num_nodes, trainer.strategy) != (1, 1, "auto"):
        return 1
    every = trainer.log_every_n_steps or max(1, batches(config, "train") // POINTS_PER_EPOCH)
    _, macs = size_of(config)
    most = max(1, min(MOST_UPDATES, int(MOST_WORK / (max(1, macs) * config.data.batch_size))))
    return math.ceil(every / math.ceil(every / most))  # so that steps end where a point is due, or soon after
