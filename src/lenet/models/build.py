"""The net that a config names."""

from collections.abc import Callable

from torch import nn

from lenet.config import Config, Model
from lenet.datasets import data_set, input_size
from lenet.models.lenet import LeNet
from lenet.models.lenet5 import LeNet5

# The values of model.kind: what makes a net of a model, the input's height and width, and the number of classes.
NETS: dict[str, Callable[[Model, int, int], nn.Module]] = {"lenet": LeNet, "lenet5": LeNet5}


def build_net(config: Config) -> nn.Module:
    """The net of a run, for images as its data give them: (n, 1, size, size) to logits (n, classes)."""
    return NETS[config.model.kind](config.model, input_size(config.data), len(data_set(config.data).classes))
