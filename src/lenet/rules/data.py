"""Which images: of the training set something is left to train on."""

from lenet.batches import training_size, validation_size
from lenet.config import Augment, Config
from lenet.datasets import data_set
from lenet.errors import Complaints


def data_rules(config: Config) -> Complaints:
    data, images = config.data, data_set(config.data).training_images
    if not data.augment.erase and data.augment.erase_area != Augment().erase_area:
        yield "data.augment.erase_area", "nothing is erased; set data.augment.erase above 0, or leave it out"
    if not data.root:
        yield "data.root", "name the folder of the data files, such as data"
    held_out = validation_size(data)
    left, size = images - held_out, training_size(data)
    if left <= 0:
        yield "data.val_fraction", "no image is left to train on; give a smaller share"
    if data.train_size is not None and not 1 <= data.train_size <= images:
        yield "data.train_size", f"give an integer from 1 to {images}, or null for all"
    if size > left:
        yield (
            "data.train_size",
            f"data.val_fraction={data.val_fraction} leaves {left} to train on; give at most that, or null for all",
        )
    if data.val_fraction and not held_out:
        yield "data.val_fraction", "no image is held out; give 0 or a larger share"
    if data.drop_last and data.batch_size > size:
        yield (
            "data.batch_size",
            f"larger than the training set of {size}, and data.drop_last leaves out incomplete batches: nothing is "
            f"left; give at most {size}",
        )
