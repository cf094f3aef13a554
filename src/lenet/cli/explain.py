"""From an error to the line that a person reads. Imports no torch."""

import difflib
import errno
import os
import re
from collections.abc import Sequence
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, get_args

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from lenet.cli import foreign, guard
from lenet.config import choices, schema
from lenet.errors import BadInput, Diverged, PeerLost
from lenet.text import did_you_mean, one_line

CHOOSE = "choose a file of conf/ by its name, or set a key such as model.kind"
OWN_FILES = "leave it out; --config-dir=FOLDER adds files of your own to those of conf/"

BY_HYDRA = (HydraException, OmegaConfBaseException, yaml.YAMLError)


DISK_REMEDIES = {
    errno.ENOSPC: "make room and give the command again; a single run goes on with resume=RUN_DIR",
    errno.EDQUOT: "make room and give the command again; a single run goes on with resume=RUN_DIR",
    errno.EFBIG: "allow larger files and give the command again; a single run goes on with resume=RUN_DIR",
    errno.EROFS: "start where you can write",
}


def describe(error: BaseException, words: Sequence[str]) -> str:
    """One line that names the key, the value and the remedy; or what a BadInput says, with its details.

    Args:
        words: those that the error may come from, as on a command line.
    """
    return str(error) if isinstance(error, BadInput) else one_line(_described(error, words))


def bad_words(error: Exception, words: Sequence[str]) -> BadInput | None:
    """What is said of an error that composing a config of these words has ended in; None for a mistake of ours."""
    if isinstance(error, TypeError) and any("=[" in choice for choice in _choices(words)):  # Hydra stumbles over it
        return BadInput(f"{' '.join(_choices(words))}: {CHOOSE}")
    if isinstance(error, BY_HYDRA) or type(error) is ValueError:
        return BadInput(describe(error, words))
    return error if isinstance(error, BadInput) else None


def _described(error: BaseException, words: Sequence[str]) -> str:
    if isinstance(error, Diverged):
        return str(error)
    if isinstance(error, PeerLost):
        return f"{error}; resume=RUN_DIR goes on from the last epoch"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"{error.problem_mark.name}, line {error.problem_mark.line + 1}: not YAML ({error.problem})"
    if isinstance(error, OSError) and error.filename:
        remedy = DISK_REMEDIES.get(error.errno or 0)
        return f"{error.filename}: {error.strerror}" + (f"; {remedy}" if remedy else "")
    if isinstance(error, MissingConfigException):
        if error.missing_cfg_file is None:
            return f"{_config_path(words)}: there is no such folder; {OWN_FILES}"
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        if choice in ("lenet_slurm", "lenet_processes"):
            name = choice.removeprefix("lenet_")
            if not hasattr(os, "setsid"):
                return f"{group}={name}: not to be had on this system; take {group}=joblib"
            return f"{group}={name}: needs submitit; start with uv run --extra cluster, or pip install 'lenet[cluster]'"
        # lenet_slurm and lenet_processes are what the files slurm and processes are made of.
        options = [option for option in error.options or [] if not option.startswith("lenet_")]
        if not group and (path := _config_path(words)):
            return f"{path}: has no {choice}.yaml to begin with; {OWN_FILES}"
        if not group:
            return f"--config-name={choice}: there is no such file in conf/; leave it out, and choose by group=NAME"
        remedy = f"take {', '.join(options)}" if options else "leave it out"
        return f"{group}={choice}: there is no such choice; {_meant(group, choice, options)}{remedy}"
    if isinstance(error, OverrideParseException):
        return _not_understood(str(error.override), words)
    text = f"{error}\n{error.__cause__ or ''}"
    if "Config group override must be" in text:  # Hydra does not say which
        return f"{' '.join(_choices(words))}: {CHOOSE}"
    if several := re.search(r"Ambiguous value for argument '((.*?)=(.*))'", text):
        if several[2] == "sweep":
            return f"{several[1]}: {foreign.one_sweep(several[3].split(','))}"
        is_list = "list" in str(schema().get(several[2]))
        remedy = f"write {several[2]}=[{several[3]}]" if is_list else "add -m for a run with each"
        return f"{several[1]}: several values; {remedy}"
    full_key = re.search(r"full_key: (\S+)", text)
    if full_key and re.search(r"Key '.*' (?:is )?not in ", text):
        return _unknown_key(full_key[1], words)
    if merging := re.search(r"Error merging override ([^=]+)=(.*)", text):
        return f"{merging[1]}={merging[2]}: {_of_another_type(merging[1], merging[2])}"
    # A Config of Python's has had no override.
    if full_key and (value := re.search(r"Value '(.*)' of type '\w+' could not be converted to", text)):
        return f"{full_key[1]}={value[1]}: {_of_another_type(full_key[1], value[1])}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if full_key:
        return f"{full_key[1]}: {lines[0]}"
    return "; ".join(dict.fromkeys(lines)) or type(error).__name__


def _meant(group: str, choice: str, options: Sequence[str]) -> str:
    """What may be meant by a choice that a group does not have: a value of one of its keys, or another choice."""
    if words := foreign.CHOICES.get(f"{group}={choice}"):
        return f"did you mean {words}? "
    word = choice.lower()
    keys = [key for key, known in choices().items() if key.rpartition(".")[0] == group and word in known]
    return f"did you mean {keys[0]}={word}? " if keys and word not in options else did_you_mean(choice, options)


def _config_path(words: Sequence[str]) -> str:
    """The word that names another folder of configs; "" without one."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("--config-path", "-cp"):
            return f"{word} {following}"
        if word.startswith(("--config-path=", "-cp=")):
            return word
    return ""


def _of_another_type(key: str, value: str) -> str:
    """What is said to a value of another type than the key has, which may mean several runs or a key of the group."""
    kind = schema().get(key)
    if is_dataclass(kind) and (meant := _meant(key, value, ())):
        return meant.strip()
    if key not in schema() and (outer := key.rpartition(".")[0]) in schema():
        return f"{outer} has no keys below it; {_remedy(outer)}"
    if (span := re.fullmatch(r"(\d+)(?:-|\.\.+|:)(\d+)", value)) and kind in (int, int | None):
        first, last = int(span[1]), int(span[2])
        return (
            f'write -m "{key}=range({f"{first}," if first else ""}{last + 1})" for a run with each, or {_remedy(key)}'
        )
    if re.fullmatch(r"\[[^][{}]+\]", value):
        return f"write -m {key}={value[1:-1].replace(' ', '')} for a run with each, or {_remedy(key)}"
    return _remedy(key)


# What Hydra takes in a value without quotes, and what has a meaning of its own in it.
UNQUOTED = re.compile(r"[\w\s/+.$%*@?|:=\\,()\[\]{}'\"~^-]", re.ASCII)


def _not_understood(override: str, words: Sequence[str]) -> str:
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
        return _unknown_key(key, words)
    if apart := _apart(override, words):
        return apart
    return f"{override}: not understood; write key=value, in quotes if it has special characters"


def _apart(word: str, words: Sequence[str]) -> str:
    """What to write where there are spaces around a =, or where one stands instead of it; nothing if there are none."""
    place = words.index(word) if word in words else len(words)
    before, after = words[place - 1] if place else "", [*words[place + 1 : place + 3], "", ""]
    if re.fullmatch(r"[\w.]+=", before):  # key= value
        given, key, value = f"{before} {word}", before[:-1], word
    elif not re.fullmatch(r"[a-zA-Z_][\w.]*", word) or after[0].startswith("-"):
        return ""
    elif after[0] == "=":  # key = value
        given, key, value = f"{word} = {after[1]}", word, after[1]
    elif after[0].startswith("="):  # key =value
        given, key, value = f"{word} {after[0]}", word, after[0][1:]
    elif "=" not in after[0]:  # key value
        given, key, value = f"{word} {after[0]}", word, after[0]
    else:
        return ""
    if not value:
        return ""
    keys = [key] if key in schema() else _keys_meant(key)
    return f"{given}: write {keys[0] if keys else key}={value}, without spaces"


def _choices(words: Sequence[str]) -> list[str]:
    """The words that choose files of conf/."""
    groups = [name for name, kind in schema().items() if is_dataclass(kind)]
    return [argument for argument in words if argument.split("=")[0] in groups]


def _remedy(key: str) -> str:
    kind = schema().get(key)
    if key == "trainer.max_time":  # Lightning takes a dictionary too
        return "give hours:minutes:seconds, such as 01:30:00, or null"
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


def _unknown_key(key: str, words: Sequence[str]) -> str:
    if key in ("sweep", "search", "experiment", "debug"):
        return f"{key}: no such key; the first line of a file in conf/{key}/ has to be: # @package _global_"
    if key.startswith("hydra.launcher.additional_parameters."):
        return f"{key}: not there yet; to add it put a + before it"
    if key.startswith("hydra."):
        return _unknown_hydra_key(key)
    key = _typed(key, words)
    if reason := foreign.reason(key):
        return f"{key}: no such key; {reason}"
    close = _keys_meant(key)
    hint = f"did you mean {' or '.join(close)}?" if close else "scripts/train.py --cfg job shows all keys"
    return f"{key}: no such key; {hint}"


def _typed(key: str, words: Sequence[str]) -> str:
    """The whole key of the word of the command line that asks for this one, of which Hydra says how far it came."""
    keys = [word.lstrip("+~").partition("=")[0] for word in words]
    return next((word for word in keys if f"{word}.".startswith(f"{key}.")), key)


def _unknown_hydra_key(key: str) -> str:
    if key.startswith("hydra.job.env_set."):
        return guard.no_variable(key.removeprefix("hydra.job.env_set."))
    group, _, name = key.rpartition(".")
    part = group.removeprefix("hydra.")
    known = guard.plugin_keys(part) if part in guard.TARGETS else {}
    if having := [guard.TARGETS[part].get(target, target) for target, keys in known.items() if name in keys]:
        return f"{key}: no such key; it goes with hydra/{part}={', '.join(having)}, so give that too"
    close = difflib.get_close_matches(name, sorted({name for keys in known.values() for name in keys}), 1)
    hint = f"did you mean {group}.{close[0]}? " if close else ""
    return f"{key}: no such key; {hint}--cfg hydra -p {group} shows those that there are"


def _keys_meant(key: str) -> list[str]:
    """The keys that may be meant by one that there is not, the likeliest first.

    Compared by the last part first: people know the word and mistake its group or its spelling.
    """
    keys = [name for name, kind in schema().items() if "." not in key or not is_dataclass(kind)]
    word = key.rsplit(".", 1)[-1].replace("-", "_")
    exact = [name for name in keys if name.rsplit(".", 1)[-1] == word.lower()]
    if word.lower() in foreign.KEYS:
        exact.insert(0, foreign.KEYS[word.lower()])
    if exact:
        return list(dict.fromkeys(exact))[:2]
    words = {name.rsplit(".", 1)[-1]: name for name in reversed(keys)}
    close = [words[one] for one in difflib.get_close_matches(word, list(words), 2)]
    return close or difflib.get_close_matches(key, keys, 2)
