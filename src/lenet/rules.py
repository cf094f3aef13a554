"""Which configs are legal: every value by itself, then what may not be together. Imports no torch.

Bounds and choices stand with their keys, in `lenet.config`. Each rule here yields complaints: a key and a remedy.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from lenet.batches import (
    EVALUATION_BATCH,
    batch_sizes,
    batches,
    epochs,
    first_averaged,
    stops_early,
    training_size,
    updates,
    updates_per_epoch,
    validates,
    validation_size,
)
from lenet.bounds import Bound, OneOf, seconds
from lenet.config import (
    FIRST_AVERAGED,
    OPTIMIZERS,
    OURS,
    Augment,
    Config,
    Dashboard,
    EarlyStopping,
    Loss,
    limits,
    schema,
    value_of,
)
from lenet.datasets import IMAGE_SIZE, data_set
from lenet.errors import BadInput
from lenet.models.layers import LENET5_SIZE
from lenet.models.sizes import layers_of
from lenet.runs.names import trouble
from lenet.runs.safe_io import fits
from lenet.text import counted, did_you_mean

Complaints = Iterator[tuple[str, str]]

LARGEST_NET = 100_000_000  # parameters; 400 MB, and as much again for their gradients
LARGEST_BATCH = 2_000_000_000  # outputs of all layers for a batch, 8 GB; the whole training set of the book's net fits

INITS = {
    "lenet": ("xavier_uniform", "default", "kaiming", "lecun", "normal"),
    "lenet5": ("sqrt_fan_in", "eblearn", "fan_in"),
}

# What LeNet-5 is: under model.kind=lenet5 these keys are legal with these values alone.
LENET5 = {
    "model.conv_channels": [6, 16],
    "model.convs_per_block": 1,
    "model.kernel_size": 5,
    "model.padding": 0,
    "model.activation": "scaled_tanh",
    "model.pool": "subsample",
    "model.norm": "none",
    "model.fc_sizes": [120, 84],
    "model.dropout": 0,
    "data.pad": (LENET5_SIZE - IMAGE_SIZE) // 2,
}


# Lightning's other loggers.
LOGGERS = {
    "tensorboard": "TensorBoard is written without it (dashboard.enabled); ",
    **dict.fromkeys(("aim", "comet", "neptune"), "Lightning's comes with --extend FILE.py (docs/extending.md), or "),
}

# Keys that one optimizer or schedule reads.
READERS = {
    "optimizer.alpha": "rmsprop",
    "optimizer.rho": "adadelta",
    "optimizer.mu": "sdlm",
    "optimizer.curvature_samples": "sdlm",
    "optimizer.curvature_memory": "sdlm",
    "schedule.gamma": "exponential",
    "schedule.monitor": "plateau",
    "schedule.patience": "plateau",
    "schedule.factor": "plateau",
}


def validate(config: Config) -> None:
    """Check every value by itself, then together.

    Raises:
        BadInput: the first thing found wrong: the key, the value, and what would be legal.
    """
    rules = (
        _values,
        _readers,
        _dashboard,
        _names,
        _data,
        _model,
        _training,
        _stopping,
        _overfitting,
        _schedule,
        _early_stopping,
        _test,
    )
    for rule in rules:
        for key, remedy in rule(config):
            raise BadInput(f"{key}={value_of(config, key)}: {remedy}")


def _readers(config: Config) -> Complaints:
    """Keys that one optimizer or schedule of ours reads: with another of ours they would be ignored without a word."""
    usual = Config()
    for key, reader in READERS.items():
        chooses = key.split(".")[0] + ".name"
        chosen = value_of(config, chooses)
        if chosen in OURS[chooses] and chosen != reader and value_of(config, key) != value_of(usual, key):
            yield key, f"{chooses}={chosen} has none; set {chooses}={reader}, or leave it out"


def _values(config: Config) -> Complaints:
    for key, kind in schema().items():  # OmegaConf looks at values, but not at what an interpolation makes of them
        if not fits(value_of(config, key), kind):
            yield key, "of another type than this key has"
    for key, limit in limits().items():
        value = value_of(config, key)  # null, where the key may have it
        for word in value if isinstance(value, list) else [value]:
            if isinstance(limit, OneOf) and word is not None and word not in limit:
                meant = LOGGERS.get(str(word)) if key == "logger" else None
                meant = meant or did_you_mean(str(word), limit)
                raise BadInput(f"{key}={word}: {meant}choose {', '.join(limit)}")
    for key, limit in limits().items():
        value = value_of(config, key)
        if isinstance(limit, Bound) and value is not None and not limit.holds(value):
            yield key, limit.remedy


def _dashboard(config: Config) -> Complaints:
    if not config.dashboard.enabled:
        for name in ("pictures_every", "histograms", "embedding"):
            if getattr(config.dashboard, name) != getattr(Dashboard(), name):
                yield (
                    f"dashboard.{name}",
                    "dashboard.enabled=false writes nothing for TensorBoard; leave out one of the two",
                )


def _names(config: Config) -> Complaints:
    for word in config.logger:
        if config.logger.count(word) > 1:
            raise BadInput(f"logger={','.join(config.logger)}: {word} stands there twice; give it once")
    if reason := trouble(config.name, longest=100):
        yield "name", f"it names a directory: {reason}"


def _data(config: Config) -> Complaints:
    data, images = config.data, data_set(config.data).training_images
    if not data.augment.erase and data.augment.erase_area != Augment().erase_area:
        yield "data.augment.erase_area", "nothing is erased; set data.augment.erase above 0, or leave it out"
    if not data.root:
        yield "data.root", "name the folder of the data files, such as data"
    held_out = validation_size(data)
    left, size = images - held_out, training_size(data)
    if left <= 0:
        yield "data.val_fraction", "no image is left to train on; give a smaller share"
    if data.train_size is not None and not 1 <= data.train_size <= images:
        yield "data.train_size", f"give an integer from 1 to {images}, or null for all"
    if size > left:
        yield (
            "data.train_size",
            f"data.val_fraction={data.val_fraction} leaves {left} to train on; give at most that, or null for all",
        )
    if data.val_fraction and not held_out:
        yield "data.val_fraction", "no image is held out; give 0 or a larger share"
    if data.drop_last and data.batch_size > size:
        yield (
            "data.batch_size",
            f"larger than the training set of {size}, and data.drop_last leaves out incomplete batches: nothing is "
            f"left; give at most {size}",
        )


def _model(config: Config) -> Complaints:
    model = config.model
    if not model.conv_channels:
        yield "model.conv_channels", "give at least one layer, such as [6]"
    for key in ("model.kernel_size", "model.padding", "model.convs_per_block"):
        value = value_of(config, key)
        if any(type(size) is not int for size in (value if isinstance(value, list) else [value])):
            limit = limits()[key]
            assert isinstance(limit, Bound)
            yield key, limit.remedy
    if model.norm == "batch" and min(batch_sizes(config)) == 1:
        yield (
            "data.batch_size",
            "model.norm=batch cannot normalise a batch of one image, which is what is left over; give another size, or "
            "data.drop_last=true",
        )
    inits = INITS.get(model.kind, INITS["lenet"])
    if model.init not in inits:
        yield "model.init", did_you_mean(model.init, inits) + "choose " + ", ".join(inits)
    if model.kind == "lenet5":
        for key, fixed in LENET5.items():
            if value_of(config, key) != fixed:
                yield key, f"LeNet-5 has {fixed}; give that"
    yield from _size(config)


def _size(config: Config) -> Complaints:
    model = config.model
    rows = layers_of(config)  # raises at the first layer that does not fit
    parameters = sum(row.parameters for row in rows)
    if parameters > LARGEST_NET:
        raise BadInput(
            f"model.conv_channels={model.conv_channels} model.fc_sizes={model.fc_sizes}: a net of {parameters:,} "
            f"parameters; give smaller layers, for {LARGEST_NET:,} at most"
        )
    outputs = sum(math.prod(row.shape) for row in rows)
    most = LARGEST_BATCH // outputs
    if most < EVALUATION_BATCH:
        yield (
            "model.conv_channels",
            f"for {EVALUATION_BATCH:,} images, as evaluation takes them, all layers together give out "
            f"{outputs * EVALUATION_BATCH:,} numbers; give fewer maps, for {LARGEST_BATCH:,} at most",
        )
    if config.data.batch_size > most:
        yield (
            "data.batch_size",
            f"all layers together give out {outputs:,} numbers for each image; give at most {most}, or fewer maps",
        )


def _training(config: Config) -> Complaints:
    optimizer, loss, precision = config.optimizer, config.loss, config.trainer.precision
    if optimizer.momentum and optimizer.name in OPTIMIZERS and optimizer.name not in ("sgd", "rmsprop"):
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
    if first is not None and not 1 <= first <= _last_epoch(config):
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
    yield from _trainer(config)


def _trainer(config: Config) -> Complaints:
    for split in ("train", "val", "test"):
        key = f"trainer.limit_{split}_batches"
        value = value_of(config, key)
        if isinstance(value, float) and value > 1:
            yield key, "give an integer number of batches, or a share of them from 0.0 to 1.0"
        is_wanted = split == "train" or not (value == 0 or (split == "val" and config.data.val_fraction == 0))
        if is_wanted and not batches(config, split):
            yield key, "that is less than one batch; give more"


def _last_epoch(config: Config) -> int:
    """With which the run would end; with trainer.fast_dev_run too, to which any config can be brought."""
    return config.trainer.max_epochs if config.trainer.fast_dev_run else epochs(config)


def _stopping(config: Config) -> Complaints:
    settings = config.trainer
    last, steps = _last_epoch(config), updates_per_epoch(config)
    if settings.max_steps is not None:
        if settings.fast_dev_run:
            yield "trainer.max_steps", "trainer.fast_dev_run=true makes one update; leave out one of the two"
        if settings.max_steps > settings.max_epochs * steps:
            yield (
                "trainer.max_steps",
                f"trainer.max_epochs={settings.max_epochs} ends before, after "
                f"{counted(settings.max_epochs * steps, 'update')}; add trainer.max_epochs="
                f"{math.ceil(settings.max_steps / steps)}, or give fewer",
            )
    if settings.max_time is not None and not seconds(settings.max_time):
        yield (
            "trainer.max_time",
            "give hours:minutes:seconds, such as 01:30:00, or days before them, such as 00:01:30:00; in a file in "
            "quotes",
        )
    if settings.min_epochs is not None:
        if settings.min_epochs > last:
            yield (
                "trainer.min_epochs",
                f"the run ends with epoch {last} (trainer.max_epochs={settings.max_epochs}"
                + (f" trainer.max_steps={settings.max_steps}" if settings.max_steps else "")
                + "); give at most that, or let it end later",
            )
        if not stops_early(config):
            yield (
                "trainer.min_epochs",
                "nothing stops this run early; set early_stopping.patience or trainer.max_time, or leave it out",
            )
    every = settings.check_val_every_n_epoch
    if every > 1 and not validates(config):
        yield "trainer.check_val_every_n_epoch", "nothing is validated; leave it out, or set data.val_fraction above 0"
    if every > last:
        yield (
            "trainer.check_val_every_n_epoch",
            f"of {counted(last, 'epoch')} none would be validated; give at most {last}, or "
            "trainer.limit_val_batches=0 test_on=last",
        )
    if settings.num_sanity_val_steps and not validates(config):
        yield "trainer.num_sanity_val_steps", "nothing is validated; leave it at 0, or set data.val_fraction above 0"
    if settings.gradient_clip_algorithm != "norm" and settings.gradient_clip_val is None:
        yield "trainer.gradient_clip_algorithm", "nothing is clipped; set trainer.gradient_clip_val, or leave it out"


def _overfitting(config: Config) -> Complaints:
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


def _schedule(config: Config) -> Complaints:
    schedule, factors = config.schedule, config.schedule.factors
    is_steps = schedule.name == "steps"
    if not is_steps and (schedule.epochs or factors):
        yield (
            "schedule.epochs",
            f"schedule.name={schedule.name} takes none; set schedule.name=steps, or schedule.epochs=[] "
            "schedule.factors=[]",
        )
    rises = all(a < b for a, b in pairwise([0, *schedule.epochs]))
    if not rises or bool(schedule.epochs) != is_steps:
        yield "schedule.epochs", "schedule.name=steps needs rising numbers of epochs, such as [2,5]"
    if len(factors) != len(schedule.epochs) or not all(0 < factor < math.inf for factor in factors):
        yield "schedule.factors", f"give a number above 0 for each of schedule.epochs={list(schedule.epochs)}"
    yield from _warmup(config)
    if schedule.name == "plateau" and schedule.monitor == "val/loss" and not validates(config):
        yield (
            "schedule.monitor",
            "without validation images there is no such loss; set schedule.monitor=train/loss, or data.val_fraction "
            "above 0",
        )
    count = updates(config)
    rising = schedule.warmup * count
    if schedule.name == "one_cycle" and not (0 < rising < count and not math.isclose(rising, 1)):
        yield (
            "schedule.warmup",
            f"of {counted(count, 'update')} some have to go up, other than just one, and some down; give a share "
            "between 0 and 1, or schedule.name=cosine",
        )


def _early_stopping(config: Config) -> Complaints:
    settings, usual = config.early_stopping, EarlyStopping()
    if settings.patience is None:
        for name in ("monitor", "min_delta"):
            if getattr(settings, name) != getattr(usual, name):
                yield f"early_stopping.{name}", "nothing stops early; set early_stopping.patience, or leave it out"
    elif not validates(config):
        yield (
            "early_stopping.patience",
            "without validation images nothing says when to stop; set data.val_fraction above 0, or leave it null",
        )


def _warmup(config: Config) -> Complaints:
    schedule, last = config.schedule, _last_epoch(config)
    if not schedule.warmup_epochs:
        return
    if schedule.name == "one_cycle":
        yield (
            "schedule.warmup_epochs",
            "one_cycle has a warm-up of its own, schedule.warmup, a share of the updates; leave this at 0",
        )
    if schedule.warmup_epochs >= last:
        steps = f" trainer.max_steps={config.trainer.max_steps}" if config.trainer.max_steps else ""
        yield (
            "schedule.warmup_epochs",
            f"trainer.max_epochs={config.trainer.max_epochs}{steps} leaves none for what comes after; give fewer, or 0",
        )
    if schedule.epochs and schedule.epochs[0] <= schedule.warmup_epochs:
        yield (
            "schedule.epochs",
            f"the first change falls into schedule.warmup_epochs={schedule.warmup_epochs}; give later ones, or a "
            "shorter warm-up",
        )


def _test(config: Config) -> Complaints:
    if config.test_each_epoch and config.trainer.limit_test_batches == 0:
        yield "test_each_epoch", "trainer.limit_test_batches=0 leaves nothing to test on; set one of them otherwise"
    if config.test_each_epoch and config.test_on != "last":
        yield (
            "test_each_epoch",
            "the test set would be seen before the best epoch is chosen; set test_on=last, or leave it false",
        )
    devices = re.sub(r"\s", "", str(config.trainer.devices))
    if not re.fullmatch(r"auto|-1|[1-9]\d*|\d+,(\d+(,\d+)*)?", devices):
        yield (
            "trainer.devices",
            "give a number of devices, at least 1; auto or -1 for all; or those to take, such as '0,1'",
        )
    if config.test_on != "last" and not validates(config):
        yield (
            "test_on",
            "without validation images there is no best epoch; set test_on=last, or data.val_fraction above 0",
        )


def device_count(devices: int | str) -> int | None:
    """How many devices of a machine trainer.devices asks for, having been checked; None where all that there are."""
    text = re.sub(r"\s", "", str(devices))
    if text in ("auto", "-1"):
        return None
    return len(re.findall(r"\d+", text)) if "," in text else int(text)


def check_one_device(config: Config) -> None:
    """Several devices start the command line again in other processes, which would be sweeps themselves.

    Raises:
        BadInput: a job of a sweep asks for more than one.
    """
    trainer = config.trainer
    several = isinstance(trainer.devices, int) and trainer.devices != 1
    if several or trainer.num_nodes > 1 or trainer.strategy.startswith(("ddp", "fsdp", "deepspeed")):
        raise BadInput(
            f"trainer.devices={trainer.devices} trainer.num_nodes={trainer.num_nodes} "
            f"trainer.strategy={trainer.strategy}: a job of a sweep uses one device; leave these at their defaults"
        )


def check_shards(config: Config, processes: int) -> None:
    """Whether so many processes, which share each batch, can do what the config asks for.

    Not part of `validate`: what a run was started with has nothing to do with how its net is looked at.

    Raises:
        BadInput: they cannot.
    """
    if processes == 1 or config.model.norm == "none":
        return
    size, smallest = config.data.batch_size, min(batch_sizes(config))
    if smallest // processes <= 1:
        drop = ", or data.drop_last=true" if smallest < size < training_size(config.data) else ""
        raise BadInput(
            f"data.batch_size={size}: model.norm=batch cannot normalise a share of one image or none, which is what "
            f"{processes} devices leave one of them of the epoch's batch of {smallest}; give another size or number of "
            f"devices{drop}"
        )
    if config.test_each_epoch:
        raise BadInput(
            f"test_each_epoch=True: with model.norm=batch each of {processes} devices normalises by what it has seen "
            "itself, so the curve would be that of no single net; take one device, or leave it false"
        )
