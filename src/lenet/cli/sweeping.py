"""A sweep with a list of jobs: what Hydra's sweeper hands on, from the words of a command to jobs that run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig, OmegaConf

from lenet.batches import epochs
from lenet.cli.foreign import one_sweep
from lenet.cli.frozen import FrozenConfigs, require_swept
from lenet.cli.values import labelled, listed
from lenet.config import Config
from lenet.data import download
from lenet.errors import BadInput
from lenet.evaluation.initial_weights import check_initial_weights
from lenet.models.sizes import size_of
from lenet.rules import validate
from lenet.rules.processes import check_one_device
from lenet.runs.directory import RunDirectory
from lenet.sweeps.design import MOST_JOBS, Job, Level, Parameter, Sweep, check_labels, job_names, settings
from lenet.sweeps.directory import check_directory, plan, state
from lenet.sweeps.names import as_text, label, short
from lenet.sweeps.runner import run
from lenet.training import demands


class Sweeper(Protocol):
    """What is wanted of Hydra's sweeper."""

    config: DictConfig | None
    frozen: FrozenConfigs
    launcher: Any
    params: dict[str, Any]
    design: str
    seeds: int | None
    named: list[str]
    plan: bool
    fail_fast: bool
    max_batch_size: int | None

    def launch_jobs(self, jobs: Sequence[Job]) -> dict[str, Exception]: ...


def sweep(sweeper: Sweeper, words: Sequence[str], directory: Path, runs: tuple[int | None, bool]) -> None:
    """Run every job that is not done, or print which ones there are.

    Args:
        words: of the command line.
        runs: how many jobs the launcher runs at a time, as far as is known, and whether each has a process of its own.

    Raises:
        BadInput: something is wrong with a job or with the directory; nothing has been started.
        JobsFailed: at the end, not every job is completed.
        Stopped: a signal came.
    """
    assert sweeper.config is not None
    if sweeper.max_batch_size is not None and sweeper.max_batch_size < 1:
        raise BadInput(f"hydra.sweeper.max_batch_size={sweeper.max_batch_size}: give a number of jobs, at least 1")
    composer = Composer(sweeper)
    found, configs = composer.compose(words)
    for note in composer.notes:
        print(note, flush=True)
    sweeper.frozen.directory = str(directory)
    if sweeper.plan:
        check_directory(directory, configs, found)
        print(plan(found, directory))
        return
    ask_machine(sweeper.config.hydra.launcher, found, directory, configs)
    if check := getattr(sweeper.launcher, "check", None):
        check()
    run(found, directory, configs, sweeper.launch_jobs, sweeper.fail_fast, *runs)


def ask_machine(launcher: DictConfig, sweep: Sweep, directory: Path, configs: Mapping[str, Config]) -> None:
    """Whether this machine has what the jobs that are to do ask for, where they are to run on it.

    Raises:
        BadInput: it certainly has not.
    """
    if is_slurm(launcher):
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
            check_initial_weights(config)
            if (data := (config.data.name, config.data.root)) not in looked:
                download.look(*data)
                looked.add(data)
        except BadInput as error:
            if all(state(RunDirectory(directory / job)) == "completed" for job in jobs):
                continue  # perhaps on another machine
            raise BadInput(f"{setting}: {error}; nothing was started") from error


def is_slurm(launcher: DictConfig) -> bool:
    """Ours, or hydra/launcher=submitit_slurm."""
    return bool(launcher._target_.endswith((".Slurm", ".SlurmLauncher")))


class Composer:
    """Makes the jobs of a sweep, and their checked configs."""

    def __init__(self, sweeper: Sweeper) -> None:
        assert sweeper.config is not None
        self.frozen, self.master = sweeper.frozen, sweeper.config
        self.design, self.params, self.seeds, self.named = sweeper.design, sweeper.params, sweeper.seeds, sweeper.named
        self.notes: list[str] = []  # what the command line has taken from the sweep
        self.configs: dict[tuple[str, ...], Config] = {}  # by overrides, since levels come back in many settings

    def compose(self, words: Sequence[str]) -> tuple[Sweep, dict[str, Config]]:
        """The sweep, and the checked config of each of its jobs by name."""
        parameters, seeds = self._parameters(words)
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

    def _checked(self, varied: Sequence[Mapping[str, Level]]) -> list[Config]:
        """The checked configs of all settings, or a line about the first wrong one."""
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

    def _parameters(self, words: Sequence[str]) -> tuple[list[Parameter], list[int | None]]:
        """What is swept, and over which seeds; what is the same in all jobs goes to `self.frozen.shared`."""
        levels: dict[str, tuple[Level, ...]] = {}
        shared: dict[str, str] = {}
        params: Any = OmegaConf.to_container(OmegaConf.create(self.params))
        given = []
        for name, values in params.items():
            if isinstance(values, Mapping):
                levels[name] = labelled(name, values)
            elif isinstance(values, list):
                levels[name] = tuple(self._level(name, as_text(value)) for value in values)
            else:
                given.append(f"{name}={values if isinstance(values, str) else as_text(values)}")
        for override in self.frozen.parser.parse_overrides([*given, *self.named, *words]):
            name = override.get_key_element()
            require_swept(name)
            before = levels.pop(name, ())  # what comes later counts
            shared.pop(name, None)
            if override.is_sweep_override():
                levels[name] = tuple(self._level(name, text) for text in listed(override))
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
        self.frozen.shared = list(shared.values())
        seeds = self._seeds(levels.pop("seed", None), "seed" in shared)
        self._require_one_setter(levels, shared, seeds)
        parameters = [Parameter(short(name.lstrip("+~")), ones) for name, ones in levels.items()]
        return parameters, seeds

    def _seeds(self, levels: tuple[Level, ...] | None, is_given: bool) -> list[int | None]:
        """The seeds of each setting; None is that of the config. `is_given`: the command line sets one."""
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
        self, levels: Mapping[str, tuple[Level, ...]], shared: Mapping[str, str], seeds: list[int | None]
    ) -> None:
        """Whether every parameter has a name of its own, and every key is set by one of them."""
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

    def _level(self, key: str, text: str) -> Level:
        override = f"{key}={text}"
        return Level(label(self.frozen.parse(override).value()), (override,))

    def _config(self, setting: Mapping[str, Level], checked: bool = True) -> Config:
        overrides = tuple(text for level in setting.values() for text in level.overrides)
        if overrides not in self.configs:
            self.configs[overrides] = OmegaConf.to_object(self.frozen.compose(self.master, overrides))  # type: ignore[assignment]
        if checked:
            validate(self.configs[overrides])
            check_one_device(self.configs[overrides])
        return self.configs[overrides]

    def _label(self, parameter: Parameter) -> str:
        """What the baseline, which is none of its levels, is called."""
        keys = {text.split("=")[0] for level in parameter.levels for text in level.overrides}
        key = keys.pop()
        if keys:
            return "baseline"
        return self.frozen.usual(key)
