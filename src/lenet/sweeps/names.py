"""What values, jobs and sweeps are called. Nothing here imports torch or Hydra."""

import re
from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any

from lenet.config import schema
from lenet.runs.names import made_safe

LONGEST_SWEEP_NAME = 60  # characters of a name that is made of what is varied


def label(value: Any) -> str:
    """How a value is written in a name: 6x16 for [6, 16]."""
    if isinstance(value, list | tuple):
        return "x".join(label(part) for part in value) or "none"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def as_text(value: Any) -> str:
    """A value of a YAML file in the grammar of the command line."""
    if isinstance(value, list):
        return "[" + ",".join(as_text(part) for part in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and not re.fullmatch(r"[\w./+-]+", value):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value)


def short(key: str) -> str:
    """The last part of a key where that says enough: pool for model.pool, but optimizer.name."""
    last = key.rsplit(".", 1)[-1]
    alike = [name for name, kind in schema().items() if name.rsplit(".", 1)[-1] == last and not is_dataclass(kind)]
    return last if alike == [key] else key


def sweep_name(parts: Sequence[str]) -> str:
    """What a sweep is called that is not named otherwise: after what it varies, such as pool,lr."""
    keys = [short(part.lstrip("+~")) for part in parts]
    return made_safe(",".join(dict.fromkeys(key for key in keys if key != "seed")) or "seed", LONGEST_SWEEP_NAME)
