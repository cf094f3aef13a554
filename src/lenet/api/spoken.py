"""What is refused, in the words of Python: the command line says --weights best where Python has weights="best".

A line that is right for both stays as it is: a word such as "name=ANOTHER" can be given in Python too.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from lenet.cli.commands import IS_COMMAND
from lenet.errors import BadInput, JobsFailed

P = ParamSpec("P")
T = TypeVar("T")

NET = "lenet.load(RUN_DIR)"

# What is said on the command line, and in Python. The first that fits counts at each place.
SAID = {
    r"--weights (best|last)": r'weights="\1"',
    r"--part (validation|test)": r'part="\1"',
    r"--data (\S+?)(?=:)": r'data="\1"',
    r"--flip": "flip=True",
    r"--no-invert": "invert=False",
    r"--invert": "invert=True",
    r"--data-root (\S+?)(?=:)": r'data_root="\1"',
    r"with --data-root": 'with lenet.load(..., data_root="FOLDER")',
    r"; or bring it with --extend FILE, as the run did": "; or import the FILE.py that brings it, as the run did",
    r"a callback of your own comes with --extend FILE\.py \(docs/extending\.md\)": "callbacks=[...] takes yours",
    r" \(--help shows what there is\)": " (docs/keys.md has all keys)",
    r"--extend FILE(?:\.py)?": "a FILE.py that you import",
    r"scripts/train\.py resume=(\S+)": r'lenet.train(resume="\1")',
    r"scripts/train\.py --cfg job shows all keys": "docs/keys.md has all keys",
    r"--cfg job prints the config": "the config of a run is run.config",
    r"(?<!\.py )--cfg hydra": "scripts/train.py --cfg hydra",
    r"(?<!\.py )--config-dir": "scripts/train.py --config-dir",
    r"add -m for a run with each": "lenet.sweep trains one with each",
    r'write -m "(\S+)" for a run with each': r'lenet.sweep("\1") trains one with each',
    r"write -m (\S+) for a run with each": r'lenet.sweep("\1") trains one with each',
    r"add -m or sweep=NAME": "give it to lenet.sweep",
    r"(?<![\w-])-m (\w[\w.]*=\S+) (\w[\w.]*=\S+)": r'lenet.sweep("\1", "\2")',
    r"(?<![\w-])-m (\w[\w.]*=\S+)": r'lenet.sweep("\1")',
    r"scripts/summary\.py shows": "lenet.summary shows",
    r"scripts/evaluate\.py or scripts/activations\.py": "lenet.load",
    r"scripts/evaluate\.py RUN_DIR": f"{NET}.evaluate()",
    r"scripts/export\.py RUN_DIR FILE\.safetensors": f'{NET}.export("FILE.safetensors")',
    r"scripts/export\.py (has written|wrote)": r"run.export \1",
    r"scripts/activations\.py RUN --image FILE": 'run.activations("FILE")',
    r"compare runs with scripts/dashboard\.py \S+": "compare runs with lenet.compare",
    r"the same command tries them again": "the same call tries them again",
}
ANY = re.compile("|".join(f"(?:{pattern})" for pattern in SAID))


def as_python(line: str) -> str:
    """What the command line says, as Python has it."""

    def one(found: re.Match[str]) -> str:
        for pattern, words in SAID.items():
            if part := re.compile(pattern).match(found.string, found.start()):
                return part.expand(words)
        raise AssertionError(found)

    return ANY.sub(one, line)


def spoken(function: Callable[P, T]) -> Callable[P, T]:
    """A function of `import lenet`, which says in the words of Python what it refuses."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        with in_python():
            return function(*args, **kwargs)

    return inner


@contextmanager
def in_python() -> Iterator[None]:
    try:
        yield
    except (BadInput, JobsFailed) as error:
        if not IS_COMMAND.get():
            error.args = (as_python(str(error.args[0])), *error.args[1:])
        raise
