"""`--extend FILE`: the code of whoever starts a command, run before anything else. No config can name any.

FILE is a Python file or, by its name, an entry point of the group `lenet` of an installed package. Processes that the
command starts find it in an environment variable, which no config can set either (`lenet.cli.guard`).
"""

import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from lenet.errors import BadInput
from lenet.system.terminal import EXTEND
from lenet.text import first_line

_loaded: list[str] = []


def take(words: Sequence[str]) -> list[str]:
    """The words of a command line without `--extend FILE`, whose files are run.

    Raises:
        BadInput: a file is missing, does not run, or brings in what cannot be.
    """
    kept, given = [], []
    rest = iter(words)
    for word in rest:
        name, is_set, value = word.partition("=")
        if name != "--extend":
            kept.append(word)
            continue
        file = value if is_set else next(rest, "")
        if not file:
            raise BadInput("--extend: names no file; write --extend my_lenet.py")
        given.append(str(Path(file).absolute()) if file.endswith(".py") or Path(file).exists() else file)
    before = [file for file in os.environ.get(EXTEND, "").split(os.pathsep) if file]
    if given:
        os.environ[EXTEND] = os.pathsep.join(dict.fromkeys([*before, *given]))
    load()
    return kept


def load() -> None:
    """Run the files that this process or the one that started it was given, each once.

    Raises: those of `take`.
    """
    for file in filter(None, os.environ.get(EXTEND, "").split(os.pathsep)):
        if file not in _loaded:
            _loaded.append(file)
            _run(file)


def loaded() -> bool:
    """Whether this process has run code of somebody's own."""
    return bool(_loaded)


class _Source(SourceFileLoader):
    """Leaves no __pycache__ in the folder of somebody's file."""

    def set_data(self, *_: Any, **__: Any) -> None:
        pass


def _run(file: str) -> None:
    path = Path(file)
    try:
        if path.suffix != ".py" and not path.exists():
            found = entry_points(group="lenet", name=file)
            if not found:
                raise BadInput(
                    f"--extend {file}: no such file, and no installed package has an entry point of this name"
                )
            next(iter(found)).load()
            return
        if not path.is_file():
            raise BadInput(f"--extend {file}: no such file; name a Python file")
        if path.suffix != ".py":
            raise BadInput(f"--extend {file}: no Python file; let its name end in .py")
        loader = _Source(path.stem, str(path))
        module = importlib.util.module_from_spec(ModuleSpec(path.stem, loader, origin=str(path)))
        module.__file__ = str(path)
        sys.modules.setdefault(path.stem, module)  # so that what it defines can be sent to other processes
        loader.exec_module(module)
    except BadInput as error:
        words = str(error)
        raise BadInput(words if words.startswith("--extend") else f"--extend {file}: {words}") from error
    except Exception as error:  # a stranger's code has every kind
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else (lines or [None])[-1]
        where = f", line {line}" if line else ""
        words = first_line(str(error))
        raise BadInput(f"--extend {file}{where}: {type(error).__name__}: {words}; mend the file") from error
