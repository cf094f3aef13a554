"""What --help shows, and what is said to options that there are not. Nothing here imports torch."""

import argparse
import difflib
import textwrap
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser

from lenet.cli import foreign
from lenet.cli.completion import LAUNCHERS
from lenet.config import Config, schema
from lenet.errors import BadInput

CONF = Path(__file__).parents[3] / "conf"
HELP = "--help shows what there is"

FLAGS = {
    "-m": "a run for each of several values: -m model.pool=avg,max seed=0,1,2",
    "--cfg job": "print the whole config, and run nothing; --cfg hydra for the rest",
    "--extend FILE.py": "code of your own: data sets, nets, optimizers and more (docs/extending.md)",
    "--config-dir FOLDER": "files of your own beside those of conf/",
    "-sc install=bash": "let the tab key complete keys and choices; also zsh, fish (docs/install.md)",
    "hydra.run.dir=FOLDER": "the run directory; hydra.sweep.dir=FOLDER for a sweep",
    "hydra.sweeper.plan=true": "list the jobs of a sweep, and train nothing",
    "hydra/launcher=joblib": "as many jobs at a time as there are cores",
}


def options(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options among the words of a command line, as Hydra reads them; and all words, the options first.

    Hydra would not take words before an option and behind it.

    Raises:
        BadInput: one that there is not, or that is not to be had here.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise BadInput(f"{message}; {HELP}")

    parser.error = refuse  # type: ignore[method-assign]
    found, unknown = parser.parse_known_args(list(arguments))
    if foreign := [word for word in unknown if word.startswith("-")]:
        raise BadInput(_instead(foreign[0], arguments, parser))
    if found.experimental_rerun is not None:
        raise BadInput(
            f"--experimental-rerun {found.experimental_rerun}: Hydra would read a pickle, which can run code; give the "
            "words of the command again, or resume=RUN_DIR"
        )
    if found.config_dir is not None and not Path(found.config_dir).is_dir():
        raise BadInput(f"--config-dir={found.config_dir}: no such folder; name one that is laid out as conf/")
    words, first = [*found.overrides, *unknown], list(arguments)[::-1]
    for word in words:
        _require_no_path(word)
        if word.startswith("~") and (key := word[1:].partition("=")[0]) in schema():
            raise BadInput(
                f"{word}: a run has every key, and none is taken away; leave the word out, or give {key} another value"
            )
    for word in words[::-1]:
        first.remove(word)
    return found, [*first[::-1], *words]


def _require_no_path(word: str) -> None:
    """A run or a file of weights is no key; Hydra would say that it is not understood."""
    path = Path(word)
    if "=" in word and "/" not in word.partition("=")[0]:
        return  # a key, whatever lies here: a job of a sweep is called seed=0
    if (path / "config.yaml").is_file():
        raise BadInput(f"{word}: takes keys, not a run; resume={word} is a key that takes one")
    if path.suffix == ".safetensors" and path.is_file():
        raise BadInput(f"{word}: takes keys, not a file of weights; scripts/evaluate.py {word} takes one")


def _instead(word: str, arguments: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """What to write where an option is none."""
    name, _, value = word.partition("=")
    # Of -mq some releases of Python leave -q, which is none of the words.
    following = arguments[arguments.index(word) + 1 :] if word in arguments else []
    if not value and following and not following[0].startswith("-") and "=" not in following[0]:
        value, word = following[0], f"{word} {following[0]}"
    plain = name.lstrip("-").replace("-", "_").lower()
    keys = [key for key, kind in schema().items() if "." not in key or not is_dataclass(kind)]
    words = {key.rsplit(".", 1)[-1]: key for key in reversed(keys)}
    key = plain if plain in keys else foreign.KEYS.get(plain) or words.get(plain)
    if not key and (reason := foreign.reason(plain)):
        return f"{word}: no such option; {reason}"
    real = [option for action in parser._actions for option in action.option_strings]
    if not key and (close := difflib.get_close_matches(name, real, 1, 0.75)):
        return f"{word}: no such option; did you mean {close[0]}?"
    if not key and (near := difflib.get_close_matches(plain, [*words, *foreign.KEYS], 1, 0.75)):
        key = words.get(near[0]) or foreign.KEYS[near[0]]
    return f"{word}: no such option; write {key or 'key'}={value or ('VALUE' if key else 'value')}" + (
        "" if key else f" ({HELP})"
    )


def page(about: str, examples: Sequence[str]) -> str:
    """What a script is for, and all that can be set.

    Args:
        about: the script's docstring.
        examples: commands.
    """
    parts = [about.strip(), _section("Examples", examples)]
    groups = {folder.name: folder for folder in sorted(CONF.iterdir()) if folder.is_dir() and folder.name != "hydra"}
    choices = [
        f"{group}={' | '.join(sorted(file.stem for file in folder.glob('*.yaml')))}" for group, folder in groups.items()
    ]
    choices.append(f"hydra/launcher={' | '.join(LAUNCHERS)}")
    parts.append(_section("Files of conf/ to choose, group=NAME", choices))
    parts.append(_section("Keys and their defaults, key=VALUE; src/lenet/config.py says what each means", _keys()))
    width = max(map(len, FLAGS)) + 2
    parts.append(_section("More", [flag.ljust(width) + meaning for flag, meaning in FLAGS.items()]))
    return "\n\n".join(parts)


def _section(title: str, lines: Sequence[str]) -> str:
    wrapped = (
        textwrap.wrap(line, 118, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)
        for line in lines
    )
    return "\n".join([f"{title}:", *(line for one in wrapped for line in one)])


def _keys() -> list[str]:
    """A paragraph for each group of keys, in the order of the schema."""
    config, groups = Config(), dict[str, list[str]]()
    for key, kind in schema().items():
        if not is_dataclass(kind):
            value: Any = config
            for part in key.split("."):
                value = getattr(value, part)
            groups.setdefault(key.rpartition(".")[0], []).append(f"{key}={_written(value)}")
    return [" ".join(keys) for keys in groups.values()]


def _written(value: Any) -> str:
    """A value as on the command line."""
    if isinstance(value, list):
        return f"[{','.join(_written(part) for part in value)}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
