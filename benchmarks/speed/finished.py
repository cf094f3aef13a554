"""A sweep far larger than one machine trains in a day, all of it done: what it costs to look at it.

One run is trained; the others are it under their own configs and with figures drawn at random, their large files being
links to its. Imports no torch.
"""

import json
import os
import random
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.speed.commands import run_in
from benchmarks.speed.turns import Turns
from lenet.runs.directory import RunDirectory
from lenet.sweeps.design import Level, Parameter, job_names, settings

SCRIPTS = Path(__file__).parents[2] / "scripts"
POOLS = ["avg", "max"]
ACTIVATIONS = ["sigmoid", "tanh", "relu", "gelu", "silu"]
RATES = ["0.01", "0.02", "0.05", "0.1", "0.2", "0.3", "0.5", "0.7", "0.9", "1.0"]
SEEDS_OF_EACH = len(POOLS) * len(ACTIVATIONS) * len(RATES)  # jobs of the sweep for each seed
SHORT = ["trainer.max_epochs=1", "data.train_size=1000", "trainer.accelerator=cpu", "threads=1"]


def arguments(jobs: int) -> list[str]:
    """The command of the sweep."""
    swept = {"model.pool": POOLS, "model.activation": ACTIVATIONS, "optimizer.lr": RATES}
    grid = [f"{key}={','.join(values)}" for key, values in swept.items()]
    return ["-m", *grid, "name=finished", f"hydra.sweeper.seeds={jobs // SEEDS_OF_EACH}", *SHORT]


def run(turns: Turns, script: str, given: list[str], jobs: int) -> None:
    """A script, in a folder where all jobs of the sweep are completed.

    Raises:
        RuntimeError: its exit code is not 0.
    """
    with tempfile.TemporaryDirectory() as folder:
        finish(Path(folder), jobs)
        planned, _ = run_in(folder, [str(SCRIPTS / "train.py"), *arguments(jobs), "hydra.sweeper.plan=true"])
        if f"{jobs} jobs, 0 epochs to do" not in planned:
            raise RuntimeError(f"not the directories of this sweep: {planned.splitlines()[-1]}")
        run_in(folder, [str(SCRIPTS / "train.py"), *arguments(jobs)])  # which lists the jobs, as a report asks for

        def look() -> None:
            _, memory = run_in(folder, [str(SCRIPTS / script), *given])
            turns.memory = max(memory, turns.memory or 0)

        turns.repeat(look)


def finish(folder: Path, jobs: int) -> None:
    """Make the run directories of all jobs below `folder`."""
    trained = RunDirectory(folder / "trained")
    run_in(folder, [str(SCRIPTS / "train.py"), *SHORT, f"hydra.run.dir={trained.path}"])
    config, result = trained.read_config(), trained.read_result() or {}
    log = (trained.path / "train.log").read_bytes()
    drawn = random.Random(0)
    values = {"pool": POOLS, "activation": ACTIVATIONS, "lr": RATES}
    parameters = [Parameter(name, tuple(Level(text, (text,)) for text in texts)) for name, texts in values.items()]
    for setting in settings("grid", parameters):
        pool, activation, rate = (level.label for level in setting.values())
        model = replace(config.model, pool=pool, activation=activation)
        trained.write_config(replace(config, model=model, optimizer=replace(config.optimizer, lr=float(rate))))
        text = (trained.path / "config.yaml").read_text(encoding="utf-8")
        seeds = range(jobs // SEEDS_OF_EACH)
        for seed, name in zip(seeds, job_names([(setting, seed) for seed in seeds]), strict=True):
            job = RunDirectory(folder / "runs/finished" / name)
            job.checkpoints.mkdir(parents=True)
            (job.path / "config.yaml").write_text(text.replace("\nseed: 0\n", f"\nseed: {seed}\n"), encoding="utf-8")
            metrics = result["metrics"] | {"val/acc": drawn.gauss(0.5 + 0.3 * float(rate), 0.01)}
            (job.path / "result.json").write_text(
                json.dumps(result | {"seed": seed, "metrics": metrics}), encoding="utf-8"
            )
            (job.path / "train.log").write_bytes(log)  # a file of its own, as it is appended to
            for path in [trained.path / "metrics.csv", *trained.event_files, *trained.checkpoints.iterdir()]:
                os.link(path, job.path / path.relative_to(trained.path))
