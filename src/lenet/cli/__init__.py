"""From Hydra to a checked Config, and from an error to one line. Imports no torch."""

import argparse
import difflib
import errno
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, get_args

import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from lenet.cli import composing, usage
from lenet.cli.messages import how_to_go_on
from lenet.config import Config, schema
from lenet.errors import BadInput, Deserted, Diverged, Stopped
from lenet.rules import validate
from lenet.runs.directory import INCIDENTAL, WEIGHTS, RunDirectory, timestamp
from lenet.system import terminal
from lenet.system.ranks import is_first
from lenet.text import one_line

ConfigStore.instance().store("schema", Config)

CHOOSE = "choose a file of conf/ by its name, or set a key such as model.kind"

DISK_REMEDIES = {
    errno.ENOSPC: "make room and give the command again; a single run goes on with resume=RUN_DIR",
    errno.EDQUOT: "make room and give the command again; a single run goes on with resume=RUN_DIR",
    errno.EFBIG: "allow larger files and give the command again; a single run goes on with resume=RUN_DIR",
    errno.EROFS: "start where you can write",
}

# What a resumed run may change without becoming another run.
RESUMABLE = ("trainer.max_epochs", *INCIDENTAL)


def config_from(composed: DictConfig) -> Config:
    """The checked config of this job: what Hydra composed or, with `resume`, what the run directory says.

    Raises:
        BadInput: a value is not legal, or `resume` goes with a key that would make it another run.
    """
    _require_sweep()
    if "resume" not in composed:
        name = HydraConfig.get().job.config_name
        raise BadInput(f"--config-name={name}: no whole config; leave it out, and choose by group=NAME")
    if composed.resume is not None:
        overrides = list(HydraConfig.get().overrides.task)
        return resumed_config(composed.resume, overrides)
    config = OmegaConf.to_object(typed(composed))
    assert isinstance(config, Config)
    validate(config)
    return config


def _require_sweep() -> None:
    """What is said of a sweep goes with one; a single run would ignore it."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return
    for word in HydraConfig.get().overrides.hydra:
        key = word.lstrip("+~").partition("=")[0]
        if re.match(r"hydra[./](launcher|sweeper|sweep)\b", key):
            raise BadInput(
                f"{word}: goes with a sweep, and this is a single run; add -m or sweep=NAME, or leave it out"
            )


def typed(composed: DictConfig) -> DictConfig:
    """A composed config without keys that the schema does not have, which Hydra's +key=value adds to it.

    Raises:
        OmegaConfBaseException: it has some.
    """
    known = schema()
    if OmegaConf.get_type(composed) is Config and all(key in known for key in _keys(OmegaConf.to_container(composed))):
        return composed  # as nearly always, and merging takes longer than all else here
    merged = OmegaConf.merge(Config, OmegaConf.to_container(composed))
    assert isinstance(merged, DictConfig)
    return merged


def _keys(container: Any, prefix: str = "") -> Iterator[str]:
    for key, value in container.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")


def resumed_config(directory: str, overrides: Sequence[str]) -> Config:
    """The config of the run in `directory`, with the few keys of `overrides` that a run may change."""
    if Path(directory).is_file() and Path(directory).suffix == WEIGHTS:
        raise BadInput(
            f"resume={directory}: holds a net to look at, with scripts/evaluate.py or scripts/activations.py, and "
            "nothing of its optimizer to go on with; name the run's directory, or start a new run"
        )
    run = RunDirectory(directory)
    saved = run.read_config()
    run.check()
    overrides = [override for override in overrides if not override.startswith("resume=")]
    for override in overrides:
        if override.split("=")[0] not in RESUMABLE:
            raise BadInput(
                f"{override}: a resumed run keeps its config; beside resume only {', '.join(RESUMABLE)} may be "
                "given. Start a new run to change anything else"
            )
    changed = OmegaConf.merge(OmegaConf.structured(saved), OmegaConf.from_dotlist(list(overrides)))
    config = OmegaConf.to_object(changed)
    assert isinstance(config, Config)
    config.resume = directory
    validate(config)
    longer = config.trainer.max_epochs != saved.trainer.max_epochs
    if longer and config.schedule.name not in ("constant", "steps"):
        raise BadInput(
            f"trainer.max_epochs={config.trainer.max_epochs}: the schedule {config.schedule.name} ends with epoch "
            f"{saved.trainer.max_epochs}; only a run with schedule.name=constant or steps can be made longer"
        )
    return config


def run_path(config: Config) -> Path:
    """runs/<name>/<time> for one run; for a job of a sweep, or with hydra.run.dir, where Hydra says."""
    output = Path(HydraConfig.get().runtime.output_dir)
    if output != Path(HydraConfig.get().runtime.cwd):
        return output
    return Path("runs") / config.name / timestamp()


class Parser(argparse.ArgumentParser):
    """Answers a wrong argument in one line, as Hydra's scripts do."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; --help shows what there is")


def positive(text: str) -> int:
    """An argument that counts something."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number, at least 1")
    return int(text)


class JobFailed(BaseException):
    """Carries a job's error past Hydra, which would print a line of its own about an Exception."""

    def __init__(self, error: Exception) -> None:
        self.error = error


@contextmanager
def job() -> Iterator[None]:
    """The body of a Hydra main function. In a sweep Hydra has to see a job's error; alone, `run` reports it."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        quiet(logging.WARNING)  # a sweep has a line per job; and a launcher's process has not been through `run`
    try:
        yield
    except Stopped as stopped:
        if HydraConfig.get().mode != RunMode.MULTIRUN:  # a sweep goes on by itself
            stopped.advice = how_to_go_on(stopped.run)
        raise
    except Exception as error:
        output = Path(HydraConfig.get().runtime.output_dir)
        if isinstance(error, BadInput) and output != Path.cwd():
            with suppress(OSError):
                output.rmdir()  # Hydra has made it; it is empty unless somebody put files there
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        raise JobFailed(error) from error


def run(main: Callable[[], Any]) -> None:
    """Call a Hydra main function; turn every error that a user can mend into one line and an exit code.

    Exit codes: 2 for bad input, 1 for a run that failed, 130 after Ctrl-C, 143 after SIGTERM.
    """
    for_developers = "HYDRA_FULL_ERROR" in os.environ and is_first()  # which has set it for the others
    threading.excepthook = _thread_failed
    terminal.output()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on instead of printing them
    sys.argv[1:] = [_quoted(argument) for argument in sys.argv[1:]]
    quiet()
    try:
        main()
        sys.stdout.flush()  # what fails at the exit of Python is beyond us
    except (Exception, JobFailed) as error:
        if for_developers:
            raise
        cause = error.error if isinstance(error, JobFailed) else error
        if isinstance(cause, BrokenPipeError):  # whoever read what we print has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        if isinstance(error, TypeError) and any("=[" in choice for choice in _choices()):  # Hydra stumbles over it
            cause = BadInput(f"{' '.join(_choices())}: {CHOOSE}")
        if isinstance(error, OSError) and _is_run_directory(str(error.filename)):
            cause = BadInput(f"hydra.run.dir: {describe(error)}; name a folder that can be made")
        if is_first() or not isinstance(cause, Deserted):  # the first one says what became of the run
            print(f"error: {describe(cause)}", file=sys.stderr)
        by_hydra = (
            isinstance(cause, HydraException | OmegaConfBaseException | yaml.YAMLError) or type(error) is ValueError
        )
        sys.exit(2 if isinstance(cause, BadInput) or by_hydra else 1)
    except Stopped as error:
        print(f"interrupted by {error}" + (f"; {error.advice}" if error.advice else ""), file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted; give the command again", file=sys.stderr)
        sys.exit(130)


def run_composed(main: Callable[[], Any], examples: Sequence[str]) -> None:
    """`run` for a main function of Hydra's, whose configs are looked at before anything that they name is called.

    Args:
        examples: commands for --help.
    """

    def guarded() -> None:
        composing.guard()
        options, sys.argv[1:] = usage.options(sys.argv[1:])
        if options.help:
            print(usage.page(sys.modules["__main__"].__doc__ or "", examples))
        else:
            main()

    run(guarded)


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread hands a full disk on to the run, which says so; no need of a traceback before."""
    by_tensorboard = type(failure.thread).__module__.startswith("tensorboard.")
    if not (by_tensorboard and isinstance(failure.exc_value, OSError)):
        threading.__excepthook__(failure)


def _is_run_directory(path: str) -> bool:
    """Whether it is the directory that Hydra makes when hydra.run.dir names it, or one above it."""
    given = [Path(argument.partition("=")[2]) for argument in sys.argv[1:] if argument.startswith("hydra.run.dir=")]
    return any(Path(path) in (one, *one.parents) for one in given)


def _quoted(argument: str) -> str:
    """A run directory to resume, as the shell completes it, in the quotes that Hydra wants around pool=max,seed=2."""
    key, _, path = argument.partition("=")
    if key == "resume" and re.search(r"[^\w./-]", path, re.ASCII) and path[0] not in "'\"":
        return "resume='" + path.replace("'", "\\'") + "'"
    return argument


def quiet(least: int = logging.INFO) -> None:
    """Log to the terminal from this level on, without breaking a progress bar; silence warnings without a remedy."""

    class Terminal(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tqdm.write(self.format(record), file=sys.stdout)
            sys.stdout.flush()  # what is waited for is to be read while one waits, in a file too

    logger = logging.getLogger("lenet")
    logger.setLevel(logging.INFO)
    logger.handlers = [Terminal(least if is_first() else logging.CRITICAL)]
    logger.propagate = False  # Hydra gives the root logger a handler of its own
    # Batches are single indexing expressions, so data loading needs no workers.
    warnings.filterwarnings("ignore", "The '.*dataloader' does not have many workers")
    # With a batch of everything, or ten, there are fewer batches than Lightning likes to log.
    warnings.filterwarnings("ignore", "The number of training batches .* is smaller than the logging interval")
    # Lightning 2.6 asks torch for its trees in a way that torch will drop; its next minor release does not.
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.. is deprecated")
    # Where Slurm is installed Lightning advises srun, which a run on one machine has no use for.
    warnings.filterwarnings("ignore", "The `srun` command is available on your system but is not used")
    # It is the same in every process: Totals has added them up.
    warnings.filterwarnings("ignore", "It is recommended to use .*sync_dist=True")
    # The run directory is ours, and a resumed run finds its checkpoints there.
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")


def describe(error: BaseException) -> str:
    """One line that names the key, the value and the remedy; or what a BadInput says, with its details."""
    return str(error) if isinstance(error, BadInput) else one_line(_described(error))


def _described(error: BaseException) -> str:
    if isinstance(error, Diverged):
        return str(error)
    if isinstance(error, Deserted):
        return f"{error}; resume=RUN_DIR goes on from the last epoch"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"{error.problem_mark.name}, line {error.problem_mark.line + 1}: not YAML ({error.problem})"
    if isinstance(error, OSError) and error.filename:
        remedy = DISK_REMEDIES.get(error.errno or 0)
        return f"{error.filename}: {error.strerror}" + (f"; {remedy}" if remedy else "")
    if isinstance(error, MissingConfigException):
        if error.missing_cfg_file is None:
            return "--config-path: there is no such folder; leave it out, or give an absolute path"
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        if choice in ("lenet_slurm", "lenet_processes"):
            name = choice.removeprefix("lenet_")
            if not hasattr(os, "setsid"):
                return f"{group}={name}: not to be had on this system; take {group}=joblib"
            return f"{group}={name}: needs submitit; start with uv run --extra cluster, or pip install 'lenet[cluster]'"
        # lenet_slurm and lenet_processes are what the files slurm and processes are made of.
        options = ", ".join(option for option in error.options or [] if not option.startswith("lenet_"))
        if not group:
            return f"--config-name={choice}: there is no such file in conf/; leave it out, and choose by group=NAME"
        return f"{group}={choice}: there is no such choice; {f'take {options}' if options else 'leave it out'}"
    if isinstance(error, OverrideParseException):
        return _not_understood(str(error.override))
    text = f"{error}\n{error.__cause__ or ''}"
    if "Config group override must be" in text:  # Hydra does not say which
        return f"{' '.join(_choices())}: {CHOOSE}"
    if several := re.search(r"Ambiguous value for argument '((.*?)=(.*))'", text):
        is_list = "list" in str(schema().get(several[2]))
        remedy = f"write {several[2]}=[{several[3]}]" if is_list else "add -m for a run with each"
        return f"{several[1]}: several values; {remedy}"
    full_key = re.search(r"full_key: (\S+)", text)
    if full_key and re.search(r"Key '.*' (?:is )?not in ", text):
        return _unknown_key(full_key[1])
    if merging := re.search(r"Error merging override ([^=]+)=(.*)", text):
        return f"{merging[1]}={merging[2]}: {_remedy(merging[1])}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if full_key:
        return f"{full_key[1]}: {lines[0]}"
    return "; ".join(dict.fromkeys(lines)) or type(error).__name__


# What Hydra takes in a value without quotes, and what has a meaning of its own in it.
UNQUOTED = re.compile(r"[\w\s/+.$%*@?|:=\\,()\[\]{}'\"~^-]", re.ASCII)


def _not_understood(override: str) -> str:
    """What to write instead, as far as it can be told."""
    key, _, value = override.partition("=")
    strange = next((character for character in value if not UNQUOTED.fullmatch(character)), None)
    if strange and "'" not in value:

        def quote(part: re.Match[str]) -> str:
            fits = all(UNQUOTED.fullmatch(character) for character in part[0])
            return part[0] if fits else f"'{part[0].strip()}'"

        quoted = re.sub(r"[^][{},:]+", quote, value)
        return f'{override}: {strange} has to be in quotes; write "{key}={quoted}"'
    if any(not UNQUOTED.fullmatch(character) for character in key):
        return _unknown_key(key)
    return f"{override}: not understood; write key=value, in quotes if it has special characters"


def _choices() -> list[str]:
    """The arguments that choose files of conf/."""
    groups = [name for name, kind in schema().items() if is_dataclass(kind)]
    return [argument for argument in sys.argv[1:] if argument.split("=")[0] in groups]


def _remedy(key: str) -> str:
    kind = schema().get(key)
    if is_dataclass(kind):
        inner = [name for name in schema() if name.startswith(f"{key}.")]
        return f"a group of keys, not a value; set {', '.join(inner)}"
    kinds: dict[Any, str] = {
        int: "give an integer",
        float: "give a number",
        bool: "give true or false",
        str: "give a word",
        list[int]: "give a list of integers, such as [6,16]",
        list[float]: "give a list of numbers, such as [0.9,0.999]",
        list[str]: "give a list of words, such as [a,b]",
    }
    members = (
        [member for member in get_args(kind) if member is not type(None)] if isinstance(kind, UnionType) else [kind]
    )
    null = " or null" if type(None) in get_args(kind) and isinstance(kind, UnionType) else ""
    return " or ".join(kinds.get(member, "give a legal value") for member in members).replace(" or give", " or") + null


def _unknown_key(key: str) -> str:
    if key in ("sweep", "experiment"):
        return f"{key}: no such key; the first line of a file in conf/{key}/ has to be: # @package _global_"
    if key.startswith("hydra.launcher.additional_parameters."):
        return f"{key}: not there yet; to add it put a + before it"
    if key.startswith("hydra."):
        group, _, name = key.rpartition(".")
        known = {name for keys in composing.plugin_keys(group.removeprefix("hydra.")).values() for name in keys}
        close = difflib.get_close_matches(name, sorted(known), 1)
        hint = f"did you mean {group}.{close[0]}? " if close else ""
        return f"{key}: no such key; {hint}--cfg hydra -p {group} shows those that there are"
    keys = [name for name, kind in schema().items() if "." not in key or not is_dataclass(kind)]
    # Compared by the last part first: people know the word and mistake its group or its spelling.
    words = {name.rsplit(".", 1)[-1]: name for name in reversed(keys)}
    close = [words[word] for word in difflib.get_close_matches(key.rsplit(".", 1)[-1], list(words), 2)]
    close = close or difflib.get_close_matches(key, keys, 2)
    hint = f"did you mean {' or '.join(close)}?" if close else "scripts/train.py --cfg job shows all keys"
    return f"{key}: no such key; {hint}"
