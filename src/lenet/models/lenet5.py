"""LeNet-5 as published, to be read beside the paper.

LeCun, Bottou, Bengio, Haffner: "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11), 1998,
section II.B and appendix A. What the paper leaves open, and what is assumed here, is listed in docs/1998.md.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lenet.config import Model
from lenet.models.layers import C3_INPUTS, CLASSES, LENET5_SIZE

# Stylised characters of 7x12 pixels, which F6 learns to draw. A byte is a row; the highest of its seven bits is on the
# left.
BITMAPS = (
    "3e 00 1c 36 63 63 63 63 36 1c 00 00",
    "0c 1c 3c 0c 0c 0c 0c 0c 0c 3f 00 00",
    "3e 00 3e 63 43 06 1c 30 60 7f 00 00",
    "7f 03 06 0c 1e 03 03 03 63 3e 00 00",
    "3e 00 00 33 33 73 63 63 67 3f 03 03",
    "3e 00 7f 60 60 3c 1e 03 63 3e 00 00",
    "1e 30 60 60 7e 73 63 63 73 3e 00 00",
    "7f 03 03 06 0c 0c 18 18 18 18 00 00",
    "3e 63 63 63 3e 63 63 63 63 3e 00 00",
    "3e 67 63 63 67 3f 03 03 06 3c 00 00",
)


def bitmaps() -> Tensor:
    """The ten digits as (10, 84): +1 is ink, -1 is paper."""
    return torch.tensor(
        [
            [1.0 if row >> (6 - column) & 1 else -1.0 for row in bytes.fromhex(digit) for column in range(7)]
            for digit in BITMAPS
        ]
    )


class ScaledTanh(nn.Module):
    """1.7159 tanh(2a/3), so that f(1) = 1 and f(-1) = -1 (appendix A)."""

    def forward(self, a: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * a)


class Subsampling(nn.Module):
    """S2 and S4: the sum of 2x2 inputs, times a coefficient, plus a bias; both are learned, one of each for a map.

    Maps (n, maps, 2h, 2w) to (n, maps, h, w).
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((maps,), 1 / 4))  # an average
        self.bias = nn.Parameter(torch.zeros(maps))

    @staticmethod
    def sums(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2, divisor_override=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias[:, None, None], self.sums(x), self.coefficient[:, None, None])


class PartialConv2d(nn.Module):
    """C3: each map sees only some of the maps below (table I). Kernels of other pairs do not exist.

    Maps (n, inputs, h, w) to (n, outputs, h - 4, w - 4).
    """

    pairs: Tensor

    def __init__(self, inputs: int, table: tuple[tuple[int, ...], ...], kernel_size: int = 5) -> None:
        super().__init__()
        self.inputs, self.outputs, self.kernel_size = inputs, len(table), kernel_size
        pairs = [output * inputs + i for output, seen in enumerate(table) for i in seen]
        self.register_buffer("pairs", torch.tensor(pairs), persistent=False)
        self.fan_in = torch.tensor(
            [len(seen) * kernel_size**2 for seen in table for _ in seen]
        )  # of each kernel's unit
        self.weight = nn.Parameter(torch.zeros(len(pairs), kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(self.outputs))

    def dense(self, kernels: Tensor) -> Tensor:
        """Kernels (60, 5, 5) in their places among zeros, (16, 6, 5, 5), as a convolution wants them."""
        size = self.kernel_size
        whole = kernels.new_zeros(self.outputs * self.inputs, size, size).index_copy(0, self.pairs, kernels)
        return whole.view(self.outputs, self.inputs, size, size)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.dense(self.weight), self.bias)


class RBF(nn.Module):
    """The output layer: y_i = sum_j (x_j - w_ij)^2, how far F6 is from drawing digit i (eq. 7). Its weights are fixed.

    Maps (n, 84) to (n, 10). The class is the one with the smallest y.
    """

    centres: Tensor

    def __init__(self, centres: Tensor) -> None:
        super().__init__()
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, None, :] - self.centres).square().sum(2)


class LeNet5(nn.Sequential):
    """Maps images (n, 1, 32, 32) to (n, 10): the negated outputs of the RBF layer, so that the largest is the class.

    The paper reads an RBF output as the negated logarithm of a Gaussian density, so these are logits in today's sense.
    """

    def __init__(self, model: Model, size: int = LENET5_SIZE, classes: int = CLASSES) -> None:
        assert (size, classes) == (LENET5_SIZE, CLASSES)
        super().__init__(
            OrderedDict(
                c1=nn.Conv2d(1, 6, 5),
                act1=ScaledTanh(),  # 6@28x28
                s2=Subsampling(6),
                act2=ScaledTanh(),  # 6@14x14
                c3=PartialConv2d(6, C3_INPUTS),
                act3=ScaledTanh(),  # 16@10x10
                s4=Subsampling(16),
                act4=ScaledTanh(),  # 16@5x5
                c5=nn.Conv2d(16, 120, 5),  # on a larger input its output would be larger than 1x1
                act5=ScaledTanh(),
                flatten=nn.Flatten(),
                f6=nn.Linear(120, 84),
                act6=ScaledTanh(),
                output=RBF(bitmaps()),
            )
        )
        initialise(self, model.init)

    def forward(self, images: Tensor) -> Tensor:
        penalties: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        return -penalties


# model.init: scale v and power p of the range ±v/F^p for the weights of a unit with F inputs, and where subsampling
# coefficients start; None draws them from their range. Why there are three: docs/1998.md.
LENET5_INITS: dict[str, tuple[float, float, float | None]] = {
    "fan_in": (2.4, 1.0, None),  # the paper to the letter (appendix A); does not train
    "sqrt_fan_in": (2.4, 0.5, 1 / 4),  # sums of independent inputs then have the range that the paper asks for
    "eblearn": (1.0, 0.5, 1 / 2),  # as in the authors' later library of that name
}


@torch.no_grad()
def initialise(net: LeNet5, init: str) -> None:
    """Draw the weights uniformly from a range that falls with the fan-in of their unit; biases start at 0."""
    scale, power, coefficient = LENET5_INITS[init]
    for layer in net:
        if isinstance(layer, PartialConv2d):
            layer.weight.uniform_(-1, 1).mul_(scale / layer.fan_in[:, None, None] ** power)
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            bound = scale / layer.weight[0].numel() ** power
            layer.weight.uniform_(-bound, bound)
        elif isinstance(layer, Subsampling):
            bound = scale / 4**power
            if coefficient is None:
                layer.coefficient.uniform_(-bound, bound)
            else:
                layer.coefficient.fill_(coefficient)
        bias = getattr(layer, "bias", None)
        if isinstance(bias, Tensor):
            bias.zero_()
