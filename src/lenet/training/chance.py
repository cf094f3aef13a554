"""Whether a net has learned anything at all, and what to try where it has not. Imports no torch."""

from collections.abc import Mapping
from math import log

from lenet.batches import EVALUATION_BATCH, batches, epochs, images_seen, overfitted, updates, validation_size
from lenet.config import Config, optimizer_facts
from lenet.datasets import data_set
from lenet.text import are, counted

LUCK = 0.001  # how likely it is, at most, that guesses are taken for something learned

FEW = 1000  # updates, within which a net of sigmoids has hardly begun


def is_guessing(accuracy: float, images: int, classes: int) -> bool:
    """Whether guesses among `classes` reach this accuracy on so many images with a probability above `LUCK`.

    By Chernoff's bound on the binomial distribution: of n guesses, each right with probability p < q, a share of q or
    more is right with probability exp(-n KL(q || p)) at most.
    """
    p, q = 1 / classes, accuracy
    if q <= p or images == 0:
        return True
    divergence = q * log(q / p) + ((1 - q) * log((1 - q) / (1 - p)) if q < 1 else 0)
    return images * divergence < -log(LUCK)


def at_chance(config: Config, metrics: Mapping[str, float]) -> bool | None:
    """Whether a run's accuracy is that of guesses: of the test or, without one, of validation or training."""
    counts = {
        "test": min(batches(config, "test") * EVALUATION_BATCH, data_set(config.data).test_images),
        "val": min(batches(config, "val") * EVALUATION_BATCH, overfitted(config) or validation_size(config.data)),
        "train": images_seen(config, 1),
    }
    classes = len(data_set(config.data).classes)
    measured = [(metrics[f"{split}/acc"], images) for split, images in counts.items() if f"{split}/acc" in metrics]
    return is_guessing(*measured[0], classes) if measured and classes > 1 else None


def remedy(config: Config, done: int) -> str:
    """What most likely helps a net that has learned nothing in the epochs that are done."""
    optimizer, model = config.optimizer, config.model
    sigmoids = model.kind == "lenet" and model.activation == "sigmoid"
    large, step = optimizer_facts(optimizer.name).large_lr, optimizer.lr
    if optimizer.name == "sgd":
        large, step = (1.5 if sigmoids else large), optimizer.lr / (1 - optimizer.momentum)
    if step > large:
        smaller = 0.1 if optimizer.name == "sgd" and not sigmoids else large / 3
        share = 1 - optimizer.momentum if optimizer.name == "sgd" else 1
        return f"the learning rate may be too large: try optimizer.lr={smaller * share:.2g}"
    count, modern = updates(config), "model=modern optimizer=sgd optimizer.lr=0.1"
    if done < epochs(config):
        patience = config.early_stopping.patience
        longer = f"try early_stopping.patience=null, or more than {patience}" if patience else "let it go on for longer"
        early = f"it ended early, after {done} of {counted(epochs(config), 'epoch')}: {longer}"
        return f"{early}, or {modern}" if sigmoids else early
    few = f"{counted(count, 'update')} {are(count)} few"
    if count < FEW and config.trainer.max_steps is not None:
        enough = f"{few}: try trainer.max_steps=null, or a larger one"
        return f"{enough}, or {modern}" if sigmoids else enough
    if count < FEW:
        more = max(config.trainer.max_epochs + 1, round(config.trainer.max_epochs * 2 * FEW / count))
        enough = f"{few}: try trainer.max_epochs={min(more, 1000)}"
        return f"{enough}, or {modern}" if sigmoids else enough
    if sigmoids:
        return (
            f"a net of sigmoids is slow to begin: try trainer.max_epochs={2 * config.trainer.max_epochs}, or {modern}"
        )
    return "sweep=learning_rate, with the same keys, tries other learning rates"
