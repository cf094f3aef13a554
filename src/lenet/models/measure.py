"""The layers of a net of which nobody has written down the arithmetic: found in a trial run without numbers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lenet.config import Model
from lenet.errors import BadInput
from lenet.models.layers import Layer
from lenet.text import first_line


def measured(build: Callable[[Model, int, int], nn.Module], model: Model, size: int, classes: int) -> list[Layer]:
    """A row for each module that computes something itself, in the order in which an image meets them.

    Only shapes go through the net, on torch's meta device. Multiply-accumulates are those of convolutions and linear
    layers.

    Raises:
        BadInput: the net cannot be built, takes no such image, or does not give out a number for each class.
    """
    rows: list[Layer] = []

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                rows.append(_row(name, module, tuple(output.shape[1:])))

        return hook

    try:
        with torch.device("meta"):
            net = build(model, size, classes).eval()
            for name, module in net.named_modules():
                if name and not list(module.children()):
                    module.register_forward_hook(note(name))
            with torch.no_grad():
                logits = net(torch.zeros(2, 1, size, size))
    except Exception as error:  # a stranger's code has every kind
        words = first_line(str(error)) or type(error).__name__
        raise BadInput(
            f"model.kind={model.kind}: this net cannot be built for images of {size}x{size} ({type(error).__name__}: "
            f"{words}); mend its code, or give it other values of model"
        ) from error
    if tuple(logits.shape) != (2, classes):
        raise BadInput(
            f"model.kind={model.kind}: gives out {tuple(logits.shape[1:])} numbers for an image, and the data have "
            f"{classes} classes; let its last layer have as many"
        )
    counted = sum(p.numel() for p in net.parameters())
    beside = counted - sum(row.parameters for row in rows)
    if beside:  # parameters of modules that contain others
        rows.append(Layer("(others)", "Parameter", (), beside))
    return rows


def _row(name: str, module: nn.Module, shape: tuple[int, ...]) -> Layer:
    parameters = sum(p.numel() for p in module.parameters(recurse=False))
    weight = getattr(module, "weight", None)
    macs = 0
    if isinstance(weight, Tensor) and isinstance(module, nn.Conv2d | nn.Linear):
        positions = shape[-1] * shape[-2] if isinstance(module, nn.Conv2d) else 1
        macs = weight.numel() * positions
    return Layer(name, type(module).__name__, shape, parameters, macs, macs)
