"""Which nets: LeNet-5 as it was, and none that no machine can hold."""

import math

from lenet.batches import (
    EVALUATION_BATCH,
    batch_sizes,
)
from lenet.bounds import Bound
from lenet.config import (
    Config,
    limits,
    value_of,
)
from lenet.datasets import IMAGE_SIZE
from lenet.errors import BadInput, Complaints
from lenet.models.layers import LENET5_SIZE
from lenet.models.sizes import layers_of
from lenet.text import did_you_mean

LARGEST_NET = 100_000_000  # parameters; 400 MB, and as much again for their gradients
LARGEST_BATCH = 2_000_000_000  # outputs of all layers for a batch, 8 GB; the whole training set of the book's net fits

INIT_CHOICES = {
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


def model_rules(config: Config) -> Complaints:
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
    inits = INIT_CHOICES.get(model.kind, INIT_CHOICES["lenet"])
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
