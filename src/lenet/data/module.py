"""MNIST and Fashion-MNIST: IDX files to tensors to a LightningDataModule.

The images stay uint8 in memory, on the GPU when there is one, and are fetched, normalised and augmented a batch at a
time: no worker processes, no per-image Python.
"""

import functools
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lenet import config
from lenet.batches import EVALUATION_BATCH
from lenet.data import download
from lenet.datasets import DATASETS, IMAGE_SIZE
from lenet.errors import BadInput
from lenet.rules import SMALLEST_ERASED

Batch = tuple[Tensor, Tensor]  # images and labels


def epoch_seed(seed: int, epoch: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose in one epoch: everything random is a function of (seed, epoch)."""
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch} {purpose}".encode()).digest()[:8], "big") >> 1


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
def load(name: str, root: str, part: str) -> Batch:
    """Images (n, 1, 28, 28) as uint8 and labels (n,) as int64, of the official `train` or `t10k` part.

    Loaded once per process. Call `download.fetch` first. Treat the tensors as constants.
    """
    files = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
    try:
        images, labels = (parse_idx(download.read(name, root, file), 3 - 2 * i) for i, file in enumerate(files))
    except OSError as error:
        raise BadInput(f"data.root={root}: {error.filename} cannot be read ({error.strerror})") from error
    assert images.shape[1:] == (IMAGE_SIZE, IMAGE_SIZE)
    assert len(images) == len(labels)
    assert labels.max() < len(DATASETS[name].classes)
    return images.unsqueeze(1), labels.long()


def split(size: int, val_fraction: float, split_seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the validation images: disjoint, together all of them."""
    generator = torch.Generator().manual_seed(split_seed)
    order = torch.randperm(size, generator=generator)
    held_out = round(size * val_fraction)
    return order[held_out:], order[:held_out]


def normalise(images: Tensor, mean: float, std: float, pad: int = 0) -> Tensor:
    """Pixels (n, 1, h, w) of 0 to 255 to float32 (n, 1, h + 2 pad, w + 2 pad): (pixel / 255 - mean) / std.

    The border is background.
    """
    if pad:
        images = F.pad(images, [pad] * 4)
    pixels = images.to(torch.float32, copy=True).div_(255)
    return pixels if (mean, std) == (0, 1) else pixels.sub_(mean).div_(std)


def augment(images: Tensor, shift: int, flip: bool, generator: torch.Generator | None = None) -> Tensor:
    """Move and mirror each image by its own random amount; the gaps are background.

    Args:
        images: uint8, (n, 1, h, w).
        shift: pixels, the largest move along either axis.
        flip: mirror left to right with probability 1/2.
        generator: of the images' device; without it, the device's own.
    """
    n, _, height, width = images.shape
    device = images.device
    moves = torch.randint(0, 2 * shift + 1, (2, n, 1), device=device, generator=generator)
    rows = torch.arange(height, device=device) + moves[0]
    columns = torch.arange(width, device=device) + moves[1]
    if flip:
        mirrored = torch.rand(n, 1, dtype=torch.float32, device=device, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(images, [shift] * 4)
    image = torch.arange(n, device=device)[:, None, None]
    return padded[image, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def distort(images: Tensor, change: config.Augment, generator: torch.Generator | None = None) -> Tensor:
    """Apply an affine map of its own to each image: size, squeeze, shear, place, perhaps mirrored (bilinear).

    The planar distortions of LeCun et al. 1998, section III.C. Pixels from outside are background.

    Args:
        images: uint8, (n, 1, h, w).
        change: the range that each quantity is drawn from, uniformly.
        generator: of the images' device; without it, the device's own.

    Returns:
        float32 of the same shape, from 0 to 255.
    """
    n, _, height, width = images.shape

    def uniform(largest: float) -> Tensor:
        return (2 * torch.rand(n, dtype=torch.float32, device=images.device, generator=generator) - 1) * largest

    # With the middle of an image at 0 and its borders at -1 and 1: first its size changes, then it slants and moves.
    size, squeeze = 1 + uniform(change.scale), 1 + uniform(change.squeeze)
    wide, high = size * squeeze, size / squeeze
    shear, right, down = uniform(change.shear), uniform(2 * change.shift / width), uniform(2 * change.shift / height)
    if change.flip:
        mirrored = torch.rand(n, dtype=torch.float32, device=images.device, generator=generator) < 0.5
        wide = torch.where(mirrored, -wide, wide)
    # The reverse, from each new pixel to the place that it comes from.
    rows = [1 / wide, -shear / wide, (shear * down - right) / wide], [torch.zeros_like(high), 1 / high, -down / high]
    origin = F.affine_grid(torch.stack([torch.stack(row, 1) for row in rows], 1), list(images.shape), False)
    return F.grid_sample(images.float(), origin, align_corners=False)


def erase(images: Tensor, probability: float, largest: float, generator: torch.Generator | None = None) -> Tensor:
    """Make a rectangle of each image background, of its own size, shape and place (Zhong et al. 2017).

    Its sides are rounded to pixels, and cut to the image's.

    Args:
        images: (n, 1, h, w), background 0.
        probability: of an image to lose anything.
        largest: share of the image that the rectangle covers at most; it is drawn uniformly from 0.02 on, and the ratio
            of height to width log-uniformly from 0.3 to 1 / 0.3.
        generator: of the images' device; without it, the device's own.
    """
    n, _, height, width = images.shape
    chance, share, shape, down, right = torch.rand(
        5, n, 1, dtype=torch.float32, device=images.device, generator=generator
    )
    area = (SMALLEST_ERASED + share * (largest - SMALLEST_ERASED)) * height * width
    ratio = 0.3 ** (2 * shape - 1)
    high, wide = ((area * r).sqrt().round() for r in (ratio, 1 / ratio))

    def covered(side: int, length: Tensor, place: Tensor) -> Tensor:
        line = torch.arange(side, device=images.device)
        start = (place * ((side - length).clamp(min=0) + 1)).floor()
        return (line >= start) & (line < start + length)

    rows, columns = covered(height, high, down) & (chance < probability), covered(width, wide, right)
    return images.masked_fill((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), 0)


class Images(Dataset[Batch]):
    """Images and labels in memory; a batch is one indexing expression (`__getitems__`, which DataLoader prefers)."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return self.images[index], self.labels[index]

    def __getitems__(self, indices: list[int]) -> Batch:
        where = torch.tensor(indices, device=self.images.device)
        return self.images[where], self.labels[where]


class EpochOrder(Sampler[int]):
    """Every index once, in an order that is a function of (seed, epoch) alone. Lightning calls `set_epoch`."""

    def __init__(self, size: int, seed: int, first: int | None = None) -> None:
        """`first`: how many indices of each order to give; None gives all."""
        self.size, self.seed, self.epoch = size, seed, 0
        self.first = size if first is None else min(first, size)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.first

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch, "order"))
        yield from torch.randperm(self.size, generator=generator)[: self.first].tolist()


def _whole_batch(batch: Any) -> Any:
    return batch  # __getitems__ has already made a batch of it


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


@functools.lru_cache(maxsize=2)  # on a GPU and, where they are looked at first, in memory
def parts(
    name: str, root: str, val_fraction: float, split_seed: int, train_size: int | None, device: torch.device
) -> tuple[Images, Images, Images]:
    """Training, validation and test images on the device, the same ones for every job of a sweep in this process."""
    # Half a hundred megabytes: on a GPU there is no need to copy them batch by batch.
    images, labels = (t.to(device) for t in load(name, root, "train"))
    training, validation = split(len(labels), val_fraction, split_seed)
    training = training[:train_size]
    return (
        # With all of them the files' own order stands.
        Images(images[training], labels[training]) if len(training) < len(labels) else Images(images, labels),
        Images(images[validation], labels[validation]),
        Images(*(t.to(device) for t in load(name, root, "t10k"))),
    )


class ImageData(L.LightningDataModule):
    """The official training set, split into training and validation, and the official test set.

    Batches arrive as float32 (n, 1, side, side), normalised, and int64 (n,). But where a step of the Trainer is for
    many updates, they come as stored, and `pieces` makes the batches, one at a time: so they stay in a cache.
    """

    def __init__(self, data: config.Data, seed: int, updates: int = 1, limit: int | None = None) -> None:
        """A training batch is for `updates` updates; an epoch ends after `limit` updates, if given."""
        super().__init__()
        self.data, self.seed, self.updates, self.limit = data, seed, updates, limit
        self.noise = torch.Generator()  # of augmentation alone; callbacks.SeedEpochs seeds it for each epoch

    def prepare_data(self) -> None:
        fetched(self.data.name, self.data.root)

    def setup(self, stage: str) -> None:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        data = self.data
        self.noise = torch.Generator(device)
        self.training, self.validation, self.test = parts(
            data.name, data.root, data.val_fraction, data.split_seed, data.train_size, device
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        size = len(self.training)
        first = size if self.limit is None else min(size, self.limit * self.data.batch_size)
        order: Iterable[int] = EpochOrder(size, self.seed, first) if self.data.shuffle else range(first)
        drop_last = self.data.drop_last and self.limit is None
        return self._loader(self.training, self.data.batch_size * self.updates, order, drop_last)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self.validation, EVALUATION_BATCH)

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self.test, EVALUATION_BATCH)

    @staticmethod
    def _loader(
        images: Images, batch_size: int, sampler: Iterable[int] | None = None, drop_last: bool = False
    ) -> DataLoader[Batch]:
        return DataLoader(
            images,
            batch_size,
            sampler=sampler,
            drop_last=drop_last,
            collate_fn=_whole_batch,
            # Its own, so that starting an iterator draws nothing from the generator of dropout and augmentation.
            generator=torch.Generator(),
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        training = self.trainer is not None and self.trainer.training
        return batch if training and self.updates > 1 else self.ready(batch, training)

    def ready(self, batch: Batch, training: bool) -> Batch:
        """Stored images (n, 1, 28, 28) of 0 to 255 as the net wants them; where it trains, changed at random."""
        images, labels = batch
        change = self.data.augment
        if self.data.pad:  # first, so that what moves has room
            images = F.pad(images, [self.data.pad] * 4)
        if training:
            if change.scale or change.squeeze or change.shear:
                images = distort(images, change, self.noise)
            elif change.shift or change.flip:
                images = augment(images, change.shift, change.flip, self.noise)
            if change.erase:
                images = erase(images, change.erase, change.erase_area, self.noise)
        return normalise(images, self.data.mean, self.data.std), labels

    def pieces(self, block: Batch) -> Iterator[Batch]:
        """The training batches, ready for the net, of which a block for many updates is made."""
        for images, labels in zip(*(torch.split(part, self.data.batch_size) for part in block), strict=True):
            with torch.autocast(images.device.type, enabled=False):  # trainer.precision is the net's affair
                batch = self.ready((images, labels), training=True)
            yield batch
