"""From the data files to tensors."""

import functools

import torch
from torch import Tensor

from lenet.data import download, pictures
from lenet.datasets import DATASETS, FOLDER, IMAGE_SIZE
from lenet.errors import BadInput

Batch = tuple[Tensor, Tensor]  # images and labels


def parse_idx(content: bytes, dimensions: int) -> Tensor:
    """An IDX file of unsigned bytes as a uint8 tensor.

    Raises:
        ValueError: the content is no IDX file of that many dimensions, or shorter or longer than its header says.
    """
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, 8, dimensions]):
        raise ValueError(f"no IDX file of unsigned bytes in {dimensions} dimensions")
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, header, 4)]
    size = functools.reduce(lambda a, b: a * b, shape)
    if len(content) != header + size:
        raise ValueError(f"{len(content)} bytes where the header says {header + size}")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[header:].reshape(shape)


@functools.lru_cache(maxsize=4)
def load(name: str, root: str, split: str) -> Batch:
    """Images (n, 1, 28, 28) as uint8 and labels (n,) as int64, of the official `train` or `test` images.

    Loaded once per process. Call `fetched` first. Treat the tensors as constants.
    """
    if name == FOLDER:
        return pictures.read(root, split)
    record = DATASETS[name]
    try:
        images, labels = (
            parse_idx(download.read(name, root, file), 3 - 2 * i) for i, file in enumerate(record.files(split))
        )
    except OSError as error:
        raise BadInput(f"data.root={root}: {error.filename} cannot be read ({error.strerror})") from error
    if record.is_transposed:
        images = images.transpose(1, 2).contiguous()
    labels = labels.long() - record.first_label
    assert images.shape[1:] == (IMAGE_SIZE, IMAGE_SIZE)
    assert len(images) == len(labels)
    if not 0 <= labels.min() <= labels.max() < len(record.classes):
        raise BadInput(f"data.root={root}: the labels of {record.title} are of other classes; remove its files")
    return images.unsqueeze(1), labels


@functools.cache
def fetched(name: str, root: str, only_there: bool = False) -> None:
    """`download.fetch`, once per process: what is in memory then does not change with the files.

    Args:
        only_there: make and fetch nothing, since `root` is what a stranger's config says.

    Raises:
        BadInput: the files are not to be had.
    """
    if only_there:
        download.find(name, root)
    download.fetch(name, root)
    if name == FOLDER and not only_there:
        pictures.keep(root)
