"""Files that may be damaged or a stranger's: read as plain data, within bounds, or refused.

The libraries that read JSON and YAML run no code here, but a few bytes can still tell them to build gigabytes, or to
call themselves until the stack is full. Nothing here imports torch.
"""

import json
import stat
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from types import UnionType
from typing import Any, BinaryIO, get_args, get_origin

import yaml

from lenet.runs.files import FEW
from lenet.system.lock import IN_USE

# A sweep of 10,000 jobs is listed in 4 MB; all else has a few kilobytes.
LARGEST_FILE = 64 * 2**20  # bytes
LARGEST_CONFIG = 100_000  # bytes; ours have 1,300
LARGEST_RESULT = 2**20  # bytes; ours have 2,000, and as text for Python's objects each can take twenty times as much
DEEPEST = 20  # values within values; a config of ours has three levels
TOO_DEEP = f"more than {DEEPEST} values within values"

# The reader written in C takes a tenth of the time, and a finished sweep has thousands of configs to read.
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def open_file(path: Path, largest: int | None = LARGEST_FILE) -> BinaryIO:
    """Open a file to read it; `largest` is how many bytes it may have, if that is known.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is larger than any of ours; or a folder, or a pipe or a device, whose reader may wait for ever.
    """
    for pause in FEW:
        try:
            return _opened(path, largest)
        except PermissionError as error:  # Windows opens nothing at the moment when it is replaced
            if getattr(error, "winerror", None) not in IN_USE:
                raise
        time.sleep(pause)
    return _opened(path, largest)


def _opened(path: Path, largest: int | None) -> BinaryIO:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("no regular file")
    if largest is not None and found.st_size > largest:  # of a file with holes the disk holds nearly nothing
        raise ValueError(f"more than {largest:,} bytes")
    return path.open("rb")


def read_bytes(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """The content of a file.

    Raises: those of `open_file`.
    """
    with open_file(path, largest) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"more than {largest:,} bytes")
    return content


def read_json(path: Path, largest: int = LARGEST_FILE) -> Any:
    """A JSON file as plain values.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or not of a kind that we write.
    """
    return parse_json(read_bytes(path, largest))


def parse_json(text: str | bytes) -> Any:
    """JSON as plain values.

    Raises:
        ValueError: it is none, or too deep to be read.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error


def read_yaml(path: Path) -> str:
    """The text of a YAML file that is safe to parse (`check_yaml`).

    Raises:
        OSError: it cannot be read.
        ValueError, yaml.YAMLError: it is not safe, or no YAML.
    """
    return check_yaml(read_bytes(path, LARGEST_CONFIG).decode())


def check_yaml(text: str) -> str:
    """The same text, if it is safe to parse: plain values, in which nothing refers to anything else.

    Raises:
        ValueError: it is larger or deeper than a config can be, or has references, tags or interpolations.
        yaml.YAMLError: it is no YAML.
    """
    if len(text) > LARGEST_CONFIG:
        raise ValueError(f"more than {LARGEST_CONFIG:,} characters")
    depth = 0
    for event in _events(text):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"a reference *{event.anchor}; write out what it stands for")
        if isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent) and event.tag:
            raise ValueError(f"a tag {event.tag}; a config is data and names no code")
        if isinstance(event, yaml.ScalarEvent) and "${" in event.value:
            raise ValueError(f"an interpolation {event.value}; write out what it stands for")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(TOO_DEEP)
    return text


def _events(text: str) -> Iterator[yaml.Event]:
    """What YAML's parser finds; it looks ahead, and some releases refuse what is deep before they say that it begins.

    Raises:
        ValueError: it stops at what is too deep.
        yaml.YAMLError: it stops at anything else.
    """
    try:
        yield from yaml.parse(text, YAML_LOADER)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        read = text[: mark.index] if mark else text
        opened = accumulate((character in "[{") - (character in "]}") for character in read)
        if max(opened, default=0) > DEEPEST:
            raise ValueError(TOO_DEEP) from error
        raise


def fits(value: Any, kind: Any) -> bool:
    """Whether a value read from JSON is of a kind such as dict[str, float] or int | None."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is list:
        return isinstance(value, list) and all(fits(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(item, inner[1]) for item in value.values())
    if kind is Any:
        return True
    if isinstance(kind, UnionType):
        return any(fits(value, one) for one in inner)
    if kind in (int, float):
        small = not isinstance(value, int) or abs(value) < 2**63  # as arrays can hold
        return isinstance(value, int | kind) and not isinstance(value, bool) and small
    return isinstance(value, kind)
