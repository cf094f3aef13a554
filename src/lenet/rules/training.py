"""How a net is trained: the optimizer, the loss, and the Trainer's batches and devices."""

from dataclasses import replace

from lenet.batches import batches, first_averaged, validates
from lenet.config import FIRST_AVERAGED, OPTIMIZER_FACTS, Config, Loss, value_of
from lenet.errors import Complaints
from lenet.rules.stopping import last_epoch


def optimizer_rules(config: Config) -> Complaints:
    optimizer, precision = config.optimizer, config.trainer.precision
    if optimizer.momentum and optimizer.name in OPTIMIZER_FACTS and optimizer.name not in ("sgd", "rmsprop"):
        yield (
            "optimizer.momentum",
            f"{optimizer.name} has no momentum of its own; leave it at 0, or set optimizer.name=sgd",
        )
    if optimizer.nesterov and optimizer.name == "rmsprop":
        yield "optimizer.nesterov", "rmsprop has none; leave it false, or set optimizer.name=sgd"
    if optimizer.nesterov and not optimizer.momentum:
        yield "optimizer.nesterov", "it needs optimizer.momentum above 0"
    if len(optimizer.betas) != 2 or not all(0 <= beta < 1 for beta in optimizer.betas):
        yield "optimizer.betas", "give two numbers from 0 up to, not including, 1"
    if optimizer.name == "sdlm" and optimizer.weight_decay:
        yield "optimizer.weight_decay", "sdlm has none; leave it at 0, or take another optimizer"
    if not optimizer.decay_biases and not optimizer.weight_decay:
        yield (
            "optimizer.decay_biases",
            "without optimizer.weight_decay nothing decays; set it above 0, or leave this true",
        )
    for name in ("ema_decay", "swa_start"):
        if getattr(optimizer, name) is not None and precision in ("16-true", "bf16-true"):
            yield (
                f"optimizer.{name}",
                f"trainer.precision={precision} has too few bits for a mean of many weights; set one of them otherwise",
            )
    first = first_averaged(config)
    if first is not None and not 1 <= first <= last_epoch(config):
        yield "optimizer.swa_start", FIRST_AVERAGED
    if first is not None and optimizer.ema_decay is not None:
        yield "optimizer.swa_start", "optimizer.ema_decay is another mean of the weights; leave out one of the two"
    if optimizer.name == "sdlm" and config.model.kind not in ("lenet", "lenet5"):
        yield "optimizer.name", "it knows the second derivatives of LeNets alone; take another optimizer"
    if optimizer.name == "sdlm" and config.model.norm != "none":
        yield (
            "model.norm",
            "sdlm knows no second derivatives through it; set model.norm=none, or take another optimizer",
        )


def loss_rules(config: Config) -> Complaints:
    loss = config.loss
    if loss.name != "cross_entropy" and config.model.kind != "lenet5":
        yield (
            "loss.name",
            "it measures the distances that LeNet-5 gives out; set loss.name=cross_entropy, or take "
            "experiment=lenet5_1998",
        )
    if loss.name != "map" and loss.j != Loss().j:
        yield "loss.j", f"loss.name={loss.name} has no j; set loss.name=map, or leave it out"
    if loss.name != "cross_entropy" and loss.label_smoothing:
        yield (
            "loss.label_smoothing",
            f"loss.name={loss.name} has none; leave it at 0, or set loss.name=cross_entropy",
        )


def trainer_rules(config: Config) -> Complaints:
    for split in ("train", "val", "test"):
        key = f"trainer.limit_{split}_batches"
        value = value_of(config, key)
        if isinstance(value, float) and value > 1:
            yield key, "give an integer number of batches, or a share of them from 0.0 to 1.0"
        is_wanted = split == "train" or not (value == 0 or (split == "val" and config.data.val_fraction == 0))
        if is_wanted and not batches(config, split):
            yield key, "that is less than one batch; give more"


def overfitting_rules(config: Config) -> Complaints:
    key, settings = "trainer.overfit_batches", config.trainer
    few = settings.overfit_batches
    if few is None:
        return
    for other in ("limit_train_batches", "limit_val_batches"):
        if getattr(settings, other) is not None:
            yield f"trainer.{other}", f"{key}={few} says how many batches there are; leave out one of the two"
    available = batches(replace(config, trainer=replace(settings, overfit_batches=None)), "train")
    if isinstance(few, float):
        meant = f": of {available:,} that would be {max(1, round(few * available)):,}" if 0 < few <= 1 else ""
        yield key, f"give a whole number of batches{meant}"
    if not 1 <= few <= available:
        yield key, f"give a number from 1 to {available:,}, which is all, or null"
    if settings.fast_dev_run:
        yield key, "trainer.fast_dev_run=true takes one batch; leave out one of the two"


def test_rules(config: Config) -> Complaints:
    if config.test_each_epoch and config.trainer.limit_test_batches == 0:
        yield "test_each_epoch", "trainer.limit_test_batches=0 leaves nothing to test on; set one of them otherwise"
    if config.test_each_epoch and config.test_on != "last":
        yield (
            "test_each_epoch",
            "the test set would be seen before the best epoch is chosen; set test_on=last, or leave it false",
        )
    if config.test_on != "last" and not validates(config):
        yield (
            "test_on",
            "without validation images there is no best epoch; set test_on=last, or data.val_fraction above 0",
        )
