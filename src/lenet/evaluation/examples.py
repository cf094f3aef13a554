"""Images to show a trained net: test images by class or number, noise, and pictures from files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lenet.config import Data
from lenet.data.drawings import Drawing
from lenet.data.files import fetched, load
from lenet.data.transforms import normalise
from lenet.datasets import IMAGE_SIZE, Fit, data_set
from lenet.evaluation import checks


def chosen(
    data: Data,
    classes: Sequence[str] = (),
    numbers: Sequence[int] = (),
    files: Sequence[Path | Drawing] = (),
    noise: bool = False,
    only_there: bool = False,
) -> tuple[Tensor, list[str], list[str]]:
    """The images asked for, or one each of two similar classes if none are.

    Args:
        data: the data set that the net was trained on, with its normalisation.
        classes: names; of each the first test image.
        numbers: of test images, from 0.
        files: pictures, fitted into grey images of 28x28 (`lenet.data.prepare`); some may have been read before.
        noise: add an image of independent uniform pixels.
        only_there: fetch no data (`data.fetched`).

    Returns:
        Normalised images (n, 1, size, size), what each is, and the names of the classes.

    Raises:
        BadInput: a class or number that does not exist, or a file that is no picture.
    """
    names = list(data_set(data).classes)
    if not (classes or numbers or files or noise):
        classes = data_set(data).pair
    classes = checks.class_names(data, classes)
    pixels: list[Tensor] = []
    titles: list[str] = []
    if classes or numbers:
        fetched(data.name, data.root, only_there)
        images, labels = load(data.name, data.root, "test")
        checks.check_numbers(numbers, len(labels))
        firsts = [int((labels == names.index(name)).nonzero()[0]) for name in classes]
        for number in [*firsts, *numbers]:
            pixels.append(images[number])
            titles.append(f"{names[int(labels[number])]} (test image {number})")
    for file in files:
        read = file if isinstance(file, Drawing) else _drawing(file, data_set(data).fit)
        pixels.append(as_tensor(read.grey))
        titles.append(read.name)
    if noise:
        generator = torch.Generator().manual_seed(0)
        pixels.append(torch.randint(0, 256, (1, IMAGE_SIZE, IMAGE_SIZE), generator=generator, dtype=torch.uint8))
        titles.append("noise")
    return normalise(torch.stack(pixels), data.mean, data.std, data.pad), titles, names


def _drawing(file: Path, fit: Fit | None) -> Drawing:
    from lenet.data.prepare import drawing  # brings SciPy, which training does without

    return drawing(file, fit)


def as_tensor(grey: Image.Image) -> Tensor:
    """A grey image (height, width), mode L, as a tensor (1, height, width) of uint8."""
    return torch.from_numpy(np.array(grey)).unsqueeze(0)
