"""A net with all that belongs to it in one graph: grey values go in, probabilities come out."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lenet.config import Config
from lenet.data.transforms import normalise
from lenet.models.lenet5 import Subsampling


class Portable(nn.Module):
    """What an exported file computes, in float32.

    The probabilities are the softmax of the logits. A net of 1998 has penalties y for outputs, and its logits are -y.
    The paper (section II.C) takes y for the negative logarithm of a Gaussian density around each class's code, so that
    the softmax of -y is how probable each class is where all are as frequent.
    """

    def __init__(self, config: Config, net: nn.Module) -> None:
        super().__init__()
        self.mean, self.std, self.pad = config.data.mean, config.data.std, config.data.pad
        self.net = copy.deepcopy(net).cpu().float().to(memory_format=torch.contiguous_format).eval()
        self.requires_grad_(False)
        for layer in self.net.modules():
            if isinstance(layer, Subsampling):
                layer.sums = _sums  # type: ignore[method-assign]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (n, classes) and logits (n, classes) of images (n, 1, 28, 28), uint8, bright on dark."""
        logits: Tensor = self.net(normalise(images, self.mean, self.std, self.pad))
        return logits.softmax(1), logits


def _sums(x: Tensor) -> Tensor:
    """`Subsampling.sums`, the same to the last bit: torch's exporter to ONNX (2.15) drops the divisor of a mean."""
    return 4 * F.avg_pool2d(x, 2)
