"""Hydra's loader of configs, as a guard: what names code is refused before any of it is called.

Hydra makes an object of whatever has a `_target_` below `hydra.`, whichever function that names, and Python's logging
imports the classes that hydra.job_logging names: at start, before a `main` of ours is called. A file of conf/ may be
somebody else's, so each composed config is looked at here first, those of a sweep's jobs included. Nothing here imports
torch.
"""

import functools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.hydra import Hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lenet.errors import BadInput
from lenet.text import one_line

DATA = "a config is data and names no code"

# What Hydra may make an object of, and how each is chosen.
TARGETS = {
    "launcher": {
        "hydra._internal.core_plugins.basic_launcher.BasicLauncher": "basic",
        "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher": "joblib",
        "hydra_plugins.lenet_launchers.lenet_launchers.Processes": "processes",
        "hydra_plugins.lenet_launchers.lenet_launchers.Slurm": "slurm",
        "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher": "submitit_local",
        "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher": "submitit_slurm",
    },
    "sweeper": {
        "hydra_plugins.lenet_sweeper.lenet_sweeper.LenetSweeper": "lenet",
        "hydra._internal.core_plugins.basic_sweeper.BasicSweeper": "basic",
    },
}

# Of Python's logging, which is all that Hydra's own settings have; and the one file that they name.
LOGGING = {"class": ("logging.StreamHandler", "logging.NullHandler", "logging.FileHandler")}
LOG_LEAVES = ("version", "disable_existing_loggers", "format", "datefmt", "formatter", "level", "stream", "class",
              "filename", "propagate")  # fmt: skip
LOG_FILE = "${hydra.runtime.output_dir}/${hydra.job.name}.log"
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")

# A reference to another key, to an environment variable or to the time; others could make a `_target_` of a text.
PLAIN_REFERENCE = re.compile(r"\$\{(?:[\w.]+|(?:oc\.env|now):[\w.,%:-]+)\}")


def guard(of_one_net: bool = False) -> None:
    """From now on Hydra composes through this loader, or not at all.

    The loader is put in the place of Hydra's own by a name inside Hydra, which another release may not look at.

    Args:
        of_one_net: the command is about one net, so many runs at once are refused before a sweep writes anything.
    """
    GuardedLoader.of_one_net = of_one_net
    hydra._internal.hydra.ConfigLoaderImpl = GuardedLoader  # type: ignore[attr-defined]
    make = Hydra.__init__

    @functools.wraps(make)
    def guarded(self: Hydra, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        if not isinstance(getattr(self, "config_loader", None), GuardedLoader):
            raise BadInput(
                f"hydra-core {hydra.__version__}: composes configs without the check that they name no code; install "
                "the release that requirements.txt names"
            )

    Hydra.__init__ = guarded  # type: ignore[method-assign]


class GuardedLoader(ConfigLoaderImpl):
    """Composes as Hydra does; nothing of the result has been called, imported or put into the environment yet."""

    of_one_net = False

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        for place in config_search_path.get_path():
            if place.provider in ("main", "command-line"):
                _require_folder("--config-path", str(place.path))
        super().__init__(config_search_path)
        self.for_mode: tuple[str | None, list[str], DictConfig] | None = None  # what was composed for its mode alone

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Raises BadInput where the composed config names code, or a variable of the environment that is not there."""
        # Hydra asks for the mode of a command alone, and then for the same config again. It is composed once.
        if not validate_sweep_overrides:
            config = self._composed(config_name, overrides, RunMode.RUN, from_shell, False)
            self.for_mode = config_name, list(overrides), config
            return config
        before, self.for_mode = self.for_mode, None
        if before is not None and before[:2] == (config_name, overrides):
            config, parsed = before[2], OverridesParser.create().parse_overrides(overrides)
            self.validate_sweep_overrides_legal(parsed, run_mode, from_shell)
        else:
            config = self._composed(config_name, overrides, run_mode, from_shell, True)
        if self.of_one_net and config.hydra.mode == RunMode.MULTIRUN:
            chosen = next((word for word in overrides if re.match("(sweep|search)=", word)), "-m")
            raise BadInput(f"{chosen}: is many runs, and this is for one net; hydra.sweeper.plan=true with "
                           f"scripts/train.py {chosen} lists them with their sizes")  # fmt: skip
        return config

    def _composed(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, from_shell: bool, validate: bool
    ) -> DictConfig:
        given = len(overrides)
        self._require_one_choice([word for word in overrides if "[" in word])
        try:
            config = super().load_configuration(config_name, overrides, run_mode, from_shell, validate)
        except KeyError as error:  # of os.environ, which is the only dictionary that Hydra looks into so boldly
            if type(error) is not KeyError or error.args[0] in os.environ:  # OmegaConf's errors say what is wrong
                raise
            raise BadInput(
                f"hydra.job.env_copy=[{error.args[0]}]: no such environment variable; set it before the command, or "
                "leave it out"
            ) from error
        if OmegaConf.is_interpolation(config, "hydra"):
            raise BadInput(f"hydra: {DATA}; write out what it stands for")
        if len(config.hydra.overrides.hydra) + len(config.hydra.overrides.task) != given:
            raise BadInput("hydra.overrides: what the command line says is not for a file to say; leave it out")
        words = [
            word for word in overrides if "hydra.launcher." in word or "hydra.sweep." in word
        ]  # parsing takes time
        check(config, OverridesParser.create().parse_overrides(words))
        return config

    def _require_one_choice(self, words: Sequence[str]) -> None:
        """Hydra would merge the files of a list, and train with what no file says.

        Raises:
            BadInput: a word chooses several files of a group at once.
        """
        groups = {*self.list_groups("")} - {"hydra"} if words else set()  # which takes time
        for word in words:
            if word.partition("=")[0].lstrip("+") in groups:
                one = OverridesParser.create().parse_override(word)
                values = one.value().list if isinstance(one.value(), ChoiceSweep) else [one.value()]  # type: ignore[union-attr]
                files = [str(file) for value in values for file in (value if isinstance(value, list) else [value])]
                known = {*self.get_group_options(str(one.key_or_group))}  # of what is none Hydra will complain
                if any(isinstance(value, list) for value in values) and known.issuperset(files):
                    several = f"-m {one.key_or_group}={','.join(files)} trains with each in turn"
                    remedy = several if len(files) > 1 else f"write {one.key_or_group}={''.join(files)}"
                    raise BadInput(f"{word}: a run has one choice of {one.key_or_group}; {remedy}")

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: list[Override], repo: CachingConfigRepository
    ) -> None:
        """More folders of configs are welcome; a package would have to be imported.

        Each list is looked at, of the file and of every word: which of them counts is Hydra's affair.
        """
        loaded = repo.load_config(config_path=config_name) if config_name else None
        given: list[Any] = [OmegaConf.select(loaded.config, "hydra.searchpath")] if loaded else []
        given += [one.value() for one in parsed_overrides if one.key_or_group == "hydra.searchpath"]
        for places in given:
            for place in places if OmegaConf.is_list(places) or isinstance(places, list) else []:
                _require_folder("hydra.searchpath", str(place))
        super()._process_config_searchpath(config_name, parsed_overrides, repo)


def _require_folder(key: str, place: str) -> None:
    scheme, separator, _ = place.partition("://")
    if separator and scheme != "file":
        raise BadInput(f"{key}={place}: would import a package, and {DATA}; name a folder")


def check(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Whether nothing below `hydra.` names code, other than a launcher or a sweeper that is known here.

    Args:
        overrides: the words of the command line, as far as they are about the launcher.

    Raises:
        BadInput: something does; the first thing found.
    """
    raw = OmegaConf.to_container(config.hydra, resolve=False)
    assert isinstance(raw, dict)
    for name in raw["callbacks"] if isinstance(raw["callbacks"], dict) else [raw["callbacks"]]:
        target = f"._target_={target}" if (target := _target(raw["callbacks"], name)) else ""
        raise BadInput(f"hydra.callbacks.{name}{target}: {DATA}; leave it out")
    for key, value in _entries(raw):
        part = key.partition(".")[0]
        if part in ("job_logging", "hydra_logging"):
            _check_logging(f"hydra.{key}", value)
        elif key.endswith("_target_"):
            known = TARGETS.get(part, {}) if key == f"{part}._target_" else {}
            if value not in known:
                choices = ", ".join(known.values())
                remedy = f"take hydra/{part}={choices}" if known else "leave it out"
                raise BadInput(f"hydra.{key}={value}: {DATA}; {remedy}")
        elif part in TARGETS and isinstance(value, str) and "${" in PLAIN_REFERENCE.sub("", value):
            raise BadInput(f"hydra.{key}={value}: {DATA}; write out what it stands for")
    for part in TARGETS:
        _check_plugin(part, raw[part], config.hydra[part], overrides)
    for key in ("job", "job.env_set"):
        if not isinstance(part := raw["job"] if key == "job" else raw["job"]["env_set"], dict):
            raise BadInput(f"hydra.{key}={part}: {DATA}; write out what it stands for")
    _check_places(raw)
    for name, value in raw["job"]["env_set"].items():
        if os.environ.get(name) != value:  # what hydra.job.env_copy names is there already
            raise BadInput(no_variable(f"{name}={value}"))


def no_variable(given: str) -> str:
    """What is said to a variable of the environment, such as A=1."""
    return (
        f"hydra.job.env_set.{given}: a config sets no environment variables, which can name code; write "
        f"{given.partition('=')[0]}=... before the command"
    )


def _check_places(raw: Mapping[Any, Any]) -> None:
    """Hydra's own files go into the run directory and nowhere else."""
    for key, value in (("output_subdir", raw["output_subdir"]), ("job.name", raw["job"].get("name"))):
        word = not isinstance(value, str) or (re.fullmatch(r"[\w.+=,?-]+", value) and value.strip("."))
        if not word:
            raise BadInput(f"hydra.{key}={value}: names what lies in the run directory; give a word, or leave it out")


def _target(callbacks: Any, name: str) -> Any:
    found = callbacks.get(name) if isinstance(callbacks, dict) else None
    return found.get("_target_") if isinstance(found, dict) else None


def _entries(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key below a container, such as launcher.n_jobs, with its value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield f"{prefix}{key}", inner
        yield from _entries(inner, f"{prefix}{key}.")


def _check_logging(key: str, value: Any) -> None:
    """Hydra's own settings pass, with other levels and formats; what would import or call something else does not."""
    last = key.rpartition(".")[2]
    leaf = value is not None and not isinstance(value, dict | list)
    # A key "." would set attributes of the handler, such as the file that it writes to.
    # A formatter's class is called with its texts, which would be the name and the mode of a file.
    misplaced = last == "class" and not re.fullmatch(r"hydra\.\w+\.handlers\.[^.]+\.class", key)
    strange = (
        misplaced or last == "()" or key.endswith(".") or (leaf and not last.isdecimal() and last not in LOG_LEAVES)
    )
    factory = strange or (last == "class" and value not in LOGGING["class"])
    file = last == "filename" and (value != LOG_FILE or not key.startswith("hydra.job_logging."))
    text = value if isinstance(value, str) else ""
    elsewhere = ("://" in text and text not in STREAMS) or ("${" in text and text != LOG_FILE)
    if factory or file or elsewhere:
        group = "/".join(key.split(".")[:2])
        raise BadInput(f"{key}={value}: {DATA}; leave it out, or take {group}=default")


# Lines that Slurm's jobs hand to a shell, and options of sbatch, which can set environment variables.
BY_HAND = ("setup", "additional_parameters")

# Where the jobs find pickles, which are code: in the folder of the sweep.
PICKLES = tuple(f"${{hydra.sweep.dir}}/{name}" for name in (".slurm", ".processes", ".submitit/%j"))


def _check_plugin(part: str, raw: Any, node: Any, overrides: Sequence[Override]) -> None:
    """A launcher or a sweeper: its keys are known, and nothing in it stands for a `_target_` that lies elsewhere."""
    if not isinstance(raw, dict):
        raise BadInput(f"hydra.{part}={raw}: {DATA}; take hydra/{part}={', '.join(TARGETS[part].values())}")
    known = plugin_keys(part).get(str(raw.get("_target_")), set(raw))
    for key, value in _entries(OmegaConf.to_container(node, resolve=True)):
        if key.endswith("_target_") and key != "_target_":
            raise BadInput(f"hydra.{part}.{key}={value}: {DATA}; leave it out")
        if key.partition(".")[0] not in known:
            raise BadInput(f"hydra.{part}.{key}: no such key; --cfg hydra -p hydra.{part} shows those that there are")
        by_hand = key.partition(".")[0] in BY_HAND
        if part == "launcher" and isinstance(value, str) and value != one_line(value) and not by_hand:
            raise BadInput(f"hydra.{part}.{key}={value}: has a control character; give one line of text")
    if part == "launcher":
        _check_by_hand(raw, overrides)


def _check_by_hand(raw: Mapping[str, Any], overrides: Sequence[Override]) -> None:
    given = {one.key_or_group: one.value() for one in overrides if not one.is_sweep_override()}
    if raw.get("setup") and "hydra.launcher.setup" not in given:
        raise BadInput(
            f"hydra.launcher.setup={raw['setup']}: lines for a shell come from the command line, not from a file; "
            "give hydra.launcher.setup=[...] there"
        )
    folder = raw.get("submitit_folder", PICKLES[0])
    if folder not in PICKLES and "hydra.launcher.submitit_folder" not in given:
        raise BadInput(
            f"hydra.launcher.submitit_folder={folder}: holds code, so another folder than the sweep's own comes from "
            "the command line, not from a file; give hydra.launcher.submitit_folder=... there"
        )
    prefix = "hydra.launcher.additional_parameters"
    whole = given.get(prefix)
    options = raw.get("additional_parameters") or {}
    if not isinstance(options, dict):
        raise BadInput(f"{prefix}={options}: {DATA}; write out what it stands for")
    for name, value in options.items():
        if f"{prefix}.{name}" not in given and name not in (whole if isinstance(whole, dict) else {}):
            raise BadInput(
                f"{prefix}.{name}={value}: options of sbatch come from the command line alone, not from a file, since "
                f"they can name code; give +{prefix}.{name}=... there"
            )


def plugin_keys(part: str) -> dict[str, set[str]]:
    """The keys of every launcher, or of every sweeper, that is installed, by its `_target_`."""
    nodes = ConfigStore.instance().repo["hydra"].get(part, {})
    found = {}
    for entry in nodes.values():
        keys: Any = OmegaConf.to_container(entry.node, resolve=False)
        found[keys["_target_"]] = {str(key) for key in keys}
    return found
