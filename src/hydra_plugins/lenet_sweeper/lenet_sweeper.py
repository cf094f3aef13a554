"""The sweeper of `hydra/sweeper=lenet`: designs, seeds, a plan, resuming, and a report at the end.

Hydra reads this file at every start, so it imports nothing that takes time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:
    from lenet.sweeps.design import Job


@dataclass
class LenetSweeperConf:
    """hydra.sweeper.*"""

    _target_: str = "hydra_plugins.lenet_sweeper.lenet_sweeper.LenetSweeper"
    # What to sweep over. Each key of the config has a list of values, or a text as on the command line; any other name
    # has labelled values that set several keys at once.
    params: dict[str, Any] = field(default_factory=dict)
    design: str = "grid"  # grid | one_at_a_time | paired | search
    seeds: int | None = None  # repeat every job with seeds 0 to seeds-1; a seed on the command line takes its place
    plan: bool = False  # print the jobs, and train nothing
    fail_fast: bool = False  # start no more jobs once one has failed
    max_batch_size: int | None = None  # jobs handed to the launcher at a time; null: all
    # With design=search, which tries one setting after another (src/lenet/search/spec.py has the choices):
    trials: int = 20  # settings to try
    timeout: float | None = None  # seconds after which no more trials are begun
    sampler: str = "tpe"  # what chooses the next setting
    pruner: str = "none"  # what gives up a run early
    grace: int | None = None  # epochs before which nothing is given up; null: a fifth of them
    objective: Any = "val/acc"  # what is to be good; several, as val/acc,parameters, give a Pareto front
    direction: Any = "auto"  # maximize | minimize, of each objective; auto: minimize losses and costs
    seed: int = 0  # of the search's own random numbers
    max_parameters: int | None = None  # of a net that is to be tried
    max_macs: int | None = None  # multiply-accumulates of one image, likewise
    confirm: int = 5  # fresh seeds on which the best settings and the baseline are run again, on two splits; 0: none
    confirm_top: int = 3  # how many of the best
    workers: int | None = None  # trials at a time; null: as many as the launcher runs


ConfigStore.instance().store(group="hydra/sweeper", name="lenet", node=LenetSweeperConf, provider="lenet")


class LenetSweeper(BasicSweeper):
    """Hydra's own sweeper, with what its users have asked for.

    Every job is composed and checked before the first one starts; finished jobs are not run again; what is on disk
    decides, so that it does not matter which launcher runs the jobs or how it ends.
    """

    def __init__(
        self,
        params: dict[str, Any] | None = None,
        design: str = "grid",
        seeds: int | None = None,
        plan: bool = False,
        fail_fast: bool = False,
        max_batch_size: int | None = None,
        **searching: Any,
    ) -> None:
        super().__init__(max_batch_size, params)
        self.design, self.seeds, self.plan, self.fail_fast = design, seeds, plan, fail_fast
        self.searching = searching
        self.named: list[str] = []  # the override with its name, where it has been called after what it varies

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from lenet.cli.frozen import FrozenConfigs
        from lenet.cli.launched import EndsWithSweep, SmallReturns, UnlessFailed

        self.frozen = FrozenConfigs(hydra_context.config_loader)
        self._name(config)
        context = HydraContext(config_loader=self.frozen, callbacks=SmallReturns(hydra_context.callbacks))
        if self.design == "search":
            from lenet.cli.searching import TakesTrials

            task_function = self.task = TakesTrials(task_function)
        elif self.fail_fast:
            task_function = UnlessFailed(task_function, Path(config.hydra.sweep.dir).absolute())
        if "joblib" in config.hydra.launcher._target_:
            task_function = EndsWithSweep(task_function)
        super().setup(hydra_context=context, task_function=task_function, config=config)

    def _name(self, config: DictConfig) -> None:
        """Call a sweep that nobody has named after what it varies, so that it has a directory of its own."""
        from lenet.config import Config
        from lenet.sweeps.names import sweep_name

        overrides = self.frozen.parser.parse_overrides(list(config.hydra.overrides.task))
        keys = {override.get_key_element().lstrip("+") for override in overrides}
        elsewhere = OmegaConf.to_container(config.hydra.sweep, resolve=False)["dir"] != "runs/${name}"  # type: ignore[index,call-overload]
        choices = config.hydra.runtime.choices
        chosen, debugs = choices.get("sweep") or choices.get("search"), choices.get("debug")
        before = [config.name] if config.name != Config().name else []  # of an experiment, or of the sweep's file
        if "name" in keys or elsewhere or (chosen and before and not debugs):
            return
        varied = [*self.params, *(one.get_key_element() for one in overrides if one.is_sweep_override())]
        # Where debug=NAME has given a sweep's file another name, it is another sweep than the one without.
        word = sweep_name([*before, *([chosen] if chosen else varied)])
        self.named = [f"name='{word}'"]
        with open_dict(config):
            config.name = word

    def sweep(self, arguments: list[str]) -> Path:
        """Run every job that is not done.

        Returns:
            The directory of the sweep.

        Raises:
            BadInput: something is wrong with a job or with the directory; nothing has been started.
            JobsFailed: at the end, not every job is completed.
            Stopped: a signal came.
        """
        from lenet.cli import searching, sweeping

        assert self.config is not None
        directory = Path(self.config.hydra.sweep.dir)
        self._require_no_run_directory()
        runs = _processes(self.config.hydra.launcher)
        if self.design == "search":
            searching.search(self, self.task, arguments, directory, runs)
        else:
            sweeping.sweep(self, arguments, directory, runs)
        return directory

    def _require_no_run_directory(self) -> None:
        from lenet.errors import BadInput

        assert self.config is not None
        for word in self.config.hydra.overrides.hydra:
            key, _, folder = word.partition("=")
            if key == "hydra.run.dir":
                raise BadInput(f"{word}: goes with a single run; a sweep has hydra.sweep.dir={folder}")

    def launch_jobs(self, jobs: Sequence["Job"]) -> dict[str, Exception]:
        """Hand jobs to the launcher; the exception of each that raised one."""
        assert self.launcher is not None
        overrides = [[*self.frozen.shared, *job.overrides, f"hydra.sweep.subdir={job.name}"] for job in jobs]
        failed = {}
        for start in range(0, len(jobs), self.max_batch_size or len(jobs)):
            batch = slice(start, start + (self.max_batch_size or len(jobs)))
            returns = self.launcher.launch(overrides[batch], initial_job_idx=start)
            for job, returned in zip(jobs[batch], returns, strict=True):
                if returned.status == JobStatus.FAILED:
                    failed[job.name] = returned._return_value
        return failed


def _processes(launcher: DictConfig) -> tuple[int | None, bool]:
    """How many jobs a launcher runs at a time, as far as is known, and whether each has a process of its own."""
    from lenet.system.machine import cores

    if "basic_launcher" in launcher._target_:
        return 1, False
    number = launcher.get("n_jobs")
    if number is not None and number < 1:
        number = max(1, cores() + 1 + number)
    return number, "joblib" not in launcher._target_
