"""The Lightning project that people usually write for this net. Nothing of ours."""

import contextlib
import logging
import tempfile
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import RichProgressBar
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchmetrics.classification import MulticlassAccuracy
from torchvision import datasets, transforms

from benchmarks.speed.parts import accelerator
from benchmarks.speed.peers import BATCH, LR, book_net
from benchmarks.speed.turns import Turns


class EachEpoch(L.Callback):
    """An epoch of a Trainer is a turn, with all that the Trainer does before the next epoch starts."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.turns.next()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.turns.next()  # which waits until the others are done too


class LitLeNet(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = book_net()
        self.loss = nn.CrossEntropyLoss()
        self.accuracy = MulticlassAccuracy(10, average="micro")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        logits = self.net(images)
        loss: Tensor = self.loss(logits, labels)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/acc", self.accuracy(logits, labels), prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=LR)


def epochs(turns: Turns, root: str, threads: int, device: str, images: int, rounds: int) -> None:
    """One PIL image at a time in a DataLoader with its defaults, a torchmetric at every step, Lightning's Rich bar."""
    torch.set_num_threads(threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    every = datasets.FashionMNIST(root, train=True, transform=transforms.ToTensor())
    loader = DataLoader(Subset(every, range(images)), BATCH, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            max_epochs=rounds + 1,
            accelerator=accelerator(device),
            callbacks=[EachEpoch(turns), RichProgressBar(console_kwargs={"force_terminal": True})],
            default_root_dir=folder,
        )
        with (Path(folder) / "terminal").open("w") as terminal, contextlib.redirect_stdout(terminal):
            trainer.fit(LitLeNet(), loader)
