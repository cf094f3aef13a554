"""What the layers of a net see of images, and what it answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lenet.batches import EVALUATION_BATCH
from lenet.models.lenet import LeNet
from lenet.models.lenet5 import LeNet5
from lenet.text import one_line
from lenet.training.module import Classifier

LIKELIEST = 3  # classes that are named


@dataclass(frozen=True)
class Activations:
    """One image, what it is, what the net takes it for, and every map of its first convolution layers."""

    image: Tensor  # (h, w), as the net gets it
    title: str
    answer: str
    is_wrong: bool  # it is of a class of the data set, and the answer is another
    maps: dict[str, Tensor]  # layer -> (maps, h, w)
    likeliest: list[tuple[str, float]]  # the classes that come first, with the softmax of the outputs


def capture(
    model: Classifier, images: Tensor, titles: Sequence[str], answers: Sequence[str], pooled: bool
) -> list[Activations]:
    """Run normalised images (n, 1, h, w) through the net and keep what its first two convolution layers give.

    Args:
        model: in evaluation mode.
        titles: what each image is.
        answers: the names of the classes that the net can name.
        pooled: the maps behind the pooling layers instead of those before.
    """
    names = [name for name, _ in model.net.named_children()]
    if pooled:
        wanted = {name: name.upper() for name in names if name.startswith("s")}
    else:
        wanted = {f"act{name[1:]}": name.upper() for name in names if name.startswith("c")}
    maps: dict[str, Tensor] = {}
    with torch.inference_mode():
        x = images.to(model.device).to(model.dtype)
        logits = model(x).cpu()  # LeNet-5 is more than its layers: it turns penalties into logits
        first = logits.argsort(dim=1, descending=True, stable=True)[:, :LIKELIEST]
        shares = logits.double().softmax(1).gather(1, first)
        if isinstance(model.net, LeNet | LeNet5):
            for name, layer in model.net.named_children():
                x = layer(x)
                if name in wanted and x.dim() == 4 and len(maps) < 2:  # C layers may be fully connected ones
                    maps[wanted[name]] = x.float().cpu()
        else:
            maps = _convolved(model.net, x)
    captured = []
    for i, title in enumerate(titles):
        image = images[i, 0].float().cpu()
        likeliest = [(answers[c], share) for c, share in zip(first[i].tolist(), shares[i].tolist(), strict=True)]
        answer = likeliest[0][0]
        is_wrong = class_in(title) in answers and class_in(title) != answer
        seen = {name: values[i] for name, values in maps.items()}
        captured.append(Activations(image, title, answer, is_wrong, seen, likeliest))
    return captured


def probabilities(model: Classifier, images: Tensor) -> Tensor:
    """The softmax of the logits, (n, classes), of normalised images (n, 1, h, w), on the CPU."""
    with torch.inference_mode():
        logits = [model(part.to(model.device)).cpu() for part in torch.split(images, EVALUATION_BATCH)]
    return torch.cat(logits).double().softmax(1)


def _convolved(net: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What the first two convolution layers of a net of any kind give, (n, channels, h, w), by their names."""
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, _: Any, output: Tensor) -> None:
            if len(maps) < 2:
                maps[name] = output.float().cpu()

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        net(images)
    finally:
        for handle in handles:
            handle.remove()
    return maps


def features(net: nn.Module, images: Tensor) -> Tensor:
    """What reaches the last layer of a net of any kind: the outputs of its last hidden layer."""
    if isinstance(net, LeNet | LeNet5):
        for layer in list(net.children())[:-1]:
            images = layer(images)
        return images
    reached: list[Tensor] = []
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    if not linear:
        return net(images)  # type: ignore[no-any-return]
    handle = linear[-1].register_forward_pre_hook(lambda _, given: reached.append(given[0]))
    try:
        net(images)
    finally:
        handle.remove()
    return reached[-1]


def in_words(each: Activations) -> str:
    """A line for the terminal."""
    return one_line(f"{each.title}: " + ", ".join(f"{name} {100 * share:.1f} %" for name, share in each.likeliest))


def class_in(title: str) -> str:
    """The class that the title of an image begins with."""
    return title.split(" (")[0]
