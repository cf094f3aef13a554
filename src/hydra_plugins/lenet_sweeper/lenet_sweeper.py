"""The sweeper of `hydra/sweeper=lenet`: designs, seeds, a plan, resuming, and a report at the end.

Hydra reads this file at every start, so it imports nothing that takes time.
"""

import copy
import math
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from lenet.cli.guard import GuardedLoader

if TYPE_CHECKING:
    from lenet.config import Config
    from lenet.sweeps.design import Job, Level, Parameter, Sweep


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


class FrozenConfigs(GuardedLoader):
    """Composes the configs of jobs from files as they were when the sweep started.

    The files are read once for every choice of config groups; what else a job overrides is set in a copy. That is also
    some ten times faster than composing. Launchers send this object to other processes.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        super().__init__(loader.get_search_path())
        self.shared: list[str] = []  # overrides of all jobs
        self.directory = ""
        self.composed: dict[tuple[str, ...], DictConfig] = {}
        self.tasks: dict[tuple[str, ...], DictConfig] = {}
        self.groups = set(loader.list_groups(""))

    @property
    def parser(self) -> OverridesParser:
        return OverridesParser.create(config_loader=self)

    def compose(self, master: DictConfig, overrides: Sequence[str], hydra: bool = False) -> DictConfig:
        """The config of a job with these overrides beside the shared ones: all of it with `hydra`, or what is ours."""
        from lenet.cli.compose import typed

        parsed = [self.parse(text) for text in overrides]
        for one in parsed:
            _require_swept(one.key_or_group)  # what follows changes a config that has been looked at
        groups = tuple(text for text, one in zip(overrides, parsed, strict=True) if one.key_or_group in self.groups)
        if groups not in self.composed:
            whole = super().load_sweep_config(master, [*self.shared, *groups])
            with open_dict(whole.hydra):  # what no job asks for, and Hydra copies several times for each job
                whole.hydra.sweeper.params = {}
                whole.hydra.runtime.config_sources = []
            self.composed[groups] = whole
            self.tasks[groups] = typed(OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"]))
        config = copy.deepcopy((self.composed if hydra else self.tasks)[groups])
        # Hydra's own, so that a value means here what it means anywhere else.
        self._apply_overrides_to_config([one for one in parsed if one.key_or_group not in self.groups], config)
        if any(one.is_add() for one in parsed) and not hydra:
            config = typed(config)  # refuses keys that +key=value has added
        return config

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """What a launcher asks for: the config of one job, whose last override names its directory."""
        *overrides, subdir = sweep_overrides
        config = self.compose(master_config, overrides[len(self.shared) :], hydra=True)
        with open_dict(config.hydra):
            config.hydra.mode = RunMode.MULTIRUN
            config.hydra.overrides.task = overrides
            config.hydra.sweep.dir = self.directory
            config.hydra.sweep.subdir = subdir.partition("=")[2]
        return config

    def parse(self, text: str) -> Override:
        return self.parser.parse_overrides([text])[0]


def _require_swept(key: str) -> None:
    from lenet.errors import BadInput

    if re.split("[./@]", key.lstrip("+~"))[0] == "hydra":
        raise BadInput(
            f"{key}: belongs to the sweep and not to its jobs, so it cannot be swept; set it once, beside hydra.sweeper"
        )


class SmallReturns(Callbacks):
    """The callbacks of a sweep; after a job's end they leave of what it returns only what is asked for.

    With both its configs a return has 30 KB, which a process sends in two steps. joblib's executor waits for the
    second for ever when the process is killed after the first; what is smaller is sent whole or not at all.
    """

    def __init__(self, callbacks: Callbacks) -> None:
        super().__init__()
        self.callbacks = callbacks.callbacks

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        super().on_job_end(config, job_return, **kwargs)
        job_return.cfg = job_return.hydra_cfg = None


class UnlessFailed:
    """A job that is not done once another one of its sweep has failed; a file says so, to any process."""

    def __init__(self, task: TaskFunction, directory: Path) -> None:
        self.task, self.directory = task, directory

    def __call__(self, config: DictConfig) -> Any:
        from lenet.errors import TimeUp
        from lenet.sweeps.design import FAILED

        if (self.directory / FAILED).exists():
            with suppress(OSError):
                Path(HydraConfig.get().runtime.output_dir).rmdir()  # Hydra has made it
            return None
        try:
            return self.task(config)
        except TimeUp:  # the others go on
            raise
        except Exception:
            (self.directory / FAILED).touch()
            raise


class EndsWithSweep:
    """A job in a process of joblib's, which would train on and then wait forever once its sweep was killed."""

    watched = False  # whether this process is

    def __init__(self, task: TaskFunction) -> None:
        self.task, self.sweep = task, os.getpid()

    def __call__(self, config: DictConfig) -> Any:
        if not EndsWithSweep.watched and os.getpid() != self.sweep:  # with one job at a time it is the same process
            EndsWithSweep.watched = True
            threading.Thread(target=self._watch, daemon=True).start()
        return self.task(config)

    def _watch(self) -> None:
        import psutil

        with suppress(psutil.Error):  # it has ended already
            sweep = psutil.Process(self.sweep)
            # Linux hands this process on to another one; on Windows it keeps the number of one that is gone.
            while os.getppid() == self.sweep and sweep.is_running():
                time.sleep(0.5)
        os._exit(1)  # at once: the next job waits already, and checkpoints are written whole or not at all


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
        self.notes: list[str] = []  # what the command line has taken from the sweep
        self.configs: dict[tuple[str, ...], Config] = {}  # by overrides, since levels come back in many settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
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
        from lenet.sweeps.design import sweep_name

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
        from lenet.sweeps.design import check_directory, plan
        from lenet.sweeps.runner import run

        assert self.config is not None
        directory = Path(self.config.hydra.sweep.dir)
        self._require_no_run_directory()
        if self.design == "search":
            from lenet.cli.searching import search

            search(self, self.task, arguments, directory, _processes(self.config.hydra.launcher))
            return directory
        sweep, configs = self._compose(arguments)
        for note in self.notes:
            print(note, flush=True)
        self.frozen.directory = str(directory)
        if self.plan:
            check_directory(directory, configs, sweep)
            print(plan(sweep, directory))
            return directory
        self._ask_machine(sweep, directory, configs)
        if check := getattr(self.launcher, "check", None):
            check()
        run(sweep, directory, configs, self.launch_jobs, self.fail_fast, *_processes(self.config.hydra.launcher))
        return directory

    def _require_no_run_directory(self) -> None:
        from lenet.errors import BadInput

        assert self.config is not None
        for word in self.config.hydra.overrides.hydra:
            key, _, folder = word.partition("=")
            if key == "hydra.run.dir":
                raise BadInput(f"{word}: goes with a single run; a sweep has hydra.sweep.dir={folder}")

    def _ask_machine(self, sweep: "Sweep", directory: Path, configs: Mapping[str, "Config"]) -> None:
        """Whether this machine has what the jobs that are to do ask for, where they are to run on it.

        Raises:
            BadInput: it certainly has not.
        """
        from lenet.data import download
        from lenet.errors import BadInput
        from lenet.evaluation.start import check_start
        from lenet.runs.directory import RunDirectory
        from lenet.sweeps.design import state
        from lenet.training import demands

        assert self.config is not None
        launcher = self.config.hydra.launcher
        if launcher._target_.endswith((".Slurm", ".SlurmLauncher")):  # ours, and hydra/launcher=submitit_slurm
            return  # each job asks the node that it comes to
        n_jobs = OmegaConf.select(launcher, "n_jobs")
        if n_jobs is not None:
            demands.check_jobs(n_jobs, len(sweep.jobs))

        demands.check_length(directory / max((job.name for job in sweep.jobs), key=len))
        looked: set[tuple[str, str]] = set()
        settings: dict[str, list[str]] = {}
        for job in sweep.jobs:
            settings.setdefault(job.setting, []).append(job.name)
        for setting, jobs in settings.items():
            config = configs[jobs[0]]
            try:
                demands.check(config)
                check_start(config)
                if (data := (config.data.name, config.data.root)) not in looked:
                    download.look(*data)
                    looked.add(data)
            except BadInput as error:
                if all(state(RunDirectory(directory / job)) == "completed" for job in jobs):
                    continue  # perhaps on another machine
                raise BadInput(f"{setting}: {error}; nothing was started") from error

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

    def _compose(self, arguments: list[str]) -> tuple["Sweep", dict[str, "Config"]]:
        """The sweep, and the checked config of each of its jobs by name."""
        from lenet.batches import epochs
        from lenet.errors import BadInput
        from lenet.models.sizes import size_of
        from lenet.sweeps.design import MOST_JOBS, Job, Sweep, check_labels, job_names, settings

        parameters, seeds = self._parameters(arguments)
        check_labels(parameters)
        base = self._config({}, checked=False)
        labels, baseline = {}, {}
        distinct = {}
        for setting in settings(self.design, parameters):
            if setting and self.design == "one_at_a_time" and self._config(setting, checked=False) == base:
                continue  # the baseline under another name
            distinct[tuple(setting.items())] = setting
        varied = list(distinct.values())
        for parameter in parameters:
            name, known = parameter.name, [level.label for level in parameter.levels]
            same = [level.label for level in parameter.levels if self._config({name: level}, checked=False) == base]
            if self.design == "one_at_a_time":
                baseline[name] = same[0] if same else self._label(parameter)
            else:
                baseline[name] = same[0] if same else known[0]
            others = [text for text in known if text not in same] if self.design == "one_at_a_time" else known
            labels[name] = list(dict.fromkeys([baseline[name], *others]))
        configs = self._checked(varied)
        if (count := len(seeds) * len(varied)) > MOST_JOBS:
            raise BadInput(f"{count:,} jobs; a sweep has at most {MOST_JOBS:,}, so take fewer values or seeds")
        # Seed by seed, so that a sweep that is cut off has something to say about every setting.
        each = [(setting, config, seed) for seed in seeds for setting, config in zip(varied, configs, strict=True)]
        names = job_names([(setting, seed) for setting, _, seed in each], varied=bool(parameters))
        setting_names = job_names([(setting, None) for setting in varied]) * len(seeds)
        jobs, checked = [], {}
        for name, setting_name, (setting, config, seed) in zip(names, setting_names, each, strict=True):
            overrides = [text for level in setting.values() for text in level.overrides]
            if seed is not None:
                overrides.append(f"seed={seed}")
                config = replace(config, seed=seed)
            parameter_count, macs = size_of(config)
            jobs.append(
                Job(
                    name=name,
                    setting=setting_name,
                    levels={p: setting[p].label if p in setting else baseline[p] for p in labels},
                    seed=config.seed,
                    overrides=overrides,
                    epochs=epochs(config),
                    parameters=parameter_count,
                    macs=macs,
                )
            )
            checked[name] = config
        return Sweep(self.design, labels, baseline, jobs), checked

    def _checked(self, varied: Sequence[Mapping[str, "Level"]]) -> list["Config"]:
        """The checked configs of all settings, or a line about the first wrong one."""
        from lenet.errors import BadInput
        from lenet.sweeps.design import job_names

        configs, wrong = [], []
        for setting in varied:
            try:
                configs.append(self._config(setting))
            except BadInput as error:
                wrong.append(f"{job_names([(setting, None)])[0]}: {error}")
        if wrong:
            more = f" (and {len(wrong) - 1} more of {len(varied)} settings)" if len(wrong) > 1 else ""
            raise BadInput(f"{wrong[0]}{more}; nothing was started")
        return configs

    def _parameters(self, arguments: list[str]) -> tuple[list["Parameter"], list[int | None]]:
        """What is swept, and over which seeds; what is the same in all jobs goes to `self.frozen.shared`."""
        from lenet.cli.foreign import one_sweep
        from lenet.errors import BadInput
        from lenet.sweeps.design import MOST_JOBS, Parameter, as_text, short

        levels: dict[str, tuple[Level, ...]] = {}
        shared: dict[str, str] = {}
        params: Any = OmegaConf.to_container(OmegaConf.create(self.params))
        given = []
        for name, values in params.items():
            if isinstance(values, Mapping):
                levels[name] = _labelled(name, values)
            elif isinstance(values, list):
                levels[name] = tuple(self._level(name, as_text(value)) for value in values)
            else:
                given.append(f"{name}={values if isinstance(values, str) else as_text(values)}")
        for override in self.frozen.parser.parse_overrides([*given, *self.named, *arguments]):
            name = override.get_key_element()
            _require_swept(name)
            before = levels.pop(name, ())  # what comes later counts
            shared.pop(name, None)
            if override.is_discrete_sweep():
                values = override.value()
                if isinstance(values, RangeSweep):
                    _require_range(values, override.input_line or name)
                elif isinstance(values, ChoiceSweep):
                    _require_values(values, name, override.input_line or name)
                many = isinstance(values, RangeSweep) and _has_more(values, MOST_JOBS)
                texts = [] if many else list(islice(override.sweep_string_iterator(), MOST_JOBS + 1))
                if many or len(texts) > MOST_JOBS:  # before each is looked at, which takes a while
                    raise BadInput(f"{override.input_line}: a sweep has at most {MOST_JOBS:,} jobs; take fewer values")
                if isinstance(values, RangeSweep):
                    texts = _as_meant(values, texts)
                levels[name] = tuple(self._level(name, text) for text in texts)
            elif override.is_sweep_override():
                raise BadInput(
                    f"{override.input_line}: no list of values; give them one by one or as range(...), or add "
                    "hydra.sweeper.design=search"
                )
            else:
                shared[name] = f"{name}={override.get_value_element_as_str()}"
                if len(before) > 1:
                    known = ", ".join(level.label for level in before)
                    self.notes.append(f"{shared[name]}: all jobs have it, where this sweep would try {known}")
        if "resume" in shared or "resume" in levels:
            raise BadInput("resume: goes with one run; a sweep goes on by itself when it is started again")
        if "sweep" in levels:
            names = [level.label for level in levels["sweep"]]
            raise BadInput(f"sweep={','.join(names)}: {one_sweep(names)}")
        for name in ("name", "tags", "logger"):
            if name in levels:
                raise BadInput(f"{name}: makes no run different, so it cannot be swept; give one value")
        if self.max_batch_size is not None and self.max_batch_size < 1:
            raise BadInput(f"hydra.sweeper.max_batch_size={self.max_batch_size}: give a number of jobs, at least 1")
        self.frozen.shared = list(shared.values())
        seeds = self._seeds(levels.pop("seed", None), "seed" in shared)
        self._require_one_setter(levels, shared, seeds)
        parameters = [Parameter(short(name.lstrip("+~")), ones) for name, ones in levels.items()]
        return parameters, seeds

    def _seeds(self, levels: tuple["Level", ...] | None, is_given: bool) -> list[int | None]:
        """The seeds of each setting; None is that of the config. `is_given`: the command line sets one."""
        from lenet.errors import BadInput
        from lenet.sweeps.design import MOST_JOBS

        if levels is not None:
            seeds = [self.frozen.parse(level.overrides[0]).value() for level in levels]
            if not all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds) or not seeds:
                raise BadInput(f"seed={seeds}: give one or more integers from 0 to 4294967295")
            return list(dict.fromkeys(seeds))  # type: ignore[arg-type]
        if self.seeds is None or is_given:
            if self.seeds and self.seeds > 1:
                self.notes.append(
                    f"seed: all jobs have the one that is given, where this sweep would take {self.seeds}"
                )
            return [None]
        if self.seeds < 1:
            raise BadInput(f"hydra.sweeper.seeds={self.seeds}: give a number of seeds, at least 1")
        if self.seeds > MOST_JOBS:
            raise BadInput(
                f"hydra.sweeper.seeds={self.seeds}: a sweep has at most {MOST_JOBS:,} jobs; take fewer seeds"
            )
        return list(range(self.seeds))

    def _require_one_setter(
        self, levels: Mapping[str, tuple["Level", ...]], shared: Mapping[str, str], seeds: list[int | None]
    ) -> None:
        """Whether every parameter has a name of its own, and every key is set by one of them."""
        from lenet.errors import BadInput
        from lenet.sweeps.design import short

        names = Counter(short(name.lstrip("+~")) for name in levels)
        if repeated := [name for name, times in names.items() if times > 1]:
            raise BadInput(f"{repeated[0]}: two parameters of the sweep have this name; leave one of them out")
        setters: dict[str, str] = dict.fromkeys(shared, "the command line")
        for name, ones in levels.items():
            for key in dict.fromkeys(text.split("=")[0] for level in ones for text in level.overrides):
                other = setters.get(key)
                if key == "seed" and seeds != [None]:
                    raise BadInput(f"seed: set by the sweep's {name}, and swept; leave one of them out")
                if other and (other == "the command line" or self.design != "one_at_a_time"):
                    raise BadInput(f"{key}: set by {other} and by the sweep's {name}; leave one of them out")
                setters[key] = name

    def _level(self, key: str, text: str) -> "Level":
        from lenet.sweeps.design import Level, label

        override = f"{key}={text}"
        return Level(label(self.frozen.parse(override).value()), (override,))

    def _config(self, setting: Mapping[str, "Level"], checked: bool = True) -> "Config":
        from lenet.rules import check_one_device, validate

        overrides = tuple(text for level in setting.values() for text in level.overrides)
        if overrides not in self.configs:
            assert self.config is not None
            self.configs[overrides] = OmegaConf.to_object(self.frozen.compose(self.config, overrides))  # type: ignore[assignment]
        if checked:
            validate(self.configs[overrides])
            check_one_device(self.configs[overrides])
        return self.configs[overrides]

    def _label(self, parameter: "Parameter") -> str:
        """What the baseline, which is none of its levels, is called."""
        from lenet.sweeps.design import label

        keys = {text.split("=")[0] for level in parameter.levels for text in level.overrides}
        key = keys.pop()
        if keys:
            return "baseline"
        if key in self.frozen.groups:
            return label(self.frozen.composed[()].hydra.runtime.choices[key])
        value = OmegaConf.select(self.frozen.tasks[()], key)
        return label(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


MOST_WRITTEN = 30  # values in a remedy


def _require_range(values: RangeSweep, words: str) -> None:
    from lenet.errors import BadInput

    numbers = [float(number) for number in (values.start, values.stop, values.step) if number is not None]
    if not all(map(math.isfinite, numbers)) or values.step == 0:
        raise BadInput(f"{words}: no range; give finite numbers, and a step other than 0")


def _require_values(values: ChoiceSweep, key: str, words: str) -> None:
    """Hydra reads a range among other values, and then cannot say what they are."""
    from lenet.errors import BadInput

    given: list[Any] = list(values.list)
    ranges = [value for value in given if isinstance(value, RangeSweep)]
    if not ranges and not any(isinstance(value, Glob) for value in given):
        return
    remedy = "give all values one by one"
    for one in ranges:
        _require_range(one, words)
    if len(ranges) + sum(isinstance(value, int | float) for value in given) == len(given):
        numbers: list[str] = []
        for value in given:
            if isinstance(value, RangeSweep):
                numbers += _as_meant(value, [str(number) for number in islice(value.range(), MOST_WRITTEN + 1)])
            else:
                numbers.append(str(value))
        if len(numbers) <= MOST_WRITTEN:
            remedy = f"write {key}={','.join(dict.fromkeys(numbers))}"
    raise BadInput(f"{words}: range(...) and glob(...) stand alone, and not among other values; {remedy}")


def _has_more(values: RangeSweep, most: int) -> bool:
    """Whether a range has more than `most` numbers; Hydra makes a list of one that is to be shuffled."""
    numbers = values.range()
    return bool(numbers[most:]) if isinstance(numbers, range) else sum(1 for _ in islice(numbers, most + 1)) > most


def _as_meant(values: RangeSweep, texts: Sequence[str]) -> list[str]:
    """The numbers of a range as decimals: Hydra adds up in binary, where 0.1 + 0.1 + 0.1 is 0.30000000000000004."""
    if isinstance(values.range(), range):
        return list(texts)
    start, stop, step = (Decimal(str(number)) for number in (values.start, values.stop, values.step))
    numbers = [start + step * round((Decimal(text) - start) / step) for text in texts]
    within = [number for number in numbers if (stop - number) * step > 0]  # in binary one may fall short of the end
    return [str(float(number)) for number in within]


def _processes(launcher: DictConfig) -> tuple[int | None, bool]:
    """How many jobs a launcher runs at a time, as far as is known, and whether each has a process of its own."""
    from lenet.system.machine import cores

    if "basic_launcher" in launcher._target_:
        return 1, False
    number = launcher.get("n_jobs")
    if number is not None and number < 1:
        number = max(1, cores() + 1 + number)
    return number, "joblib" not in launcher._target_


def _labelled(name: str, values: Mapping[Any, Any]) -> tuple["Level", ...]:
    from lenet.errors import BadInput
    from lenet.sweeps.design import Level, as_text

    for text, overrides in values.items():
        if not isinstance(overrides, Mapping) or not overrides:
            raise BadInput(
                f"hydra.sweeper.params.{name}.{text}={overrides}: under a label stand the keys that it sets, such as "
                "{model.pool: max}"
            )
    return tuple(
        Level(str(text), tuple(f"{key}={as_text(value)}" for key, value in overrides.items()))
        for text, overrides in values.items()
    )
