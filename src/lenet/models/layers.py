"""The arithmetic of a LeNet without building it: shapes, parameters and multiply-accumulates, layer by layer.

Pure integers, no torch, so that an impossible net is refused in milliseconds and a sweep can be planned. Whoever asks
for the layers of any net asks `lenet.models.sizes`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lenet.config import Model
from lenet.errors import BadInput
from lenet.text import counted

CLASSES = 10  # of MNIST and Fashion-MNIST; LeNet-5 has a bitmap for each of its ten
LENET5_SIZE = 32  # pixels; C5's window then covers the whole map

# The maps of S2 that each map of LeNet-5's C3 sees (table I of the paper).
C3_INPUTS = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

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
POOLS = {"avg": "AvgPool2d", "max": "MaxPool2d", "conv": "Conv2d", "subsample": "Subsampling"}


@dataclass(frozen=True)
class Layer:
    """One row of the inspection table."""

    name: str
    kind: str
    shape: tuple[int, ...]  # of one image's output, without the batch
    parameters: int = 0
    macs: int = 0  # multiply-accumulates of weights for one image
    connections: int = 0  # uses of weights and biases: a shared one counts at every unit, and at every input, it serves


def per_layer(key: str, value: object, count: int) -> list[int]:
    """One int for each of `count` blocks of convolutions, from an int for all of them or from a list.

    Raises:
        BadInput: `value` is neither an int nor a list of `count` ints.
    """
    values = [value] * count if isinstance(value, int) else value
    if isinstance(values, Sequence) and all(type(v) is int for v in values):
        if len(values) == count:
            return list(values)
        raise BadInput(
            f"{key}={list(values)}: {counted(len(values), 'value')} where model.conv_channels has {count}; "
            f"give one integer for all, or a list of {count}"
        )
    raise BadInput(f"{key}={value}: give one integer, or a list with an integer for each of model.conv_channels")


def _lenet(model: Model, size: int, classes: int) -> Iterator[Layer]:
    """The parametric LeNet; `lenet.models.lenet` is the net itself."""
    count = len(model.conv_channels)
    kernels = per_layer("model.kernel_size", model.kernel_size, count)
    paddings = per_layer("model.padding", model.padding, count)
    repeats = per_layer("model.convs_per_block", model.convs_per_block, count)
    activation = ACTIVATIONS[model.activation]
    batch_norm = {"none": False, "batch": True}[model.norm]
    maps, number = 1, 1  # the paper counts C1 S2 C3 S4 C5 F6
    for width, repeat, kernel, padding in zip(model.conv_channels, repeats, kernels, paddings, strict=True):
        fewer = "fewer model.conv_channels" + (", or a smaller model.convs_per_block" if repeat > 1 else "")
        for _ in range(repeat):
            padded = size + 2 * padding
            if kernel > padded:
                raise BadInput(
                    f"model.kernel_size={kernel}: larger than the {padded}x{padded} map that layer c{number} sees; "
                    f"take at most {padded}, or more model.padding, or {fewer}"
                )
            size = padded - kernel + 1
            weights = maps * kernel**2 * width
            bias = 0 if batch_norm else width
            uses = (weights + bias) * size**2
            yield Layer(f"c{number}", "Conv2d", (width, size, size), weights + bias, weights * size**2, uses)
            if batch_norm:
                yield Layer(f"norm{number}", "BatchNorm2d", (width, size, size), 2 * width)
            yield Layer(f"act{number}", activation, (width, size, size))
            maps, number = width, number + 1
        if size < 2:
            raise BadInput(
                f"model.kernel_size={kernel}: layer c{number - 1} leaves a map of 1x1, and 2x2 pooling follows; "
                f"take at most {padded - 1}, or more model.padding, or {fewer}"
            )
        size //= 2
        yield _pooling(f"s{number}", model.pool, maps, size)
        number += 1
    features = maps * size**2
    yield Layer("flatten", "Flatten", (features,))
    for index, units in enumerate(model.fc_sizes):
        # The paper's first one is C5: a convolution whose window covers the whole map.
        name = f"c{number}" if index == 0 else f"f{number}"
        bias = 0 if batch_norm else units
        weights = features * units
        yield Layer(name, "Linear", (units,), weights + bias, weights, weights + bias)
        if batch_norm:
            yield Layer(f"norm{number}", "BatchNorm1d", (units,), 2 * units)
        yield Layer(f"act{number}", activation, (units,))
        if model.dropout > 0:
            yield Layer(f"drop{number}", "Dropout", (units,))
        features = units
        number += 1
    weights = features * classes
    yield Layer("output", "Linear", (classes,), weights + classes, weights, weights + classes)


def _pooling(name: str, pool: str, maps: int, size: int) -> Layer:
    shape, units = (maps, size, size), maps * size**2
    if pool == "conv":
        weights = 4 * maps**2
        return Layer(name, POOLS[pool], shape, weights + maps, weights * size**2, (weights + maps) * size**2)
    if pool == "subsample":  # a coefficient for the sum of four inputs, and a bias
        return Layer(name, POOLS[pool], shape, 2 * maps, units, 5 * units)
    return Layer(name, POOLS[pool], shape)


def _lenet5(model: Model, size: int, classes: int) -> Iterator[Layer]:
    """LeNet-5 of 1998, from the paper's figure 2 and table I; `lenet.models.lenet5` is the net itself."""

    def squashed(layer: Layer) -> Iterator[Layer]:
        yield layer
        yield Layer(f"act{layer.name[1:]}", ACTIVATIONS["scaled_tanh"], layer.shape)

    def convolution(name: str, kind: str, inputs: Sequence[int], size: int) -> Layer:
        """`inputs`: how many maps each of its maps sees."""
        maps, weights = len(inputs), 25 * sum(inputs)
        uses = (weights + maps) * size**2
        return Layer(name, kind, (maps, size, size), weights + maps, weights * size**2, uses)

    yield from squashed(convolution("c1", "Conv2d", [1] * 6, 28))
    yield from squashed(_pooling("s2", "subsample", 6, 14))
    yield from squashed(convolution("c3", "PartialConv2d", [len(seen) for seen in C3_INPUTS], 10))
    yield from squashed(_pooling("s4", "subsample", 16, 5))
    c5, f6 = model.fc_sizes
    yield from squashed(convolution("c5", "Conv2d", [16] * c5, 1))
    yield Layer("flatten", "Flatten", (c5,))
    yield from squashed(Layer("f6", "Linear", (f6,), c5 * f6 + f6, c5 * f6, c5 * f6 + f6))
    yield Layer("output", "RBF", (CLASSES,), 0, f6 * CLASSES, f6 * CLASSES)  # its weights are fixed


# Of values of model.kind: a net's layers, from the config, the input's height and width, and the number of classes. Of
# a net that is not here they are found by building it (`lenet.models.measure`).
LAYERS: dict[str, Callable[[Model, int, int], Iterable[Layer]]] = {"lenet": _lenet, "lenet5": _lenet5}
