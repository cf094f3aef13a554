"""Which configs are legal. Answers without torch, before anything is trained or written."""

import math
import re
from collections.abc import Collection
from itertools import pairwise

from lenet.batches import (
    EVALUATION_BATCH,
    batch_sizes,
    batches,
    training_size,
    updates,
    validation_size,
)
from lenet.config import Augment, Config, Loss, schema, value_of
from lenet.datasets import IMAGE_SIZE, data_set
from lenet.errors import BadInput
from lenet.models.layers import ACTIVATIONS, LENET5_SIDE, POOLS, layers_of
from lenet.runs.names import trouble
from lenet.runs.safe_io import fits

LARGEST_LAYER = 100_000  # maps or units: beyond it a slip of the keyboard is likelier than a net

SMALLEST_ERASED = 0.02  # of an image, as in Zhong et al. 2017
LARGEST_NET = 100_000_000  # parameters; 400 MB, and as much again for their gradients
LARGEST_BATCH = 2_000_000_000  # outputs of all layers for a batch, 8 GB; the whole training set of the book's net fits

CHOICES: dict[str, Collection[str]] = {
    "test_on": ("best", "last"),
    "data.name": ("fashion_mnist", "mnist"),
    "model.kind": ("lenet", "lenet5"),
    "model.activation": ACTIVATIONS,
    "model.pool": POOLS,
    "model.norm": ("none", "batch"),
    "loss.name": ("cross_entropy", "mse", "map"),
    "optimizer.name": ("sgd", "adam", "adamw", "sdlm"),
    "schedule.name": ("constant", "one_cycle", "cosine", "steps"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "mps", "tpu"),
    # Of Lightning's, those whose processes are the command again (others would have to send them what cannot be sent)
    # and whose checkpoints are files like ours.
    "trainer.strategy": (
        "auto",
        "ddp",
        "ddp_find_unused_parameters_false",
        "ddp_find_unused_parameters_true",
        "single_device",
        "fsdp",
        "fsdp_cpu_offload",
    ),
    "trainer.precision": (
        "32-true",
        "32",
        "16-mixed",
        "bf16-mixed",
        "16-true",
        "bf16-true",
        "64-true",
        "64",
    ),
}

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
    "data.pad": (LENET5_SIDE - IMAGE_SIZE) // 2,
}

# key: (smallest, largest, what to say); both ends are legal
RANGES: dict[str, tuple[float, float, str]] = {
    "seed": (0, 2**32 - 1, "give an integer from 0 to 4294967295"),
    "data.batch_size": (1, 60_000, "give an integer from 1 to 60000"),
    "data.split_seed": (0, 2**32 - 1, "give an integer from 0 to 4294967295"),
    "data.mean": (-math.inf, math.inf, "give a finite number"),
    "data.pad": (0, 100, "give pixels, from 0 to 100"),
    "data.augment.shift": (0, IMAGE_SIZE, f"give pixels, from 0 to {IMAGE_SIZE}"),
    "data.augment.scale": (0, 0.9, "give a share from 0 to 0.9"),
    "data.augment.squeeze": (0, 0.9, "give a share from 0 to 0.9"),
    "data.augment.shear": (0, 2, "give a share of the height from 0 to 2"),
    "data.augment.erase": (0, 1, "give a probability from 0 to 1"),
    "data.augment.erase_area": (SMALLEST_ERASED, 1, f"give a share of the image from {SMALLEST_ERASED} to 1"),
    "loss.j": (-1000, 1000, "give a penalty from -1000 to 1000"),
    "optimizer.mu": (1e-12, math.inf, "give a finite number above 0"),
    "optimizer.curvature_samples": (1, 60_000, "give an integer from 1 to 60000"),
    "optimizer.weight_decay": (0, math.inf, "give a finite number, at least 0"),
    "trainer.max_epochs": (1, 10**6, "give an integer from 1 to 1000000"),
    "trainer.num_nodes": (1, 10**6, "give an integer, at least 1"),
    "trainer.log_every_n_steps": (1, 10**9, "give an integer, at least 1"),
    "trainer.accumulate_grad_batches": (1, 10**6, "give an integer, at least 1"),
    "trainer.limit_train_batches": (
        0,
        math.inf,
        "give a number of batches, or a share of them from 0.0 to 1.0",
    ),
    "trainer.limit_val_batches": (
        0,
        math.inf,
        "give a number of batches, or a share of them from 0.0 to 1.0",
    ),
    "trainer.limit_test_batches": (
        0,
        math.inf,
        "give a number of batches, or a share of them from 0.0 to 1.0",
    ),
    "dashboard.pictures_every": (1, 10**6, "give a number of epochs, at least 1, or null"),
    "threads": (1, 1024, "give an integer from 1 to 1024"),
}


def validate(config: Config) -> None:
    """Check every value by itself, then together.

    Raises:
        BadInput: the first thing found wrong: the key, the value, and what would be legal.
    """
    for key, kind in schema().items():  # OmegaConf looks at values, but not at what an interpolation makes of them
        _require(fits(value_of(config, key), kind), key, config, "of another type than this key has")
    for key, legal in CHOICES.items():
        _require(value_of(config, key) in legal, key, config, "choose " + ", ".join(legal))
    for key, (smallest, largest, remedy) in RANGES.items():
        value = value_of(config, key)
        if value is not None:
            _require(isinstance(value, int | float) and smallest <= value <= largest, key, config, remedy)
            _require(math.isfinite(value), key, config, remedy)
    for name, default in (("pictures_every", None), ("histograms", False), ("embedding", False)):
        _require(
            config.dashboard.enabled or getattr(config.dashboard, name) == default,
            f"dashboard.{name}",
            config,
            "dashboard.enabled=false writes nothing for TensorBoard; leave out one of the two",
        )
    _validate_names(config)
    _validate_data(config)
    _validate_model(config)
    _validate_training(config)


def _validate_names(config: Config) -> None:
    reason = trouble(config.name, longest=100)
    _require(not reason, "name", config, f"it names a directory: {reason}")


def _validate_data(config: Config) -> None:
    data = config.data
    _require(
        data.augment.erase > 0 or data.augment.erase_area == Augment().erase_area,
        "data.augment.erase_area",
        config,
        "nothing is erased; set data.augment.erase above 0, or leave it out",
    )
    _require(bool(data.root), "data.root", config, "name the folder of the data files, such as data")
    _require(0 <= data.val_fraction < 1, "data.val_fraction", config, "give a share from 0 up to, not including, 1")
    held_out = validation_size(data)
    left = data_set(data).training_images - held_out
    _require(left > 0, "data.val_fraction", config, "no image is left to train on; give a smaller share")
    images = data_set(data).training_images
    _require(
        data.train_size is None or 1 <= data.train_size <= images,
        "data.train_size",
        config,
        f"give an integer from 1 to {images}, or null for all",
    )
    size = training_size(data)
    _require(
        size <= left,
        "data.train_size",
        config,
        f"data.val_fraction={data.val_fraction} leaves {left} to train on; give at most that, or null for all",
    )
    _require(
        data.val_fraction == 0 or held_out > 0,
        "data.val_fraction",
        config,
        "no image is held out; give 0 or a larger share",
    )
    _require(
        not data.drop_last or data.batch_size <= size,
        "data.batch_size",
        config,
        f"larger than the training set of {size}, and data.drop_last leaves out incomplete batches: nothing is left; "
        f"give at most {size}",
    )
    _require(math.isfinite(data.std) and data.std > 0, "data.std", config, "give a finite number above 0")


def _validate_model(config: Config) -> None:
    model = config.model
    _require(len(model.conv_channels) > 0, "model.conv_channels", config, "give at least one layer, such as [6]")
    for key in ("model.conv_channels", "model.fc_sizes"):
        _require(
            all(1 <= size <= LARGEST_LAYER for size in value_of(config, key)),
            key,
            config,
            f"give integers from 1 to {LARGEST_LAYER}",
        )
    for key, smallest, largest in (
        ("model.kernel_size", 1, 1000),
        ("model.padding", 0, 1000),
        ("model.convs_per_block", 1, 100),
    ):
        value = value_of(config, key)
        for size in value if isinstance(value, list) else [value]:
            legal = type(size) is int and smallest <= size <= largest
            _require(
                legal,
                key,
                config,
                f"give one integer from {smallest} to {largest}, or one for each of model.conv_channels",
            )
    _require(0 <= model.dropout < 1, "model.dropout", config, "give a probability from 0 up to, not including, 1")
    _require(
        math.isfinite(model.init_std) and model.init_std > 0,
        "model.init_std",
        config,
        "give a number above 0",
    )
    _require(
        model.norm == "none" or min(batch_sizes(config)) > 1,
        "data.batch_size",
        config,
        "model.norm=batch cannot normalise a batch of one image, which is what is left over; give another size, or "
        "data.drop_last=true",
    )
    _require(model.init in INITS[model.kind], "model.init", config, "choose " + ", ".join(INITS[model.kind]))
    if model.kind == "lenet5":
        for key, fixed in LENET5.items():
            _require(value_of(config, key) == fixed, key, config, f"LeNet-5 has {fixed}; give that")
    rows = layers_of(config)  # raises at the first layer that does not fit
    parameters = sum(row.parameters for row in rows)
    if parameters > LARGEST_NET:
        raise BadInput(
            f"model.conv_channels={model.conv_channels} model.fc_sizes={model.fc_sizes}: a net of {parameters:,} "
            f"parameters; give smaller layers, for {LARGEST_NET:,} at most"
        )
    outputs = sum(math.prod(row.shape) for row in rows)
    most = LARGEST_BATCH // outputs
    _require(
        most >= EVALUATION_BATCH,
        "model.conv_channels",
        config,
        f"for {EVALUATION_BATCH:,} images, as evaluation takes them, all layers together give out "
        f"{outputs * EVALUATION_BATCH:,} numbers; give fewer maps, for {LARGEST_BATCH:,} at most",
    )
    _require(
        config.data.batch_size <= most,
        "data.batch_size",
        config,
        f"all layers together give out {outputs:,} numbers for each image; give at most {most}, or fewer maps",
    )


def device_count(devices: int | str) -> int | None:
    """How many devices of a machine trainer.devices asks for, having been checked; None where all that there are."""
    text = re.sub(r"\s", "", str(devices))
    if text in ("auto", "-1"):
        return None
    return len(re.findall(r"\d+", text)) if "," in text else int(text)


def check_shares(config: Config, processes: int) -> None:
    """Whether so many processes, which share each batch, can do what the config asks for.

    Not part of `validate`: what a run was started with has nothing to do with how its net is looked at.

    Raises:
        BadInput: they cannot.
    """
    if processes == 1 or config.model.norm == "none":
        return
    smallest = min(batch_sizes(config))
    _require(
        smallest // processes > 1,
        "data.batch_size",
        config,
        f"model.norm=batch cannot normalise a share of one image or none, which is what {processes} devices leave one "
        f"of them of the epoch's batch of {smallest}; give another size or number of devices"
        + (", or data.drop_last=true" if smallest < config.data.batch_size < training_size(config.data) else ""),
    )
    _require(
        not config.test_each_epoch,
        "test_each_epoch",
        config,
        f"with model.norm=batch each of {processes} devices normalises by what it has seen itself, so the curve would "
        "be that of no single net; take one device, or leave it false",
    )


def _validate_training(config: Config) -> None:
    optimizer, trainer = config.optimizer, config.trainer
    _require(
        math.isfinite(optimizer.lr) and optimizer.lr > 0,
        "optimizer.lr",
        config,
        "give a finite number above 0",
    )
    _require(
        0 <= optimizer.momentum < 1,
        "optimizer.momentum",
        config,
        "give a number from 0 up to, not including, 1",
    )
    _require(
        optimizer.momentum == 0 or optimizer.name == "sgd",
        "optimizer.momentum",
        config,
        f"{optimizer.name} has no momentum of its own; leave it at 0, or set optimizer.name=sgd",
    )
    _require(
        not optimizer.nesterov or optimizer.momentum > 0,
        "optimizer.nesterov",
        config,
        "it needs optimizer.momentum above 0",
    )
    _require(
        len(optimizer.betas) == 2 and all(0 <= beta < 1 for beta in optimizer.betas),
        "optimizer.betas",
        config,
        "give two numbers from 0 up to, not including, 1",
    )
    _require(
        0 <= optimizer.curvature_memory < 1,
        "optimizer.curvature_memory",
        config,
        "give a share from 0 up to, not including, 1",
    )
    _require(
        optimizer.name != "sdlm" or optimizer.weight_decay == 0,
        "optimizer.weight_decay",
        config,
        "sdlm has none; leave it at 0, or take another optimizer",
    )
    _require(
        optimizer.decay_biases or optimizer.weight_decay > 0,
        "optimizer.decay_biases",
        config,
        "without optimizer.weight_decay nothing decays; set it above 0, or leave this true",
    )
    _require(
        optimizer.ema_decay is None or 0 < optimizer.ema_decay < 1,
        "optimizer.ema_decay",
        config,
        "give a share between 0 and 1, such as 0.999, or null",
    )
    _require(
        optimizer.ema_decay is None or trainer.precision not in ("16-true", "bf16-true"),
        "optimizer.ema_decay",
        config,
        f"trainer.precision={trainer.precision} has too few bits for a mean of many weights; set one of them otherwise",
    )
    _require(
        optimizer.name != "sdlm" or config.model.norm == "none",
        "model.norm",
        config,
        "sdlm knows no second derivatives through it; set model.norm=none, or take another optimizer",
    )
    _require(
        config.loss.name == "cross_entropy" or config.model.kind == "lenet5",
        "loss.name",
        config,
        "it measures the distances that LeNet-5 gives out; set loss.name=cross_entropy, or take experiment=lenet5_1998",
    )
    _require(
        config.loss.name == "map" or config.loss.j == Loss().j,
        "loss.j",
        config,
        f"loss.name={config.loss.name} has no j; set loss.name=map, or leave it out",
    )
    _require(
        0 <= config.loss.label_smoothing < 1,
        "loss.label_smoothing",
        config,
        "give a share from 0 up to, not including, 1",
    )
    _require(
        config.loss.name == "cross_entropy" or config.loss.label_smoothing == 0,
        "loss.label_smoothing",
        config,
        f"loss.name={config.loss.name} has none; leave it at 0, or set loss.name=cross_entropy",
    )
    for part in ("train", "val", "test"):
        key = f"trainer.limit_{part}_batches"
        value = value_of(config, key)
        whole = value is None or isinstance(value, int) or value <= 1.0
        _require(whole, key, config, "give an integer number of batches, or a share of them from 0.0 to 1.0")
        wanted = part == "train" or not (value == 0 or (part == "val" and config.data.val_fraction == 0))
        _require(not wanted or batches(config, part) > 0, key, config, "that is less than one batch; give more")
    _validate_schedule(config)
    _require(
        not config.test_each_epoch or config.trainer.limit_test_batches != 0,
        "test_each_epoch",
        config,
        "trainer.limit_test_batches=0 leaves nothing to test on; set one of them otherwise",
    )
    _require(
        not config.test_each_epoch or config.test_on == "last",
        "test_each_epoch",
        config,
        "the test set would be seen before the best epoch is chosen; set test_on=last, or leave it false",
    )
    _require(
        bool(re.fullmatch(r"auto|-1|[1-9]\d*|\d+,(\d+(,\d+)*)?", re.sub(r"\s", "", str(trainer.devices)))),
        "trainer.devices",
        config,
        "give a number of devices, at least 1; auto or -1 for all; or those to take, such as '0,1'",
    )
    clip = trainer.gradient_clip_val
    _require(
        clip is None or (math.isfinite(clip) and clip > 0),
        "trainer.gradient_clip_val",
        config,
        "give a number above 0, or null",
    )
    _require(
        config.test_on == "last" or (config.data.val_fraction > 0 and trainer.limit_val_batches != 0),
        "test_on",
        config,
        "without validation images there is no best epoch; set test_on=last, or data.val_fraction above 0",
    )


def _validate_schedule(config: Config) -> None:
    schedule = config.schedule
    steps = schedule.name == "steps"
    rises = all(a < b for a, b in pairwise([0, *schedule.epochs]))
    _require(
        steps or not (schedule.epochs or schedule.factors),
        "schedule.epochs",
        config,
        f"schedule.name={schedule.name} takes none; set schedule.name=steps, or schedule.epochs=[] schedule.factors=[]",
    )
    _require(
        rises and bool(schedule.epochs) == steps,
        "schedule.epochs",
        config,
        "schedule.name=steps needs rising numbers of epochs, such as [2,5]",
    )
    _require(
        len(schedule.factors) == len(schedule.epochs) and all(0 < factor < math.inf for factor in schedule.factors),
        "schedule.factors",
        config,
        f"give a number above 0 for each of schedule.epochs={list(schedule.epochs)}",
    )
    if config.schedule.name != "one_cycle":
        return
    count = updates(config)
    rising = config.schedule.warmup * count
    _require(
        0 < rising < count and not math.isclose(rising, 1),
        "schedule.warmup",
        config,
        f"of {count} updates some have to go up, other than just one, and some down; give a share between 0 and 1, "
        "or schedule.name=cosine",
    )


def _require(legal: bool, key: str, config: Config, remedy: str) -> None:
    if not legal:
        raise BadInput(f"{key}={value_of(config, key)}: {remedy}")
