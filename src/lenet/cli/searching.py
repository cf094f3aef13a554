"""`hydra.sweeper.design=search`: what Hydra's sweeper hands on, from the words of a command to a search that runs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf

from lenet.cli.commands import job
from lenet.cli.frozen import FrozenConfigs
from lenet.cli.space import space_of
from lenet.cli.sweeping import is_slurm
from lenet.config import Config
from lenet.data import download
from lenet.errors import BadInput
from lenet.evaluation.initial_weights import check_initial_weights
from lenet.rules import validate
from lenet.rules.processes import check_one_device
from lenet.search.space import Space
from lenet.search.spec import needed, require_measured, spec_of
from lenet.sweeps.design import Job, Sweep
from lenet.sweeps.directory import recipe
from lenet.sweeps.names import label
from lenet.sweeps.runner import run as run_sweep
from lenet.system.imports import quickly
from lenet.training import demands

if TYPE_CHECKING:
    from lenet.search.trials import Search

HERE = "."  # the directory of a search's workers is that of the search
FEW_WORKERS = 4  # where the launcher does not say how many jobs it runs, as Slurm's


class Sweeper(Protocol):
    """What is wanted of Hydra's sweeper."""

    config: DictConfig | None
    frozen: FrozenConfigs
    launcher: Any
    params: dict[str, Any]
    named: list[str]
    searching: dict[str, Any]
    seeds: int | None
    plan: bool
    fail_fast: bool

    def launch_jobs(self, jobs: Sequence[Job]) -> dict[str, Exception]: ...


class Made:
    """Makes the checked config of a trial; it is sent to other processes."""

    def __init__(self, frozen: FrozenConfigs, master: DictConfig) -> None:
        self.frozen, self.master = frozen, master

    def __call__(self, overrides: Sequence[str]) -> Config:
        """Raises BadInput where a run cannot be so, or this machine has not what it asks for."""
        config = OmegaConf.to_object(self.frozen.compose(self.master, overrides))
        assert isinstance(config, Config)
        validate(config)
        check_one_device(config)
        demands.check(config)
        check_initial_weights(config)
        return config


class TakesTrials:
    """The job of a search's worker. What has a directory of its own is an ordinary job, of the confirming round."""

    search: "Search"
    make: Made
    fail_fast = False

    def __init__(self, task: TaskFunction) -> None:
        self.task = task

    def __call__(self, config: DictConfig) -> Any:
        if HydraConfig.get().sweep.subdir != HERE:
            return self.task(config)
        with job():
            with quickly():
                from lenet.search.worker import work  # only now: it imports torch

            work(self.search, self.make, self.fail_fast)
        return None


def search(
    sweeper: Sweeper, task: TakesTrials, words: Sequence[str], directory: Path, runs: tuple[int | None, bool]
) -> None:
    """Try settings one after another, and confirm the best.

    Args:
        words: of the command line.
        runs: how many jobs the launcher runs at a time, as far as is known, and whether each has a process of its own.

    Raises:
        BadInput: something is wrong with the space, the spec or the directory; nothing has been started.
        JobsFailed: at the end, a trial or a confirming run has failed.
        Stopped: a signal came.
    """
    assert sweeper.config is not None
    if sweeper.seeds is not None:
        raise BadInput(
            f"hydra.sweeper.seeds={sweeper.seeds}: a search tries each setting once; give hydra.sweeper.confirm="
            f"{sweeper.seeds} to run the best ones on as many seeds"
        )
    params: Any = OmegaConf.to_container(OmegaConf.create(sweeper.params))
    space, shared = space_of(params, [*sweeper.named, *words], sweeper.frozen.parser)
    workers = sweeper.searching["workers"] or runs[0] or FEW_WORKERS
    spec = spec_of(sweeper.searching, space, workers)
    # Nothing is chosen by the test set.
    sweeper.frozen.shared = [*shared.values(), "trainer.limit_test_batches=0"]
    make = Made(sweeper.frozen, sweeper.config)
    base = make([])
    require_measured(spec, base)
    needed()
    from lenet.search.trials import Search

    same = {key: label(value) for key, value in recipe(asdict(base)).items()}
    found = Search(directory, space, spec, _labels(space, sweeper.frozen), same)
    found.check()
    found.first(make)
    if sweeper.plan:
        print(found.plan())
        return
    if check := getattr(sweeper.launcher, "check", None):
        check()
    _ask_machine(sweeper.config.hydra.launcher, base, found)
    if spec.timeout is not None:
        found.deadline = time.time() + spec.timeout
    task.search, task.make, task.fail_fast = found, make, sweeper.fail_fast

    def confirm(sweep: Sweep, folder: Path, configs: Mapping[str, Config]) -> None:
        sweeper.frozen.directory = str(folder)
        run_sweep(sweep, folder, configs, sweeper.launch_jobs, sweeper.fail_fast, *runs)

    from lenet.search.runner import run

    run(found, make, lambda: _work(sweeper, directory, min(workers, spec.trials)), confirm, sweeper.fail_fast)


def _work(sweeper: Sweeper, directory: Path, count: int) -> dict[int, Exception]:
    """Let as many workers take trials until there are none left; the errors of those that raised one."""
    sweeper.frozen.directory = str(directory)
    overrides = [[*sweeper.frozen.shared, f"hydra.sweep.subdir={HERE}"]] * count
    returns = sweeper.launcher.launch(overrides, initial_job_idx=0)
    failed = (JobStatus.FAILED,)
    return {number: one._return_value for number, one in enumerate(returns) if one.status in failed}


def _ask_machine(launcher: DictConfig, config: Config, found: "Search") -> None:
    """Whether this machine has what all trials ask for, where they are to run on it."""
    if is_slurm(launcher):
        return
    if (n_jobs := OmegaConf.select(launcher, "n_jobs")) is not None:
        demands.check_jobs(n_jobs, found.spec.trials)
    from lenet.search.confirm import longest_directory  # only now: it imports SciPy

    places = [found.longest_directory, *([longest_directory(found, config)] if found.spec.confirm else [])]
    demands.check_length(max(places, key=lambda place: len(str(place))))
    demands.check(config)
    download.look(config.data.name, config.data.root)


def _labels(space: Space, frozen: FrozenConfigs) -> dict[str, str]:
    """What the baseline has, of each parameter."""
    found = {}
    keys = {parameter.name: parameter.key for parameter in space.parameters}
    for name in space.domains():
        key = keys.get(name)
        found[name] = frozen.usual(key) if key else "baseline"
    return found
