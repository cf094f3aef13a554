"""The parametric LeNet. With its defaults it is the net of d2l's LeNet chapter."""

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from lenet.config import Model
from lenet.datasets import IMAGE_SIZE
from lenet.models.layers import ACTIVATIONS, CLASSES, per_layer
from lenet.models.lenet5 import ScaledTanh, Subsampling


class LeNet(nn.Sequential):
    """Convolution, activation, pooling, repeated; then fully connected layers: (n, 1, h, w) to logits (n, classes).

    A block may have several convolutions, each with its activation, before its pooling.

    Layers have the names of the paper, continued where the net is deeper: c1 s2 c3 s4 c5 f6 output. The first hidden
    fully connected one is a C layer, since its window is the whole map. The config is taken to be legal
    (`lenet.rules`); a net too large for the memory raises RuntimeError.
    """

    def __init__(self, model: Model, size: int = IMAGE_SIZE, classes: int = CLASSES) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        bias = {"none": True, "batch": False}[model.norm]  # batch normalisation brings its own
        count = len(model.conv_channels)
        kernels = per_layer("model.kernel_size", model.kernel_size, count)
        paddings = per_layer("model.padding", model.padding, count)
        repeats = per_layer("model.convs_per_block", model.convs_per_block, count)
        maps, number = 1, 1
        for width, repeat, kernel, padding in zip(model.conv_channels, repeats, kernels, paddings, strict=True):
            for _ in range(repeat):
                layers[f"c{number}"] = nn.Conv2d(maps, width, kernel, padding=padding, bias=bias)
                if model.norm == "batch":
                    layers[f"norm{number}"] = nn.BatchNorm2d(width)
                layers[f"act{number}"] = activation(model.activation)
                size += 2 * padding - kernel + 1
                maps, number = width, number + 1
            layers[f"s{number}"] = pool(model.pool, width)
            size, number = size // 2, number + 1
        layers["flatten"] = nn.Flatten()
        features = maps * size**2
        for index, units in enumerate(model.fc_sizes):
            layers[f"{'f' if index else 'c'}{number}"] = nn.Linear(features, units, bias=bias)
            if model.norm == "batch":
                layers[f"norm{number}"] = nn.BatchNorm1d(units)
            layers[f"act{number}"] = activation(model.activation)
            if model.dropout > 0:
                layers[f"drop{number}"] = nn.Dropout(model.dropout)
            features, number = units, number + 1
        layers["output"] = nn.Linear(features, classes)
        super().__init__(layers)
        initialise(self, model)

    def forward(self, x: Tensor) -> Tensor:
        """ReLU comes behind the maximum that follows it: the same to the last bit, for a quarter of the values.

        The order of the layers stays the paper's, for all who look at them one by one.
        """
        layers = iter(self)
        for layer in layers:
            if isinstance(layer, nn.ReLU) and x.dim() == 4:  # maps, so a pooling follows, or a convolution
                following = next(layers)
                x = layer(following(x)) if isinstance(following, nn.MaxPool2d) else following(layer(x))
            else:
                x = layer(x)
        return x


# Activations that torch does not have.
ACTIVATION_MODULES: dict[str, Callable[[], nn.Module]] = {"scaled_tanh": ScaledTanh}


def activation(name: str) -> nn.Module:
    return ACTIVATION_MODULES[name]() if name in ACTIVATION_MODULES else getattr(nn, ACTIVATIONS[name])()


def pool(name: str, maps: int) -> nn.Module:
    """2x2 with stride 2: a mean, a maximum, a convolution that learns what to keep, or what LeNet-5 had."""
    if name == "subsample":
        return Subsampling(maps)
    if name == "conv":
        return nn.Conv2d(maps, maps, kernel_size=2, stride=2)
    return {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}[name](kernel_size=2, stride=2)


def initialise(net: nn.Module, model: Model) -> None:
    """Draw the weights of all convolution and linear layers; biases keep the framework's default, as in the book."""
    rules: dict[str, Callable[[Tensor], object]] = {
        "default": lambda weight: None,
        "xavier_uniform": nn.init.xavier_uniform_,
        # He et al. 2015: variance 2 / fan-in, for activations that cut off one half
        "kaiming": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
        # LeCun et al. 1998, "Efficient BackProp": variance 1 / fan-in
        "lecun": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="linear"),
        "normal": lambda weight: nn.init.normal_(weight, std=model.init_std),
    }
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            rules[model.init](module.weight)
