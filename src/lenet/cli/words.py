"""From the words and keys of a Python program to a checked config, as a command line has it. Imports no torch."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, get_origin

from hydra import version
from hydra._internal.utils import create_config_search_path
from hydra.core.utils import JobRuntime, setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from lenet.cli import foreign, usage
from lenet.cli.commands import quoted
from lenet.cli.compose import chosen_path, config_from
from lenet.cli.explain import bad_words
from lenet.cli.guard import GuardedLoader
from lenet.config import Config, schema
from lenet.errors import BadInput
from lenet.rules import validate

FILES = ("experiment", "sweep", "search", "debug")  # groups of files of conf/ that are no groups of keys

PLAIN = re.compile(r"[A-Za-z_][\w./-]*|[\w-]+(?:\.[\w-]+)*", re.ASCII)  # what needs no quotes in a word


@dataclass(frozen=True)
class Wanted:
    """One run that is asked for."""

    config: Config  # checked
    place: Path  # the directory to make
    words: list[str]  # as a command line has them, for the record


def wanted(given: Sequence[Any], keys: Mapping[str, Any]) -> Wanted:
    """The run that words or a Config ask for, with keys that change it.

    Args:
        given: words such as "model.pool=max", or a Config before them.
        keys: values of keys; max_epochs is trainer.max_epochs, as no other key ends so.

    Raises:
        BadInput: what the command line says of the same words.
    """
    if given and isinstance(given[0], Config):
        words = as_words(given[1:], keys)
        config = _changed(given[0], words)
        return Wanted(config, chosen_path(config, Path(), Path(), []), words)
    words = as_words(given, keys)
    composed, hydra = compose(words)
    if hydra.mode == RunMode.MULTIRUN:
        chosen = next(word for word in [*words, "hydra.mode=MULTIRUN"] if re.match(r"(sweep|search)=|hydra.mode", word))
        raise BadInput(
            f"{chosen}: is many runs, and this is for one; scripts/train.py {chosen} trains them, and "
            f'lenet.sweep("{chosen}") too'
        )
    try:
        config = config_from(composed, hydra)
        return Wanted(config, chosen_path(config, Path(hydra.run.dir).absolute(), Path.cwd(), hydra.overrides.hydra),
                      list(hydra.overrides.task))  # fmt: skip
    except Exception as error:
        raise (bad_words(error, words) or error) from None


def compose(words: Sequence[str], mode: RunMode = RunMode.RUN) -> tuple[DictConfig, DictConfig]:
    """What Hydra composes of words, and what of that is for itself; nothing that they name is called.

    Raises:
        BadInput: they are none that it understands, or there is no conf/.
    """
    if not usage.CONF.is_dir():
        raise BadInput(
            f"{usage.CONF}: not there, and words choose from its files; install lenet from its source tree with pip "
            "install -e, or give a lenet.config.Config in place of words"
        )
    words = [quoted(word) for word in words]
    usage.options(words)
    for word in words:
        if word.startswith("-"):
            raise BadInput(f"{word}: goes with scripts/train.py; here there are only words such as key=value")
    try:  # as @hydra.main(version_base="1.3") does
        version.setbase("1.3")
        setup_globals()
        JobRuntime.instance().set("name", "train")
        loader = GuardedLoader(create_config_search_path(str(usage.CONF)))
        composed = loader.load_configuration("train", list(words), mode)
    except Exception as error:
        raise (bad_words(error, words) or error) from None
    hydra = composed.hydra
    with open_dict(composed):
        del composed["hydra"]
    return composed, hydra


def as_words(given: Sequence[Any], keys: Mapping[str, Any], sweeps: bool = False) -> list[str]:
    """Words as a command line has them.

    Args:
        sweeps: a list is several values of a key, unless that takes a list itself.

    Raises:
        BadInput: something is neither a word nor a value that a key can have.
    """
    words: list[str] = []
    for word in given:
        if isinstance(word, Mapping):
            words += _key_words(word, sweeps=sweeps)
        elif isinstance(word, str):
            words.append(word)
        else:
            raise BadInput(f'{word!r}: no word; give words such as "model.pool=max", or keys such as max_epochs=2')
    return [*words, *_key_words(keys, sweeps=sweeps)]


def _key_words(keys: Mapping[str, Any], prefix: str = "", sweeps: bool = False) -> Iterator[str]:
    for name, value in keys.items():
        key = f"{prefix}{name}" if prefix else whole_key(name)
        value = _without_numpy(value)
        if isinstance(value, Mapping):
            yield from _key_words(value, f"{key}.", sweeps)
        elif sweeps and _is_several(key, value):
            yield f"{key}={','.join(_written(key, one) for one in value)}"
        else:
            yield f"{key}={_written(key, value)}"


def _without_numpy(value: Any) -> Any:
    """An array of NumPy's or torch's as lists of numbers, and such a number as Python's own.

    np.arange adds up in binary, where 0.1 + 0.2 is 0.30000000000000004: meant is 0.3.
    """
    if isinstance(value, list | tuple):
        return type(value)(map(_without_numpy, value)) if type(value) in (list, tuple) else value
    if not (hasattr(value, "tolist") and hasattr(value, "ndim")):
        return value
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if value.ndim:
        return [_without_numpy(one) for one in value]
    number = value.item()
    if not isinstance(number, float):
        return number
    written = float(str(value)) if str(value.dtype) == "float32" else number  # and not the 64 bits nearest to it
    meant = float(f"{written:.12g}")
    return meant if math.isclose(meant, written, rel_tol=1e-15) else written


def _is_several(key: str, value: Any) -> bool:
    """Whether it is a list of values, each of which the key can have."""
    if not isinstance(value, list | tuple | range) or not value:
        return False
    takes_lists = schema().get(key) is Any or get_origin(schema().get(key)) is list
    return not takes_lists or isinstance(value[0], list | tuple)


def whole_key(name: str) -> str:
    """The key of which `name` is the last part, if that is one alone and nobody means another by it; else `name`."""
    if "." in name or name in schema() or name in FILES:
        return name
    exact = [key for key, kind in schema().items() if key.rpartition(".")[2] == name and not is_dataclass(kind)]
    return exact[0] if len(exact) == 1 and foreign.KEYS.get(name, exact[0]) == exact[0] else name


def _written(key: str, value: Any) -> str:
    """A value as on the command line.

    Raises:
        BadInput: it can have no such value.
    """
    if isinstance(getattr(value, "path", None), Path):  # a run, to go on with or to start from
        value = value.path
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple | range):
        return f"[{','.join(_written(key, one) for one in value)}]"
    if isinstance(value, str | Path):
        text = str(value)
        plain = PLAIN.fullmatch(text) and text.lower() not in ("null", "true", "false") and not _is_number(text)
        return text if plain else "'" + re.sub(r"(\\+)(?='|$)", r"\1\1", text).replace("'", "\\'") + "'"
    raise BadInput(f"{key}={value!r}: give a number, a text, True or False, None, or a list of them")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _changed(config: Config, words: Sequence[str]) -> Config:
    """A copy of a Config with other values; the types are those of the schema.

    Raises:
        BadInput: a value is not legal, whoever gave it, or a word chooses a file.
    """
    for word in words:
        key = word.partition("=")[0]
        if key in FILES or is_dataclass(schema().get(key)):
            remedy = f"write {key}.name={word.partition('=')[2]}" if f"{key}.name" in schema() else "leave it out"
            raise BadInput(f"{word}: chooses a file of conf/, and a Config has single keys; {remedy}")
    try:
        changed = OmegaConf.merge(OmegaConf.structured(deepcopy(config)), OmegaConf.from_dotlist(list(words)))
        found = OmegaConf.to_object(changed)
    except Exception as error:
        raise (bad_words(error, words) or error) from None
    assert isinstance(found, Config)
    validate(found)
    return found
