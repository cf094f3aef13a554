"""Commands: what they do with words, signals and errors, and what they log. Imports no torch."""

import argparse
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from tqdm import tqdm

from lenet.cli import completion, extensions, guard, usage
from lenet.cli.explain import BY_HYDRA, bad_words, describe
from lenet.cli.messages import how_to_go_on
from lenet.errors import BadInput, PeerLost, Stopped, TimeUp
from lenet.system import terminal
from lenet.system.imports import only_ours
from lenet.system.ranks import is_first

# A command is at work, and not a program of somebody's: what is refused is said in the words of the command line.
IS_COMMAND: ContextVar[bool] = ContextVar("IS_COMMAND", default=False)


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
    extensions.load()  # a launcher's process has not been through `run`
    only_ours(not extensions.loaded())
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        # A launcher's process has not been through `run`.
        terminal.output()
        quiet(logging.WARNING)  # a sweep has a line per job
    try:
        yield
    except Stopped as stopped:
        if HydraConfig.get().mode != RunMode.MULTIRUN:  # a sweep goes on by itself
            stopped.advice = how_to_go_on(stopped.run)
        raise
    except Exception as error:
        if isinstance(error, TimeUp):
            error.advice = how_to_go_on(error.run) if error.run else ""
        output = Path(HydraConfig.get().runtime.output_dir)
        if isinstance(error, BadInput) and output != Path.cwd():
            with suppress(OSError):
                output.rmdir()  # Hydra has made it; it is empty unless somebody put files there
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        raise JobFailed(error) from error


def run(main: Callable[[], Any]) -> None:
    """Call a Hydra main function; turn every error that a user can mend into one line and an exit code.

    Exit codes: 2 for bad input, 1 for a run that failed, 124 for one whose time is over, 130 after Ctrl-C, 143 after
    SIGTERM.
    """
    token = IS_COMMAND.set(True)
    for_developers = "HYDRA_FULL_ERROR" in os.environ and is_first()  # which has set it for the others
    threading.excepthook = _thread_failed
    terminal.output()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on instead of printing them
    sys.argv[1:] = [quoted(argument) for argument in sys.argv[1:]]
    quiet()
    try:
        sys.argv[1:] = extensions.take(sys.argv[1:])
        only_ours(not extensions.loaded())
        main()
        sys.stdout.flush()  # what fails at the exit of Python is beyond us
    except (Exception, JobFailed) as error:
        if for_developers:
            raise
        words = sys.argv[1:]
        cause = error.error if isinstance(error, JobFailed) else bad_words(error, words) or error
        if isinstance(cause, BrokenPipeError):  # whoever read what we print has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        if isinstance(error, OSError) and _is_run_directory(str(error.filename)):
            cause = BadInput(f"hydra.run.dir: {describe(error, words)}; name a folder that can be made")
        if isinstance(cause, TimeUp):
            print(f"stopped: {cause}" + (f"; {cause.advice}" if cause.advice else ""), file=sys.stderr)
            sys.exit(cause.exit_code)
        if is_first() or not isinstance(cause, PeerLost):  # the first one says what became of the run
            print(f"error: {describe(cause, words)}", file=sys.stderr)
        sys.exit(2 if isinstance(cause, (BadInput, *BY_HYDRA)) else 1)
    except Stopped as error:
        print(f"interrupted by {error}" + (f"; {error.advice}" if error.advice else ""), file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted; give the command again", file=sys.stderr)
        sys.exit(130)
    finally:
        IS_COMMAND.reset(token)


def run_composed(main: Callable[[], Any], examples: Sequence[str], of_one_net: bool = False) -> None:
    """`run` for a main function of Hydra's, whose configs are looked at before anything that they name is called.

    Args:
        examples: commands for --help.
        of_one_net: a sweep is refused.
    """

    def guarded() -> None:
        guard.guard(of_one_net)
        options, sys.argv[1:] = usage.options(sys.argv[1:])
        if options.shell_completion:
            if (code := completion.shell_code(options.overrides)) is None:
                raise BadInput(
                    f"-sc {' '.join(options.overrides)}: write -sc install=bash, zsh or fish (or uninstall=)"
                )
            print(code, end="")
        elif options.help:
            print(usage.page(sys.modules["__main__"].__doc__ or "", examples))
        else:
            main()

    try:
        run(guarded)
    finally:
        guard.GuardedLoader.of_one_net = False  # whoever calls us may live on, and have many runs next


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread hands a full disk on to the run, which says so; no need of a traceback before."""
    by_tensorboard = type(failure.thread).__module__.startswith("tensorboard.")
    if not (by_tensorboard and isinstance(failure.exc_value, OSError)):
        threading.__excepthook__(failure)


def _is_run_directory(path: str) -> bool:
    """Whether it is the directory that Hydra makes when hydra.run.dir names it, or one above it."""
    given = [Path(argument.partition("=")[2]) for argument in sys.argv[1:] if argument.startswith("hydra.run.dir=")]
    return any(Path(path) in (one, *one.parents) for one in given)


def quoted(argument: str) -> str:
    """A word that Hydra would take for something else, as it has to be written.

    A run directory, as the shell completes it, has the quotes that Hydra wants around pool=max,seed=2.
    Loggers with commas in between are a list, and no sweep.
    """
    key, _, path = argument.partition("=")
    if key == "logger" and re.fullmatch(r"[\w ,.-]+", path, re.ASCII) and path != "null":
        return f"logger=[{path}]"
    is_one = key == "resume" or (key == "init_from" and Path(path).exists())  # several may be swept
    if is_one and re.search(r"[^\w./-]", path, re.ASCII) and path[0] not in "'\"":
        return f"{key}='" + path.replace("'", "\\'") + "'"
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
