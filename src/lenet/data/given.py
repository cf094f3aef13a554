"""Images that a Python program gives: arrays, tensors, pictures of Pillow's and files. Nothing here imports torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lenet.data.drawings import Drawing
from lenet.data.prepare import drawing, drawn
from lenet.datasets import IMAGE_SIZE, Fit
from lenet.errors import BadInput

KINDS = "give arrays, tensors, pictures of Pillow's or names of files, or a list of them"


def drawings(given: Any, fit: Fit | None = None, invert: bool | None = None) -> list[Drawing]:
    """Images as a net gets them, grey and of 28x28 pixels: `lenet.data.prepare`.

    Args:
        given: a name of a file, a picture of Pillow's, or an array or tensor; or several in a list. An array is of
            0..255 (uint8) or of 0..1 (floats), and its shape (h, w), (h, w, 3), (n, h, w), (n, 1, h, w) or
            (n, h, w, 3). Arrays of 28x28 are images of a data set, and stay as they are.
        fit: how the data set that the net was trained on was made.
        invert: whether what is dark becomes bright; None: the picture tells.

    Raises:
        BadInput: something is none of these, a file that is no picture, or nothing is to be seen on it.
    """
    found: list[Drawing] = []
    for one in _each_of(given):
        number = str(len(found))
        if isinstance(one, Drawing):
            found.append(one)
        elif isinstance(one, Path):
            found.append(drawing(one, fit, invert, named=""))
        elif isinstance(one, Image.Image):
            found.append(drawn(one, number, fit, invert, f"image {number}: "))
        elif one.shape == (IMAGE_SIZE, IMAGE_SIZE):
            found.append(Drawing(number, Image.fromarray(255 - one if invert else one), invert))
        else:
            found.append(drawn(Image.fromarray(one), number, fit, invert, f"image {number}: "))
    if not found:
        raise BadInput(f"no image; {KINDS}")
    return found


def _each_of(given: Any) -> Iterator[Drawing | Path | Image.Image | npt.NDArray[np.uint8]]:
    if isinstance(given, Drawing | Image.Image):
        yield given
    elif isinstance(given, str | Path):
        yield Path(given)
    elif hasattr(given, "__array__"):
        yield from _each(given)
    elif isinstance(given, list | tuple):
        for one in given:
            yield from _each_of(one)
    else:
        raise BadInput(f"{type(given).__name__}: no image; {KINDS}")


def _each(given: Any) -> Iterator[npt.NDArray[np.uint8]]:
    """The images of an array, (h, w), (h, w, 3) or (h, w, 4)."""
    values = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
    shape = f"an array of shape {values.shape}"
    if values.ndim == 4 and values.shape[1] in (1, 3) and values.shape[3] not in (1, 3):
        values = values.transpose(0, 2, 3, 1)  # channels last, as Pillow has them
    if values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (1, 3, 4)):  # one picture
        values = values[None]
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if not (values.ndim == 3 or (values.ndim == 4 and values.shape[3] in (3, 4))) or 0 in values.shape[1:]:
        raise BadInput(f"{shape}: no images; give (h, w), (n, h, w), (n, 1, h, w) or (n, h, w, 3)")
    yield from np.ascontiguousarray(_levels(values, shape))


def _levels(values: npt.NDArray[Any], shape: str) -> npt.NDArray[np.uint8]:
    """Grey values of 0..255."""
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if not values.size or values.dtype == np.uint8:
        return values.astype(np.uint8)
    if not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
        raise BadInput(f"{shape}: of {values.dtype}, which are no numbers; give 0..255 (uint8) or 0..1 (floats)")
    low, high, most = values.min(), values.max(), 1 if np.issubdtype(values.dtype, np.floating) else 255
    if not (low >= 0 and high <= most):
        raise BadInput(
            f"{shape}: has values from {low:.3g} to {high:.3g}; give 0..255 (uint8) or 0..1 (floats). What is "
            "normalised already goes to .net"
        )
    return (values * (255 / most)).round().astype(np.uint8)
