"""Pictures to look at: what the layers see, and what is taken for what.

Drawn with Pillow, pixel by pixel: six of them take a tenth of a second, where matplotlib needs more than one, and every
run of a sweep ends with them. They are just as wide as TensorBoard shows them, which shrinks wider ones by leaving out
pixels, letters and all; `scale` makes larger ones for files.
"""

import functools
import io
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from lenet.batches import EVALUATION_BATCH
from lenet.data.drawings import Drawing
from lenet.evaluation.checks import picture_format
from lenet.evaluation.predictions import Predictions
from lenet.models.lenet import LeNet
from lenet.models.lenet5 import LeNet5
from lenet.text import counted, one_line
from lenet.training.module import Classifier

WIDTH = 350  # pixels, at scale 1, as all lengths here
LETTERS = 11
LINE = 14  # from one line of text to the next
GAP = 5
MOST_MAPS = 16  # of a layer in a row for each class
LIKELIEST = 3  # classes that are named
MISTAKES = 12  # that are listed
CELL, NAMES = 28, 66  # of a confusion matrix: the side of a cell, and the room for a name
SMALLEST = 7  # letters that can be read

Colours = tuple[tuple[int, int, int], ...]
GREY: Colours = ((0, 0, 0), (255, 255, 255))
HEAT: Colours = ((20, 20, 70), (30, 120, 140), (250, 230, 90))
DIVERGING: Colours = ((40, 80, 190), (255, 255, 255), (200, 40, 40))
BLUES: Colours = ((255, 255, 255), (30, 90, 170))
BLACK, DARK_RED, FRAME, WHITE = (0, 0, 0), (170, 20, 20), (190, 190, 190), (255, 255, 255)

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)


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
        is_wrong = _name(title) in answers and _name(title) != answer
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


def _name(title: str) -> str:
    return title.split(" (")[0]


def as_png(picture: Image.Image) -> bytes:
    return as_file(picture, ".png")


def as_file(picture: Image.Image, suffix: str) -> bytes:
    """The bytes of a file whose name ends so.

    Raises:
        ValueError: Pillow writes no such file.
    """
    content = io.BytesIO()
    picture.save(content, format=picture_format(suffix))
    return content.getvalue()


class Canvas:
    """A white picture, and where to put things: x to the right and y down, in pixels at scale 1."""

    def __init__(self, width: int, height: int, scale: int = 1) -> None:
        self.scale = scale
        self.image = Image.new("RGB", (width * scale, height * scale), WHITE)
        self._draw = ImageDraw.Draw(self.image)

    def put(self, pixels: Pixels, x: int, y: int, width: int, height: int) -> None:
        """Pixels, enlarged or shrunk to a size without being blurred."""
        height, width = height * self.scale, width * self.scale
        rows = np.arange(height) * len(pixels) // height
        columns = np.arange(width) * pixels.shape[1] // width
        self.image.paste(Image.fromarray(pixels[rows[:, None], columns]), (x * self.scale, y * self.scale))

    def frame(self, x: int, y: int, width: int, height: int) -> None:
        corners = [x * self.scale, y * self.scale, (x + width) * self.scale - 1, (y + height) * self.scale - 1]
        self._draw.rectangle(corners, outline=FRAME)

    def write(
        self,
        text: str,
        x: int,
        y: int,
        room: int = WIDTH,
        anchor: str = "la",
        colour: tuple[int, int, int] = BLACK,
        size: int = LETTERS,
    ) -> None:
        """A line of text, in smaller letters where it would take more than `room` pixels; cut where these do as well.

        Args:
            anchor: what of the text x and y are; Pillow's: la is left and top, mm the middle, rm right and middle.
            size: of the letters, in pixels.
        """
        size *= self.scale
        while size > SMALLEST and self._draw.textlength(text, _font(size)) > room * self.scale:
            size -= 1
        whole = text
        while len(text) > 2 and self._draw.textlength(text, _font(size)) > room * self.scale:
            text = f"{whole[: len(text) - 2]}…"
        self._draw.text((x * self.scale, y * self.scale), text, fill=colour, font=_font(size), anchor=anchor)

    def write_upwards(self, text: str, x: int, y: int, room: int, size: int = LETTERS) -> None:
        """A line of text from (x, y), the middle of its first letter, to the top."""
        lying = Canvas(room, LINE if size == LETTERS else size + 1, self.scale)
        lying.write(text, 0, lying.image.height // self.scale // 2, room, "lm", size=size)
        left = x - lying.image.height // self.scale // 2
        self.image.paste(lying.image.rotate(90, expand=True), (left * self.scale, (y - room) * self.scale))


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType
    return font


def paint(values: Tensor, low: float, high: float, colours: Colours) -> Pixels:
    """Values (h, w) from `low` to `high` as colours, with those between mixed; NaN is white."""
    shares = (values.double().numpy() - low) / ((high - low) or 1) * (len(colours) - 1)
    stops = np.arange(len(colours))
    channels = [np.interp(shares, stops, [colour[i] for colour in colours]) for i in range(3)]
    return np.nan_to_num(np.stack(channels, axis=-1), nan=255).round().astype(np.uint8)


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
        canvas.write(_name(each.title), GAP, y + tall // 2 - each.is_wrong * LINE // 2, names - GAP, "lm")
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
    longest = max(_font(LETTERS).getlength(name) for name in names)
    for_names = min(NAMES, math.ceil(longest) + GAP)
    cell = min(CELL, (room - for_names - GAP) / columns)
    return (math.floor(cell) if cell >= 1 else cell), for_names


def _have_room(counts: Sequence[Sequence[int]], cell: float) -> bool:
    """Whether every number fits into a cell, and can be read."""
    longest = max(len(str(count)) for row in counts for count in row)
    return cell >= CELL or _font(SMALLEST).getlength("0" * longest) <= cell - 2


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
