"""What is measured: the tables of each part of the benchmark, and the rows of each table. Imports no torch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed import finished
from benchmarks.speed.turns import Row

SCRIPTS = Path(__file__).parents[2] / "scripts"
QUICK_IMAGES, ALL_IMAGES = 12_000, 60_000
JOBS = 12
FINISHED = 10_000  # jobs of a sweep that has been done
NET = str(SCRIPTS.parent / "docs/weights/improved.safetensors")
PICTURE = str(SCRIPTS.parent / "docs/playground.png")
# By hand: torch, and one image through the book's net.
ONE_ANSWER = """import torch
from torch import nn
net = nn.Sequential(
    nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, 2), nn.Conv2d(6, 16, 5), nn.Sigmoid(),
    nn.AvgPool2d(2, 2), nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(),
    nn.Linear(84, 10),
)
print(net(torch.rand(1, 1, 28, 28)).argmax())
"""
PROCESSOR = "s of a processor"


def accelerator(device: str) -> str:
    """What Lightning calls it."""
    return "gpu" if device == "cuda" else "cpu"


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    root: str  # of the data; commands have it from the environment variable LENET_DATA
    threads: int  # of one operation
    device: str  # cpu | cuda
    rounds: int  # that count
    images: int  # of an epoch

    def common(self) -> dict[str, object]:
        """What every loop is told."""
        return {"root": self.root, "threads": self.threads, "device": self.device}


@dataclass(frozen=True)
class Table:
    """Rows that take turns; the others are compared with the last one."""

    title: str
    rows: dict[str, Row]
    rounds: int
    score: str = ""  # what a row's score is
    compared: bool = True

    def only(self, names: list[str] | None) -> dict[str, Row]:
        """The rows asked for, and ours."""
        last = list(self.rows)[-1]
        return {name: row for name, row in self.rows.items() if not names or name in (*names, last)}


def epochs(to: Settings) -> Iterator[Table]:
    """An epoch of the book's recipe."""
    each = {**to.common(), "images": to.images}
    of_trainer = {**each, "rounds": to.rounds}
    rows = {
        "book": Row("peers.book", each),
        "usual Lightning": Row("usual.epochs", of_trainer),
        "bare": Row("peers.bare", each | {"channels_last": False}),
        "bare channels_last": Row("peers.bare", each | {"channels_last": True}),
    }
    if to.device == "cuda":
        rows["CUDA graph"] = Row("peers.graph", each)
    rows["ours compiled"] = Row("ours.epochs", of_trainer | {"compiled": True})
    rows["ours"] = Row("ours.epochs", of_trainer)
    yield Table(f"An epoch of {to.images:,} images, the book's recipe", rows, to.rounds)


def growth(to: Settings) -> Iterator[Table]:
    """The same with other batches and wider nets, beside the bare loop alone."""
    for what, settings in [(f"batches of {size}", {"batch_size": size}) for size in (64, 256, 1024)] + [
        (f"{factor} times the channels", {"width": factor}) for factor in (2, 4)
    ]:
        each = {**to.common(), "images": to.images, **settings}
        rows = {
            "bare channels_last": Row("peers.bare", each | {"channels_last": True}),
            "ours": Row("ours.epochs", each | {"rounds": to.rounds}),
        }
        yield Table(f"An epoch of {to.images:,} images, {what}", rows, to.rounds)


def stacked(to: Settings) -> Iterator[Table]:
    """Nets of a sweep that differ in nothing that changes a shape: each by itself, and all as one computation."""
    for count in (8, 64) if to.device == "cuda" else (2, 8):
        each = to.common() | {"images": QUICK_IMAGES, "count": count}
        rows = {
            "stacked": Row("stacked.epochs", each | {"together": True}),
            "one by one": Row("stacked.epochs", each | {"together": False}),
        }
        yield Table(f"An epoch of {QUICK_IMAGES:,} images of each of {count} nets", rows, to.rounds)


def speedrun(to: Settings) -> Iterator[Table]:
    """MNIST to 99 %: a whole run, with its test. At least ten seeds, since the accuracy counts as well."""
    their_recipe = ["model.conv_channels=[24,32]", "model.fc_sizes=[256]", "optimizer=adam", "optimizer.lr=0.01",
                    "optimizer.weight_decay=0", "data.batch_size=256", "schedule.warmup=0.3"]  # fmt: skip
    rows = {
        "train_mnist_fast": Row("peers.mnist_fast", to.common() | {"channels_last": False}),
        "train_mnist_fast channels_last": Row("peers.mnist_fast", to.common() | {"channels_last": True}),
        "ours with its recipe": Row("ours.speedrun", to.common() | {"overrides": their_recipe}),
        "experiment=speedrun": Row("ours.speedrun", to.common()),
    }
    yield Table("MNIST, training and test, after the imports", rows, max(10, to.rounds), score="test accuracy")


def jobs(to: Settings) -> Iterator[Table]:
    """What a job of a sweep costs beside its arithmetic."""
    rows = {"bare": Row("peers.job", to.common()), "ours": Row("ours.jobs", to.common() | {"rounds": JOBS})}
    yield Table(f"{JOBS} jobs of one epoch of a sweep: training, validation, test", rows, JOBS)


def launchers(to: Settings) -> Iterator[Table]:
    """A whole sweep as a command, with the imports of every process."""
    sweep = [str(SCRIPTS / "train.py"), "-m", f"seed=range({JOBS})", "trainer.max_epochs=1",
             f"trainer.accelerator={accelerator(to.device)}"]  # fmt: skip
    rows = {
        "one after another": Row("commands.run", {"arguments": [*sweep, f"threads={to.threads}"]}),
        "hydra/launcher=joblib": Row("commands.run", {"arguments": [*sweep, "hydra/launcher=joblib", "threads=1"]}),
    }
    yield Table(f"A sweep of {JOBS} jobs of one epoch, as a command", rows, to.rounds)


def start(to: Settings) -> Iterator[Table]:
    """What comes before the first update, and commands that are over before they would import torch."""
    train = str(SCRIPTS / "train.py")
    first, of_trainer = ["-m", "benchmarks.speed.start"], f"trainer.accelerator={accelerator(to.device)}"
    rows = {
        "a script by hand": Row("commands.run", {"arguments": first, "says": True}),
        "scripts/train.py": Row("commands.run", {"arguments": [*first, train, of_trainer], "says": True}),
    }
    yield Table("From the command to its first update", rows, max(10, to.rounds), PROCESSOR)
    rows = {
        "--cfg job": Row("commands.run", {"arguments": [train, "--cfg", "job"]}),
        "a config error": Row("commands.run", {"arguments": [train, "model.pool=mean"], "expected": 2}),
        "a table of layers": Row("commands.run", {"arguments": [str(SCRIPTS / "summary.py")]}),
    }
    yield Table("Commands that need no torch, from their start to their end", rows, max(10, to.rounds), compared=False)
    looks = {"activations.py": ["--out", "a.png"], "predict.py": [PICTURE], "evaluate.py": []}
    rows = {
        name: Row("commands.run", {"arguments": [str(SCRIPTS / name), NET, *words]}) for name, words in looks.items()
    }
    rows["a script by hand"] = Row("commands.run", {"arguments": ["-c", ONE_ANSWER]})
    yield Table("What looks at a net, from its start to its end", rows, max(10, to.rounds))


def dashboard(to: Settings) -> Iterator[Table]:
    """The default run as a command, with TensorBoard's files and without them."""
    train = [str(SCRIPTS / "train.py"), f"trainer.accelerator={accelerator(to.device)}", f"threads={to.threads}"]
    rows = {
        "dashboard.enabled=false": Row("commands.run", {"arguments": [*train, "dashboard.enabled=false"]}),
        "the default run": Row("commands.run", {"arguments": train}),
    }
    yield Table("The default run, as a command", rows, to.rounds)


def sweeps(to: Settings) -> Iterator[Table]:
    """A sweep of 10,000 jobs that are all completed, as commands."""
    command = finished.arguments(FINISHED)
    given = {"train.py, plan": [*command, "hydra.sweeper.plan=true"], "train.py, nothing to do": command,
             "report.py": ["runs/finished"]}  # fmt: skip
    rows = {
        name: Row("finished.run", {"script": name.split(",")[0], "given": words, "jobs": FINISHED})
        for name, words in given.items()
    }
    yield Table(f"A sweep of {FINISHED:,} completed jobs, as a command", rows, to.rounds, compared=False)


PARTS: dict[str, Callable[[Settings], Iterator[Table]]] = {
    part.__name__: part for part in (epochs, growth, stacked, speedrun, jobs, launchers, start, dashboard, sweeps)
}
