"""Figures to look at: what the layers see, and what is taken for what. Drawn with matplotlib, without a screen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
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
        predicted = model(x).argmax(1).tolist()
        for name, layer in model.net.named_children():
            x = layer(x)
            if name in wanted and x.dim() == 4:  # with one convolution layer act3 is behind a fully connected one
                maps[wanted[name]] = x.float().cpu()
    return [
        Sight(
            image=images[i, 0].cpu(),
            title=title,
            answer=answers[predicted[i]],
            maps={name: values[i] for name, values in maps.items()},
        )
        for i, title in enumerate(titles)
    ]


def activations_figure(sights: Sequence[Sight]) -> Figure:
    """A row for each image: the image, then the maps of each layer, with one scale of grey per layer."""
    layers = list(sights[0].maps)
    pictures = [mosaic(sights[0].maps[name]) for name in layers]
    widths = [1.0] + [picture.shape[1] / picture.shape[0] for picture in pictures]
    # One picture in one pair of axes: matplotlib's own layout, ticks and titles take five times as long, and every run
    # of a sweep ends with this.
    side, gap, title = 340, 15, 55  # pixels, at 100 to an inch
    width = int(side * sum(widths)) + gap * (len(widths) + 1)
    height = (side + gap + title) * len(sights)
    canvas = np.full((height, width, 4), 255, dtype=np.uint8)
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    ranges = {
        name: (
            min(sight.maps[name].min().item() for sight in sights),
            max(sight.maps[name].max().item() for sight in sights),
        )
        for name in layers
    }
    for row, sight in enumerate(sights):
        grey = (sight.image.min().item(), sight.image.max().item())
        shown = [(sight.image, f"{sight.title}\ntaken for: {sight.answer}", "gray", grey)]
        for name in layers:
            maps, (low, high) = sight.maps[name], ranges[name]
            size = "×".join(str(side) for side in maps.shape[1:])
            text = f"{name}: {len(maps)} maps of {size}, {low:.2f} to {high:.2f}"
            shown.append((mosaic(maps), text, "viridis", (low, high)))
        left, top = gap, row * (side + gap + title) + title
        for (picture, text, colours, (low, high)), share in zip(shown, widths, strict=True):
            across = int(side * share)
            painted = colormaps[colours].with_extremes(bad="white")(
                (picture.numpy() - low) / ((high - low) or 1), bytes=True
            )
            rows = np.arange(side) * len(painted) // side
            columns = np.arange(across) * painted.shape[1] // across
            canvas[top : top + side, left : left + across] = painted[rows[:, None], columns]
            figure.text(
                (left + across / 2) / width, 1 - (top - 8) / height, text, fontsize=13, ha="center", va="bottom"
            )
            left += across + gap
    axes = figure.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
    axes.imshow(canvas, aspect="auto", interpolation="nearest")
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
