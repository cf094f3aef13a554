"""Trains the default run up to its first update, and prints the seconds from the end of the imports to there."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

from lenet.config import Config, Trainer
from lenet.rules import validate
from lenet.run import train


class Updated(Exception):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


def main(accelerator: str) -> float:
    started = time.perf_counter()

    def stop(*_: Any) -> None:
        raise Updated(time.perf_counter() - started)

    register_optimizer_step_post_hook(stop)
    config = Config(trainer=Trainer(accelerator=accelerator))
    validate(config)
    with tempfile.TemporaryDirectory() as folder:
        try:
            train(config, Path(folder) / "run")
        except Updated as updated:
            return updated.seconds
    raise AssertionError("a run without an update")


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
