"""Figures to look at: what the layers see, and what is taken for what. Drawn with matplotlib, without a screen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from torch import Tensor

from lenet.classifier import Classifier
from lenet.evaluate import Evaluation


@dataclass(frozen=True)
class Sight:
    """One image, what it is, what the net takes it for, and every map of its first convolution layers."""

    image: Tensor  # (h, w), as the net gets it
    title: str
    answer: str
    maps: dict[str, Tensor]  # layer -> (maps, h, w)


def look(model: Classifier, images: Tensor, titles: Sequence[str], answers: Sequence[str], pooled: bool) -> list[Sight]:
    """Run normalised images (n, 1, h, w) through the net and keep what its first two convolution layers give.

    Args:
        model: in evaluation mode.
        titles: what each image is.
        answers: the names of the classes that the net can name.
        pooled: the maps behind the pooling layers instead of those before.
    """
    wanted = {"s2": "S2", "s4": "S4"} if pooled else {"act1": "C1", "act3": "C3"}
    maps: dict[str, Tensor] = {}
    with torch.inference_mode():
        x = images.to(model.device).to(model.dtype)
        for name, layer in model.net.named_children():
            x = layer(x)
            if name in wanted and x.dim() == 4:  # with one convolution layer act3 is behind a fully connected one
                maps[wanted[name]] = x.float().cpu()
    return [
        Sight(
            image=images[i, 0].cpu(),
            title=title,
            answer=answers[int(x[i].argmax())],
            maps={name: values[i] for name, values in maps.items()},
        )
        for i, title in enumerate(titles)
    ]


def activations_figure(sights: Sequence[Sight]) -> Figure:
    """A row for each image: the image, then the maps of each layer, with one scale of grey per layer."""
    layers = list(sights[0].maps)
    pictures = [mosaic(sights[0].maps[name]) for name in layers]
    widths = [1.0] + [picture.shape[1] / picture.shape[0] for picture in pictures]
    layout = ConstrainedLayoutEngine(h_pad=0.1)  # inches; less clips the titles
    figure = Figure(figsize=(3.4 * sum(widths), 3.9 * len(sights)), layout=layout)
    grid = figure.subplots(len(sights), 1 + len(layers), squeeze=False, width_ratios=widths)
    ranges = {
        name: (
            min(sight.maps[name].min().item() for sight in sights),
            max(sight.maps[name].max().item() for sight in sights),
        )
        for name in layers
    }
    for row, sight in zip(grid, sights, strict=True):
        row[0].imshow(sight.image.numpy(), cmap="gray")
        row[0].set_title(f"{sight.title}\ntaken for: {sight.answer}", fontsize=13)
        for axes, name in zip(row[1:], layers, strict=True):
            maps = sight.maps[name]
            low, high = ranges[name]
            axes.imshow(mosaic(maps).numpy(), cmap="viridis", vmin=low, vmax=high)
            size = "×".join(str(side) for side in maps.shape[1:])
            axes.set_title(f"{name}: {len(maps)} maps of {size}, {low:.2f} to {high:.2f}", fontsize=13)
        for axes in row:
            axes.axis("off")
    return figure


def mosaic(maps: Tensor) -> Tensor:
    """Maps (n, h, w) side by side in rows and columns, with gaps of NaN, which is not drawn, between them."""
    n, height, width = maps.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    gap = max(1, height // 10)
    picture = torch.full((rows * (height + gap) - gap, columns * (width + gap) - gap), math.nan)
    for i, values in enumerate(maps):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        picture[top : top + height, left : left + width] = values
    return picture


def confusion_figure(evaluation: Evaluation) -> Figure:
    """The confusion matrix with class names; colours show shares of a row, numbers count images."""
    e = evaluation
    figure = Figure(figsize=(9, 8.2), layout="constrained")
    axes = figure.subplots()
    counts = torch.tensor(e.confusion, dtype=torch.float)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the row", shrink=0.8)
    axes.set_xticks(range(len(e.answers)), e.answers, rotation=40, ha="right")
    axes.set_yticks(range(len(e.classes)), e.classes)
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    axes.set_title(f"{e.data}, {e.part}: accuracy {e.accuracy:.4f}")
    for i, row in enumerate(e.confusion):
        for j, count in enumerate(row):
            if count:
                axes.text(j, i, str(count), ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    return figure
