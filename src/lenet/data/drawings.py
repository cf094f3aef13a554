"""Pictures from files, as a net gets them: grey, and of 28x28 pixels. Nothing here imports torch."""

import struct
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from lenet.datasets import IMAGE_SIZE
from lenet.errors import BadInput
from lenet.runs.safe_io import open_file
from lenet.text import one_line

SIZE = (IMAGE_SIZE, IMAGE_SIZE)

# In grey values of 0..255. Each of the 20,000 test images of both data sets goes from 0 to 254 or more, and the median
# of the pixels along its edge is 89 or less, and not above the mean of the rest.
LEAST_CONTRAST = 64
BRIGHTEST_BORDER = 96


DAMAGED = (OSError, EOFError, SyntaxError, ValueError, struct.error)  # what Pillow raises of a file


class Unreadable(BadInput):
    """Of a picture there is a head, and no pixels."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"cannot be read ({getattr(error, 'strerror', None) or error})")


@dataclass(frozen=True)
class Drawing:
    """A picture from a file."""

    name: str
    grey: Image.Image  # mode L, of SIZE
    inverted: bool | None = None  # whether somebody has said so
    told: tuple[str, ...] | None = None  # of one that was fitted in: what was seen on the way

    @property
    def warning(self) -> str | None:
        """In a line, why a net that was trained on bright things before black cannot be expected to know it."""
        if self.told is not None:
            return one_line(f"{self.name}: {'; '.join(self.told)}") if self.told else None
        pixels = np.asarray(self.grey, float)
        border, within = _border_and_within(pixels)
        darkest, brightest = int(pixels.min()), int(pixels.max())
        said = None
        if brightest - darkest < LEAST_CONTRAST:
            said = (
                f"it is flat, its grey values go from {darkest} to {brightest}; the net was trained on 0 to 255: give "
                "one with more contrast"
            )
        elif border > within and self.inverted:
            said = "its border is bright once it is inverted; the net was trained on bright on dark: leave out --invert"
        elif border > within and self.inverted is False:
            said = "its border is bright; the net was trained on bright on dark: leave out --no-invert"
        elif border > within:
            said = "its border is bright, as of ink on paper; the net was trained on bright on dark: give --invert"
        elif border > BRIGHTEST_BORDER:
            said = "its background is grey; the net was trained on things before black: make it darker"
        return said and one_line(f"{self.name}: {said}")


def _border_and_within(pixels: npt.NDArray[Any]) -> tuple[float, float]:
    along_the_edge = np.ones(pixels.shape, bool)
    along_the_edge[1:-1, 1:-1] = False
    return float(np.median(pixels[along_the_edge])), float(pixels[~along_the_edge].mean())


def has_bright_border(pixels: npt.NDArray[Any]) -> bool:
    """Whether a thing is darker than what is behind it, by the border of the picture (h, w)."""
    border, within = _border_and_within(pixels)
    return border > within and border > BRIGHTEST_BORDER


def as_grey(picture: Image.Image) -> Image.Image:
    """Mode L, of SIZE: grey, and squeezed where it is no square."""
    return upright(picture).convert("L").resize(SIZE)


def upright(picture: Image.Image) -> Image.Image:
    """A picture as a person sees it, opaque, in a mode of 8 bits that Pillow converts to L and to RGB.

    Raises:
        Unreadable: its pixels cannot be had.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Pillow skips because it is damaged
            picture.load()
    except DAMAGED as error:
        raise Unreadable(error) from error
    with suppress(Exception):  # of many kinds, where what it says beside the picture is damaged
        picture = ImageOps.exif_transpose(picture)  # a photograph lies as the camera was held
    if picture.mode.startswith(("I", "F")):
        return _of_large_numbers(picture)
    if picture.has_transparency_data:
        picture = _on_a_background(picture.convert("LA" if picture.mode == "La" else "RGBA").convert("RGBA"))
    if picture.mode == "LAB":
        picture = picture.getchannel(0)
    return picture


def _on_a_background(picture: Image.Image) -> Image.Image:
    """On black, or on white if that shows more of it: ink is black also where its paper is transparent."""
    levels = np.asarray(picture.resize(SIZE).convert("LA"), float)
    brightness, opacity = levels[..., 0], levels[..., 1]
    shown_on_black, shown_on_white = (brightness * opacity).sum(), ((255 - brightness) * opacity).sum()
    background = Image.new("RGBA", picture.size, "white" if shown_on_white > shown_on_black else "black")
    return Image.alpha_composite(background, picture)


def _of_large_numbers(picture: Image.Image) -> Image.Image:
    """Of a picture of 16 bits, of integers or of floats; Pillow's own way makes all beyond 255 white."""
    numbers = picture.convert("I") if picture.mode.startswith("I;16") else picture
    highest = float(numbers.getextrema()[1])  # type: ignore[arg-type]  # one band has one pair
    white = next((white for white in (1, 255, 65535) if highest <= white), highest)
    if numbers is not picture:
        white = 65535
    levels = numbers.convert("F").point(lambda level: level * (255 / white) + 0.5)  # what follows rounds down
    return levels.convert("L")


# What people have pictures in. Pillow knows some forty more, of which one starts another program.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF")


@contextmanager
def picture(file: Path, named: str = "--image ") -> Iterator[Image.Image]:
    """A picture, to be looked at within; `named` is how it was named, for what is said of a bad one.

    Raises:
        BadInput: the file is no picture, or one too large to be opened safely, or `upright` has found no pixels.
    """
    with ExitStack() as stack:
        with _in_one_line(file, named):
            content = stack.enter_context(open_file(file, largest=None))
            opened = stack.enter_context(Image.open(content, formats=FORMATS))
            getattr(opened, "n_frames", 1)  # which looks at them all
        try:
            yield opened
        except Unreadable as error:
            raise BadInput(f"{named}{file}: {error}") from error


@contextmanager
def _in_one_line(file: Path, named: str) -> Iterator[None]:
    """What Pillow raises of a file, as BadInput."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Pillow skips because it is damaged
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # where it begins to be large
            yield
    except UnidentifiedImageError as error:
        raise BadInput(f"{named}{file}: not a picture that can be read here; give a PNG or JPEG file") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        words = str(error).split(",")[0]
        raise BadInput(f"{named}{file}: {words}; give a smaller picture") from error
    except DAMAGED as error:
        raise BadInput(f"{named}{file}: {Unreadable(error)}") from error
