"""The arithmetic of a LeNet without building it: shapes, parameters and multiply-accumulates, layer by layer.

Pure integers, no torch, so that an impossible net is refused in milliseconds and a sweep can be planned.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lenet.config import Model
from lenet.errors import BadInput

IMAGE_SIDE = 28  # pixels, of both data sets
CLASSES = 10

# The values of model.activation and model.pool, with the class that each becomes.
ACTIVATIONS = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "scaled_tanh": "ScaledTanh",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "gelu": "GELU",
    "silu": "SiLU",
}
POOLS = {"avg": "AvgPool2d", "max": "MaxPool2d", "conv": "Conv2d"}


@dataclass(frozen=True)
class Layer:
    """One row of the inspection table."""

    name: str
    kind: str
    shape: tuple[int, ...]  # of one image's output, without the batch
    parameters: int = 0
    macs: int = 0  # multiply-accumulates of weights for one image


def per_layer(key: str, value: object, count: int) -> list[int]:
    """One int for each of `count` convolution layers, from an int for all of them or from a list.

    Raises:
        BadInput: `value` is neither an int nor a list of `count` ints.
    """
    values = [value] * count if isinstance(value, int) else value
    if isinstance(values, Sequence) and all(type(v) is int for v in values):
        if len(values) == count:
            return list(values)
        raise BadInput(
            f"{key}={list(values)}: {len(values)} values for {count} convolution layers; "
            f"give one integer for all, or a list of {count}"
        )
    raise BadInput(f"{key}={value}: give one integer, or a list with an integer for each convolution layer")


def layers(model: Model, side: int = IMAGE_SIDE, classes: int = CLASSES) -> Iterator[Layer]:
    """Every layer of the parametric LeNet in order, under the name that it has in `lenet.models.lenet`.

    Args:
        model: its values are legal one by one; whether they fit together is found out here.
        side: height and width of the input in pixels, the padding of the data included.
        classes: number of outputs.

    Raises:
        BadInput: a window is larger than its map, or a map is too small to be pooled.
    """
    count = len(model.conv_channels)
    kernels = per_layer("model.kernel_size", model.kernel_size, count)
    paddings = per_layer("model.padding", model.padding, count)
    activation = ACTIVATIONS[model.activation]
    batch_norm = model.norm == "batch"
    maps, number = 1, 1  # the paper counts C1 S2 C3 S4 C5 F6
    for width, kernel, padding in zip(model.conv_channels, kernels, paddings, strict=True):
        padded = side + 2 * padding
        if kernel > padded:
            raise BadInput(
                f"model.kernel_size={kernel}: larger than the {padded}x{padded} map that layer c{number} sees; "
                f"take at most {padded}, or more model.padding, or fewer model.conv_channels"
            )
        side = padded - kernel + 1
        weights = maps * kernel**2 * width
        bias = 0 if batch_norm else width
        yield Layer(f"c{number}", "Conv2d", (width, side, side), weights + bias, weights * side**2)
        if batch_norm:
            yield Layer(f"norm{number}", "BatchNorm2d", (width, side, side), 2 * width)
        yield Layer(f"act{number}", activation, (width, side, side))
        if side < 2:
            raise BadInput(
                f"model.kernel_size={kernel}: layer c{number} leaves a map of 1x1, and 2x2 pooling follows; "
                f"take at most {padded - 1}, or more model.padding, or fewer model.conv_channels"
            )
        maps, side = width, side // 2
        weights = 4 * maps**2 if model.pool == "conv" else 0
        bias = maps if model.pool == "conv" else 0
        yield Layer(f"s{number + 1}", POOLS[model.pool], (maps, side, side), weights + bias, weights * side**2)
        number += 2
    features = maps * side**2
    yield Layer("flatten", "Flatten", (features,))
    for index, units in enumerate(model.fc_sizes):
        # The paper's first one is C5: a convolution whose window covers the whole map.
        name = f"c{number}" if index == 0 else f"f{number}"
        bias = 0 if batch_norm else units
        yield Layer(name, "Linear", (units,), features * units + bias, features * units)
        if batch_norm:
            yield Layer(f"norm{number}", "BatchNorm1d", (units,), 2 * units)
        yield Layer(f"act{number}", activation, (units,))
        if model.dropout > 0:
            yield Layer(f"drop{number}", "Dropout", (units,))
        features = units
        number += 1
    yield Layer("output", "Linear", (classes,), features * classes + classes, features * classes)


def parameters_and_macs(model: Model, side: int = IMAGE_SIDE, classes: int = CLASSES) -> tuple[int, int]:
    """Trainable parameters of the whole net, and its multiply-accumulates for one image."""
    rows = list(layers(model, side, classes))
    return sum(row.parameters for row in rows), sum(row.macs for row in rows)
