"""The LightningDataModule: from tensors to batches, split into training, validation and test.

The images stay uint8 in memory, on the GPU when there is one, and are fetched, normalised and augmented a batch at a
time: no worker processes, no per-image Python.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lenet import config
from lenet.batches import EVALUATION_BATCH
from lenet.data.files import Batch, fetched, load
from lenet.data.seeds import epoch_seed
from lenet.data.transforms import changed, normalise
from lenet.datasets import check_classes


def split(size: int, val_fraction: float, split_seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the validation images: disjoint, together all of them."""
    generator = torch.Generator().manual_seed(split_seed)
    order = torch.randperm(size, generator=generator)
    held_out = round(size * val_fraction)
    return order[held_out:], order[:held_out]


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
        return self.images.index_select(0, where), self.labels[where]  # half the time of images[where]


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


@functools.lru_cache(maxsize=2)  # on a GPU and, where they are looked at first, in memory
def splits(
    name: str, root: str, val_fraction: float, split_seed: int, train_size: int | None, device: torch.device
) -> tuple[Images, Images, Images]:
    """Training, validation and test images on the device, the same ones for every job of a sweep in this process."""
    # Half a hundred megabytes: on a GPU there is no need to copy them batch by batch.
    images, labels = (t.to(device) for t in load(name, root, "train"))
    training, validation = split(len(labels), val_fraction, split_seed)
    training = training[:train_size]
    return (
        # With all of them the files' own order stands.
        Images(images.index_select(0, training), labels[training])
        if len(training) < len(labels)
        else Images(images, labels),
        Images(images.index_select(0, validation), labels[validation]),
        Images(*(t.to(device) for t in load(name, root, "test"))),
    )


def epochs_done(trainer: L.Trainer) -> int:
    """Also before a resumed run begins, when trainer.current_epoch is one behind."""
    done: int = trainer.fit_loop.epoch_progress.state_dict()["current"]["processed"]
    return done


class ImageData(L.LightningDataModule):
    """The official training set, split into training and validation, and the official test set.

    Batches arrive as float32 (n, 1, size, size), normalised, and int64 (n,). But where a step of the Trainer is for
    many updates, they come as stored, and `batches_of` makes the batches, one at a time: so they stay in a cache.
    """

    def __init__(
        self,
        data: config.Data,
        seed: int,
        updates: int = 1,
        batches_in: Callable[[int], int] | None = None,
        few: int | None = None,
    ) -> None:
        """What a run trains, validates and tests on.

        Args:
            updates: that a training batch is for.
            batches_in: the training batches, each for one update, of an epoch counted from 0; None: all that there are.
            few: of the training images, to train and to validate on, always in the same order; None: as usual.
        """
        super().__init__()
        self.data, self.seed, self.updates, self.batches_in, self.few = data, seed, updates, batches_in, few
        self.noise = torch.Generator()  # of augmentation alone; callbacks.SeedEpochs seeds it for each epoch

    def prepare_data(self) -> None:
        check_classes(self.data)
        fetched(self.data.name, self.data.root)

    def setup(self, stage: str) -> None:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        data = self.data
        self.noise = torch.Generator(device)
        self.training, self.validation, self.test = splits(
            data.name, data.root, data.val_fraction, data.split_seed, data.train_size, device
        )
        if self.few is not None:
            self.training = Images(self.training.images[: self.few], self.training.labels[: self.few])
            self.validation = self.training

    def train_dataloader(self) -> DataLoader[Batch]:
        first = size = len(self.training)
        if self.batches_in:
            # Asked for before every epoch where epochs differ.
            epoch = epochs_done(self.trainer) if self.trainer else 0
            first = min(size, self.batches_in(epoch) * self.data.batch_size)
        is_shuffled = self.data.shuffle and self.few is None
        order: Iterable[int] = EpochOrder(size, self.seed, first) if is_shuffled else range(first)
        drop_last = self.data.drop_last and self.batches_in is None
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
        return batch if training and self.updates > 1 else self.transform(batch, training)

    def transform(self, batch: Batch, training: bool) -> Batch:
        """Stored images (n, 1, 28, 28) of 0 to 255 as the net wants them; where it trains, changed at random."""
        images, labels = batch
        if self.data.pad:  # first, so that what moves has room
            images = F.pad(images, [self.data.pad] * 4)
        if training:
            images = changed(images, self.data.augment, self.noise)
        return normalise(images, self.data.mean, self.data.std), labels

    def batches_of(self, block: Batch) -> Iterator[Batch]:
        """The training batches, ready for the net, of which a block for many updates is made."""
        for images, labels in zip(*(torch.split(part, self.data.batch_size) for part in block), strict=True):
            with torch.autocast(images.device.type, enabled=False):  # trainer.precision is the net's affair
                batch = self.transform((images, labels), training=True)
            yield batch
