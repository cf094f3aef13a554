"""Pictures to look at: what the layers see, and what is taken for what. `scale` makes larger ones, for files."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lenet.data.drawings import Drawing
from lenet.evaluation.activations import Activations, class_in
from lenet.evaluation.canvas import (
    BLACK,
    BLUES,
    DARK_RED,
    DIVERGING,
    GAP,
    GREY,
    HEAT,
    LETTERS,
    LINE,
    SMALLEST,
    WHITE,
    WIDTH,
    Canvas,
    font,
    mosaic,
    paint,
)
from lenet.evaluation.predictions import Predictions
from lenet.text import counted, one_line

MOST_MAPS = 16  # of a layer in a row for each class
MISTAKES = 12  # that are listed
CELL, NAMES = 28, 66  # of a confusion matrix: the side of a cell, and the room for a name


def _range(captured: Sequence[Activations], layer: str) -> tuple[float, float]:
    """One scale for all images, so that they can be compared."""
    return (
        min(each.maps[layer].min().item() for each in captured),
        max(each.maps[layer].max().item() for each in captured),
    )


def activations(captured: Sequence[Activations], scale: int = 1) -> Image.Image:
    """A column for each image: the image, then all maps of each layer, with one scale per layer."""
    mosaics = {layer: [mosaic(each.maps[layer]) for each in captured] for layer in captured[0].maps}
    column = (max(WIDTH, 150 * len(captured)) - GAP * (len(captured) + 1)) // max(
        2, len(captured)
    )  # one has half the width
    side = min(column, 140)  # of the image
    heights = {layer: column * shown[0].shape[0] // shown[0].shape[1] for layer, shown in mosaics.items()}
    height = 2 * LINE + side + sum(LINE + GAP + tall for tall in heights.values()) + 3 * GAP
    canvas = Canvas(max(WIDTH, GAP + (column + GAP) * len(captured)), height, scale)
    for number, each in enumerate(captured):
        x, y = GAP + number * (column + GAP), GAP
        canvas.write(each.title, x, y, column)
        canvas.write(f"taken for: {each.answer}", x, y + LINE, column, colour=DARK_RED if each.is_wrong else BLACK)
        y += 2 * LINE
        grey = (each.image.min().item(), each.image.max().item())
        canvas.put(paint(each.image, *grey, GREY), x, y, side, side)
        canvas.frame(x, y, side, side)  # where it is bright at its edge, so is the page
        y += side + GAP
        for layer, shown in mosaics.items():
            low, high = _range(captured, layer)
            maps = each.maps[layer]
            size = "x".join(str(side) for side in maps.shape[1:])
            canvas.write(f"{layer}: {counted(len(maps), 'map')} of {size}, {low:.2f} to {high:.2f}", x, y, column)
            canvas.put(paint(shown[number], low, high, HEAT), x, y + LINE, column, heights[layer])
            y += LINE + heights[layer] + GAP
    return canvas.image


def classes(captured: Sequence[Activations], layer: str) -> Image.Image:
    """A row for each image: what it is and what it is taken for, the image, and the maps of one layer."""
    low, high = _range(captured, layer)
    maps = len(captured[0].maps[layer])
    shown = min(maps, MOST_MAPS)
    names, side, gap, in_a_line = 72, 28, 2, 8
    tall = (side + gap) * math.ceil(shown / in_a_line)
    canvas = Canvas(WIDTH, LINE + 2 * GAP + (tall + GAP) * len(captured))
    which = f"{shown} of {maps} maps" if shown < maps else counted(maps, "map")
    canvas.write(f"{layer}: {which}, {low:.2f} to {high:.2f}; red: taken for another class", GAP, GAP, WIDTH - 2 * GAP)
    for row, each in enumerate(captured):
        y = LINE + 2 * GAP + row * (tall + GAP)
        canvas.write(class_in(each.title), GAP, y + tall // 2 - each.is_wrong * LINE // 2, names - GAP, "lm")
        if each.is_wrong:
            canvas.write(f"-> {each.answer}", GAP, y + tall // 2 + LINE // 2, names - GAP, "lm", DARK_RED)
        grey = (each.image.min().item(), each.image.max().item())
        canvas.put(paint(each.image, *grey, GREY), names, y + (tall - side) // 2 - 1, side, side)
        for number in range(shown):
            x = names + side + GAP + number % in_a_line * (side + gap)
            top = y + number // in_a_line * (side + gap)
            canvas.put(paint(each.maps[layer][number], low, high, HEAT), x, top, side, side)
    return canvas.image


def filters(weight: Tensor) -> Image.Image:
    """The kernels (n, 1, h, w) of the first layer."""
    kernels = weight.detach().float().cpu()[:, 0]
    most = kernels.abs().max().item()
    picture = mosaic(kernels)
    width = WIDTH - 2 * GAP
    height = width * picture.shape[0] // picture.shape[1]
    canvas = Canvas(WIDTH, height + LINE + 3 * GAP)
    size = "x".join(str(side) for side in kernels.shape[1:])
    text = f"{len(kernels)} filters of {size}; blue: {-most:.2f}, white: 0, red: {most:.2f}"
    canvas.write(text, GAP, GAP, WIDTH - 2 * GAP)
    canvas.put(paint(picture, -most, most, DIVERGING), GAP, LINE + 2 * GAP, width, height)
    return canvas.image


def confusion(
    counts: Sequence[Sequence[int]],
    is_: Sequence[str],
    predicted: Sequence[str],
    title: str,
    scale: int = 1,
    most: int = WIDTH,
) -> Image.Image:
    """The confusion matrix [true][predicted] with names; colours show shares of a row, numbers count images.

    Where many classes leave no room for numbers, the most frequent mistakes are listed below, and colours show the root
    of the shares, so that mistakes can be seen. Where they leave none for names, every second or third is named.

    Args:
        most: the width that it may have.
    """
    cell, names = _sizes([*is_, *predicted], len(predicted), most)
    top = LINE * 2 + 2 * GAP + names
    wide, tall = round(cell * len(predicted)), round(cell * len(is_))
    width = WIDTH if names + wide <= WIDTH else names + wide + GAP
    numbers = _have_room(counts, cell)
    mistakes = [] if numbers else _frequent(counts, is_, predicted)
    canvas = Canvas(width, top + tall + GAP + LINE * (len(mistakes) + 1) * (not numbers), scale)
    canvas.write(title, GAP, GAP, width - 2 * GAP)
    legend = "row: what it is; column: what it is taken for" + ("" if numbers else "; colour: root of the share")
    canvas.write(legend, GAP, GAP + LINE, width - 2 * GAP)
    shares = torch.tensor([[count / max(1, sum(row)) for count in row] for row in counts])
    canvas.put(paint(shares if numbers else shares.sqrt(), 0, 1, BLUES), names, top, wide, tall)
    letters = min(LETTERS, max(SMALLEST, int(cell) - 1))
    every = math.ceil((letters + 1) / cell)  # so that names do not overlap
    for j in range(0, len(predicted), every):
        canvas.write_upwards(predicted[j], names + int((j + 0.5) * cell), top - GAP // 2, names, letters)
    for i in range(0, len(is_), every):
        y = top + int((i + 0.5) * cell)
        canvas.write(is_[i], names - GAP // 2, y, names - GAP // 2, "rm", size=letters)
    for i, j in itertools.product(range(len(is_)), range(len(predicted))):
        if numbers and (count := counts[i][j]):
            x, y = names + int((j + 0.5) * cell), top + int((i + 0.5) * cell)
            canvas.write(str(count), x, y, int(cell) - 2, "mm", WHITE if shares[i, j] > 0.5 else BLACK)
    for line, mistake in enumerate(["the most frequent mistakes:", *mistakes] if not numbers else []):
        canvas.write(mistake, GAP, top + tall + GAP + line * LINE, width - 2 * GAP)
    return canvas.image


def _sizes(names: Sequence[str], columns: int, room: int) -> tuple[float, int]:
    """The side of a cell and the room for a name, at most CELL and NAMES pixels, in a picture that is `room` wide."""
    if NAMES + CELL * columns <= room:
        return CELL, NAMES
    longest = max(font(LETTERS).getlength(name) for name in names)
    for_names = min(NAMES, math.ceil(longest) + GAP)
    cell = min(CELL, (room - for_names - GAP) / columns)
    return (math.floor(cell) if cell >= 1 else cell), for_names


def _have_room(counts: Sequence[Sequence[int]], cell: float) -> bool:
    """Whether every number fits into a cell, and can be read."""
    longest = max(len(str(count)) for row in counts for count in row)
    return cell >= CELL or font(SMALLEST).getlength("0" * longest) <= cell - 2


def _frequent(counts: Sequence[Sequence[int]], is_: Sequence[str], predicted: Sequence[str]) -> list[str]:
    """The most frequent mistakes, in words."""
    all_of_them = [
        (count, is_[i], predicted[j], sum(row))
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if count and is_[i] != predicted[j]
    ]
    first = sorted(all_of_them, key=lambda each: -each[0])[:MISTAKES]
    return [f"{true} taken for {taken}: {count:,} of {of:,}" for count, true, taken, of in first]


def sheet(drawings: Sequence[Drawing], answers: Sequence[str], scale: int = 3) -> Image.Image:
    """What a net saw of pictures, side by side, each with its name and the answer."""
    columns, side = min(5, len(drawings)), 84
    column = side + 4 * GAP
    rows = math.ceil(len(drawings) / columns)
    canvas = Canvas(columns * column, rows * (side + 2 * LINE + 3 * GAP), scale)
    for number, (drawing, answer) in enumerate(zip(drawings, answers, strict=True)):
        x, y = number % columns * column + 2 * GAP, number // columns * (side + 2 * LINE + 3 * GAP) + GAP
        canvas.put(np.asarray(drawing.grey.convert("RGB")), x, y, side, side)
        canvas.write(one_line(drawing.name), x, y + side + 2, side)
        canvas.write(answer, x, y + side + 2 + LINE, side)
    return canvas.image


def surest_mistakes(
    predictions: Predictions, images: Tensor, names: Sequence[str], title: str, scale: int = 1
) -> Image.Image:
    """The mistakes that the net was most confident of, with what each image (n, 1, h, w) is and is taken for."""
    mistakes = predictions.surest_mistakes(12)
    columns, side = 4, 62
    column = WIDTH // columns
    rows = max(1, math.ceil(len(mistakes) / columns))
    canvas = Canvas(WIDTH, LINE + 2 * GAP + rows * (side + 2 * LINE + 2 * GAP), scale)
    canvas.write(title, GAP, GAP, WIDTH - 2 * GAP)
    for number, mistake in enumerate(mistakes):
        x = number % columns * column + GAP
        y = LINE + 2 * GAP + number // columns * (side + 2 * LINE + 2 * GAP)
        image = images[mistake.index, 0].float().cpu()
        canvas.put(paint(image, 0, image.max().item(), GREY), x, y, side, side)
        canvas.write(f"is: {names[mistake.true]}", x, y + side + 2, column - GAP)
        taken = f"{names[mistake.predicted]} {100 * mistake.probability:.0f} %"
        canvas.write(taken, x, y + side + 2 + LINE, column - GAP, colour=DARK_RED)
    return canvas.image
