"""How fast is training here? One process runs the book's loop, a bare loop and ours in turn, epoch by epoch.

scripts/benchmark.py [--epochs N] [--only ROW ...] [--json FILE]
scripts/benchmark.py --jobs 12 [--json FILE]
scripts/benchmark.py --dashboard 5 [--json FILE]

Every row trains the book's net on the 60,000 images of Fashion-MNIST with batches of 256. With --jobs, jobs of one
epoch in a sweep take turns with a bare loop that trains on the same 48,000 images, evaluates on the same 12,000 and
10,000, and writes nothing: what is between the two is what a job costs beside its arithmetic. With --dashboard, whole
processes of the default run take turns with the same without anything for TensorBoard. The machine's speed drifts, so
only the ratios between rows of one run mean something; the first of each row warms up and is not counted.
"""

import argparse
import contextlib
import json
import platform
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

import lenet.train
from lenet import cli, fetch
from lenet.config import Config, Data, Trainer
from lenet.data import load, split
from lenet.validation import EVALUATION_BATCH, validate

BATCH, LR = 256, 0.9

Epoch = Callable[[], None]


def book_net() -> nn.Sequential:
    """The book's net, its initialisation included, with nothing of ours."""
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, 2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2, 2), nn.Flatten(),
        nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip
    for module in net:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    return net


def step(net: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = net(images)
    loss = nn.functional.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach() * len(labels), (logits.argmax(1) == labels).sum()


def book(root: Path) -> Epoch:
    """The book's training function: torchvision's data set, one PIL image at a time, in four worker processes."""
    images = datasets.FashionMNIST(str(root), train=True, transform=transforms.ToTensor())
    loader = DataLoader(images, BATCH, shuffle=True, num_workers=4)
    net = book_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)

    def epoch() -> None:
        total, hits = 0.0, 0.0
        for batch, labels in loader:
            loss, correct = step(net, optimizer, batch, labels)
            total, hits = total + float(loss), hits + float(correct)  # the book reads both at every step

    return epoch


def bare(root: Path, memory_format: torch.memory_format) -> Epoch:
    """The least that a loop written by hand needs: all images in memory, an index per batch, sums on the device."""
    images, labels = load("fashion_mnist", str(root), "train")
    net = book_net().to(memory_format=memory_format)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)

    def epoch() -> None:
        total, hits = torch.zeros(()), torch.zeros((), dtype=torch.long)
        for batch in torch.randperm(len(labels)).split(BATCH):  # type: ignore[no-untyped-call]
            loss, correct = step(net, optimizer, images[batch].float().div_(255), labels[batch])
            total += loss
            hits += correct

    return epoch


class Alternate(L.Callback):
    """Runs an epoch of each peer before each of ours, and takes the time of all."""

    def __init__(self, peers: dict[str, Epoch]) -> None:
        self.peers = peers
        self.seconds: dict[str, list[float]] = {name: [] for name in [*peers, "ours"]}
        self.started = 0.0

    def finish_ours(self) -> None:
        if self.started:
            self.seconds["ours"].append(time.perf_counter() - self.started)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.finish_ours()
        for name, epoch in self.peers.items():
            started = time.perf_counter()
            epoch()
            self.seconds[name].append(time.perf_counter() - started)
        self.started = time.perf_counter()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.finish_ours()


def measure(rows: list[str], epochs: int, threads: int | None) -> dict[str, list[float]]:
    """Seconds of every counted epoch, by row. Ours is what a user runs: logging, checkpoints and all."""
    config = Config(
        name="benchmark",
        test_on="last",
        threads=threads,
        data=Data(val_fraction=0),
        trainer=Trainer(max_epochs=epochs + 1, accelerator="cpu", limit_test_batches=1, enable_progress_bar=False),
    )
    validate(config)
    root = Path(config.data.root)
    fetch.fetch("fashion_mnist", root)
    torch.set_num_threads(threads or torch.get_num_threads())
    makers: dict[str, Callable[[], Epoch]] = {
        "book": lambda: book(root),
        "bare": lambda: bare(root, torch.contiguous_format),
        "bare channels_last": lambda: bare(root, torch.channels_last),
    }
    alternate = Alternate({name: make() for name, make in makers.items() if name in rows})
    with tempfile.TemporaryDirectory() as folder:
        lenet.train.train(config, Path(folder) / "run", callbacks=[alternate])
    return {name: seconds[1:] for name, seconds in alternate.seconds.items()}


def bare_job(root: Path) -> Epoch:
    """What a job of one epoch computes, by hand: train, then validate, then test. A new net every time."""
    images, labels = load("fashion_mnist", str(root), "train")
    test = load("fashion_mnist", str(root), "t10k")
    training, validation = split(len(labels), 0.2, 0)

    def accuracy(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        total, hits = torch.zeros(()), torch.zeros((), dtype=torch.long)
        with torch.no_grad():
            for batch in torch.arange(len(labels)).split(EVALUATION_BATCH):  # type: ignore[no-untyped-call]
                logits = net(images[batch].float().div_(255))
                total += nn.functional.cross_entropy(logits, labels[batch]) * len(batch)
                hits += (logits.argmax(1) == labels[batch]).sum()
        return hits

    def epoch() -> None:
        net = book_net().to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(net.parameters(), lr=LR)
        total, hits = torch.zeros(()), torch.zeros((), dtype=torch.long)
        for batch in training[torch.randperm(len(training))].split(BATCH):  # type: ignore[no-untyped-call]
            loss, correct = step(net, optimizer, images[batch].float().div_(255), labels[batch])
            total += loss
            hits += correct
        accuracy(net, images[validation], labels[validation])
        accuracy(net, *test)

    return epoch


def measure_jobs(count: int, threads: int | None) -> dict[str, list[float]]:
    """Seconds of every counted job of a sweep, from the end of its bare twin to the start of the next one's."""
    root = Path(Data().root).resolve()
    fetch.fetch("fashion_mnist", root)
    twin = bare_job(root)
    train_job = lenet.train.train_job
    began, ended, twin_seconds = [], [], []

    def with_twin(*arguments: Any) -> dict[str, Any]:
        began.append(time.perf_counter())
        twin()
        twin_seconds.append(time.perf_counter() - began[-1])
        result = train_job(*arguments)
        ended.append(time.perf_counter())
        return result

    lenet.train.train_job = with_twin  # type: ignore[assignment]
    sys.argv = ["train.py", "-m", f"seed=range({count + 1})", "trainer.max_epochs=1", "trainer.accelerator=cpu",
                f"threads={threads or 'null'}", f"data.root={root}"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        runpy.run_path(str(Path(__file__).with_name("train.py")), run_name="__main__")  # as a user starts it
    seconds = [later - earlier - own for earlier, later, own in zip(began, began[1:], twin_seconds, strict=False)]
    seconds.append(ended[-1] - began[-1] - twin_seconds[-1])
    return {"bare": twin_seconds[1:], "ours": seconds[1:]}


def measure_dashboard(count: int, threads: int | None) -> dict[str, list[float]]:
    """Seconds of every counted run of scripts/train.py with its defaults, from the start of the process to its end."""
    root = Path(Data().root).resolve()
    fetch.fetch("fashion_mnist", root)
    seconds: dict[str, list[float]] = {"no dashboard": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(count + 1):
            for row, times in list(seconds.items())[:: -1 if turn % 2 else 1]:  # neither is always the first
                command = [sys.executable, str(Path(__file__).with_name("train.py")), "trainer.accelerator=cpu",
                           f"threads={threads or 'null'}", f"data.root={root}", f"hydra.run.dir={folder}/{row}{turn}",
                           f"dashboard.enabled={row == 'ours'}"]  # fmt: skip
                started = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                times.append(time.perf_counter() - started)
                print(f"{turn}/{count} {row}: {times[-1]:.1f} s", file=sys.stderr)
    return {row: times[1:] for row, times in seconds.items()}


def table(seconds: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Median and range of each row, and how many times as fast as it ours was: the median over rounds of the ratio."""
    rows = []
    for name, times in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(times, seconds["ours"], strict=True)]
        rows.append(
            {
                "row": name,
                "median_s": statistics.median(times),
                "min_s": min(times),
                "max_s": max(times),
                "ours_times_as_fast": statistics.median(ratios),
                "n": len(times),
            }
        )
    return rows


def main() -> None:
    parser = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["book", "bare", "bare channels_last"]
    parser.add_argument("--epochs", type=cli.positive, default=5, help="counted epochs of each row (default 5)")
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--jobs", type=cli.positive, metavar="N", help="time N jobs of a sweep instead")
    parser.add_argument(
        "--dashboard", type=cli.positive, metavar="N", help="time N whole runs with and without it instead"
    )
    parser.add_argument("--threads", type=cli.positive, help="of one operation (default: one per core)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.jobs:
        seconds = measure_jobs(arguments.jobs, arguments.threads)
        what = f"seconds per job of one epoch, {arguments.jobs} alternating jobs"
    elif arguments.dashboard:
        seconds = measure_dashboard(arguments.dashboard, arguments.threads)
        what = f"seconds of the default run as a process, {arguments.dashboard} alternating runs of each"
    else:
        seconds = measure(arguments.only, arguments.epochs, arguments.threads)
        what = f"seconds per epoch of 60,000 images, {arguments.epochs} alternating epochs"
    rows = table(seconds)
    machine = (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"\n{what}; {machine}")
    print(f"{'row':<20}{'median':>8}{'min':>8}{'max':>8}   ours is ... times as fast")
    for row in rows:
        print("{row:<20}{median_s:8.2f}{min_s:8.2f}{max_s:8.2f}{ours_times_as_fast:10.2f}".format(**row))
    if arguments.jobs:
        print(f"together ours take {sum(seconds['ours']) / sum(seconds['bare']):.2f} times as long")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows, "seconds": seconds}, indent=2) + "\n")


if __name__ == "__main__":
    cli.run(main)
