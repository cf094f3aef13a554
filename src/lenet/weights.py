"""A trained net as one small file to give away: its tensors, with the config and the result in the file's own header.

The format is safetensors: numbers and text, nothing that could run.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import yaml
from torch import Tensor

from lenet.config import Config, Data
from lenet.errors import BadInput
from lenet.geometry import IMAGE_SIDE, parameters_and_macs
from lenet.runs import RESULT, parse_config, write_atomically
from lenet.untrusted import fits, parse_json
from lenet.validation import validate

SUFFIX = ".safetensors"
LARGEST_HEADER = 100_000  # characters of the config, and of the result


def _check(config: Config, path: Path) -> None:
    """Before the tensors come into memory: whether the config is legal, and the file no larger than its net.

    Raises:
        BadInput: the config is not.
        ValueError: the file is larger.
    """
    try:
        validate(config)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    parameters, _ = parameters_and_macs(config.model, IMAGE_SIDE + 2 * config.data.pad)
    most = 3 * 8 * parameters + 2**20  # in 64 bits; batch normalisation counts two numbers for each two parameters
    if path.stat().st_size > most:
        raise ValueError(f"more than {most:,} bytes")


@dataclass(frozen=True)
class Weights:
    """What such a file holds."""

    config: Config
    result: dict[str, Any]
    which: str  # best | last
    tensors: dict[str, Tensor]  # under the names that they have in the net


def write(weights: Weights, path: Path) -> None:
    """Write a file, whole or not at all. Where the data lay is left out.

    Raises:
        OSError: it cannot be written.
    """
    config = replace(weights.config, resume=None, data=replace(weights.config.data, root="data"))
    header = {
        "config": yaml.safe_dump(asdict(config), sort_keys=False),
        "result": json.dumps(
            {key: value for key, value in weights.result.items() if key not in ("overrides", "error")}
        ),
        "weights": weights.which,
    }
    # One after another in memory, as the format has them; ours may have the channels last.
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.tensors.items()}
    write_atomically(path, safetensors.torch.save(tensors, header))


def read(path: Path) -> Weights:
    """Read such a file. The data are looked for where this computer has them.

    Raises:
        BadInput: it is not to be read, or not one of ours.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file of weights; name one that scripts/export.py has written")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if any(len(header[key]) > LARGEST_HEADER for key in ("config", "result")):
                raise ValueError(f"more than {LARGEST_HEADER:,} characters in its header")
            config, result = parse_config(header["config"]), parse_json(header["result"])
            _check(config, path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        ours = isinstance(result, dict) and all(fits(result[key], RESULT[key]) for key in RESULT.keys() & result)
        if not ours or header["weights"] not in ("best", "last"):
            raise ValueError("its result is not one of ours")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error}); name a file that can") from error
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        words = f"no {error} in its header" if isinstance(error, KeyError) else str(error)
        raise BadInput(
            f"{path}: not a file of weights of ours ({words}); name one that scripts/export.py has written"
        ) from error
    return Weights(replace(config, data=replace(config.data, root=Data().root)), result, header["weights"], tensors)
