"""Ours, as a user runs it: logging, checkpoints, dashboard and all."""

import contextlib
import os
import runpy
import sys
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import TQDMProgressBar
from omegaconf import OmegaConf

import lenet.job
import lenet.run
from benchmarks.speed.parts import SCRIPTS, accelerator
from benchmarks.speed.turns import Turns
from benchmarks.speed.usual import EachEpoch
from lenet.cli.compose import typed
from lenet.config import Config, Data, Model, Trainer
from lenet.rules import validate


def epochs(
    turns: Turns,
    root: str,
    threads: int,
    device: str,
    images: int,
    rounds: int,
    batch_size: int = 256,
    width: int = 1,
    compiled: bool = False,
) -> None:
    """An epoch a turn of the book's recipe."""
    config = Config(
        name="benchmark",
        test_on="last",
        threads=threads,
        compile=compiled,
        data=Data(root=root, val_fraction=0, batch_size=batch_size, train_size=images if images < 60_000 else None),
        model=Model(conv_channels=[6 * width, 16 * width]),
        trainer=Trainer(max_epochs=rounds + 1, accelerator=accelerator(device)),
    )
    validate(config)
    with tempfile.TemporaryDirectory() as folder:
        if compiled:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # nothing is there yet from another time
        callbacks = [EachEpoch(turns), TQDMProgressBar(refresh_rate=20)]  # which a user's terminal has
        with (Path(folder) / "terminal").open("w") as terminal, contextlib.redirect_stdout(terminal):
            lenet.run.train(config, Path(folder) / "run", callbacks=callbacks)


def speedrun(turns: Turns, root: str, threads: int, device: str, overrides: Sequence[str] = ()) -> None:
    """A whole run a turn, from its config to result.json, with another seed each time; scored by the test set."""
    with initialize_config_dir(str(SCRIPTS.parent / "conf"), version_base="1.3"):
        composed = compose("train", ["experiment=speedrun", f"threads={threads}",
                                     f"trainer.accelerator={accelerator(device)}", *overrides])  # fmt: skip
    config = OmegaConf.to_object(typed(composed))
    assert isinstance(config, Config)
    config.data.root = root
    validate(config)
    with tempfile.TemporaryDirectory() as folder:
        seeds = count()

        def run() -> float:
            config.seed = next(seeds)
            result, _ = lenet.run.train(config, Path(folder) / str(config.seed))
            accuracy: float = result["metrics"]["test/acc"]
            return accuracy

        turns.repeat(run)


def jobs(turns: Turns, root: str, threads: int, device: str, rounds: int, overrides: Sequence[str] = ()) -> None:
    """A job a turn of a sweep over seeds, one epoch each, with all that the sweeper does before the next one starts."""
    train_job = lenet.job.train_job
    finished = count()

    def in_turn(*arguments: Any) -> dict[str, Any]:
        turns.next()
        result = train_job(*arguments)
        if next(finished) == rounds:  # the last one's turn ends before the sweep's report
            turns.next()
        return result

    lenet.job.train_job = in_turn  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        sys.argv = ["train.py", "-m", f"seed=range({rounds + 1})", "trainer.max_epochs=1", f"threads={threads}",
                    f"trainer.accelerator={accelerator(device)}", *overrides]  # fmt: skip
        os.environ["LENET_DATA"] = root
        with Path("terminal").open("w", encoding="utf-8") as terminal, contextlib.redirect_stdout(terminal):
            runpy.run_path(str(SCRIPTS / "train.py"), run_name="__main__")  # as a user starts it
