"""How pictures are drawn: with Pillow, pixel by pixel.

Six of them take a tenth of a second, where matplotlib needs more than one, and every run of a sweep ends with them. All
are just as wide as TensorBoard shows them, which shrinks wider ones by leaving out pixels, letters and all.
"""

import functools
import io
import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lenet.evaluation.checks import picture_format

WIDTH = 350  # pixels, at scale 1, as all lengths here
LETTERS = 11
LINE = 14  # from one line of text to the next
GAP = 5
SMALLEST = 7  # letters that can be read

Colours = tuple[tuple[int, int, int], ...]
GREY: Colours = ((0, 0, 0), (255, 255, 255))
HEAT: Colours = ((20, 20, 70), (30, 120, 140), (250, 230, 90))
DIVERGING: Colours = ((40, 80, 190), (255, 255, 255), (200, 40, 40))
BLUES: Colours = ((255, 255, 255), (30, 90, 170))
BLACK, DARK_RED, FRAME, WHITE = (0, 0, 0), (170, 20, 20), (190, 190, 190), (255, 255, 255)

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)


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
        while size > SMALLEST and self._draw.textlength(text, font(size)) > room * self.scale:
            size -= 1
        whole = text
        while len(text) > 2 and self._draw.textlength(text, font(size)) > room * self.scale:
            text = f"{whole[: len(text) - 2]}…"
        self._draw.text((x * self.scale, y * self.scale), text, fill=colour, font=font(size), anchor=anchor)

    def write_upwards(self, text: str, x: int, y: int, room: int, size: int = LETTERS) -> None:
        """A line of text from (x, y), the middle of its first letter, to the top."""
        lying = Canvas(room, LINE if size == LETTERS else size + 1, self.scale)
        lying.write(text, 0, lying.image.height // self.scale // 2, room, "lm", size=size)
        left = x - lying.image.height // self.scale // 2
        self.image.paste(lying.image.rotate(90, expand=True), (left * self.scale, (y - room) * self.scale))


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
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
