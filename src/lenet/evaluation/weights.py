"""A trained net as one small file to give away: its tensors, with the config and the result in the file's own header.

The format is safetensors: numbers and text, nothing that could run.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import yaml
from torch import Tensor

from lenet.config import Config
from lenet.errors import BadInput
from lenet.evaluation.saved import header
from lenet.runs.files import write_atomically
from lenet.runs.safe_io import open_file


@dataclass(frozen=True)
class Weights:
    """What such a file holds."""

    config: Config
    result: dict[str, Any]
    which: str  # best | last
    tensors: dict[str, Tensor]  # under the names that they have in the net


def write(weights: Weights, path: Path) -> None:
    """Write a file, whole or not at all. Where the data lay is left out, and so is where the run began.

    Raises:
        OSError: it cannot be written.
    """
    config = replace(weights.config, resume=None, init_from=None, data=replace(weights.config.data, root="data"))
    result = {key: value for key, value in weights.result.items() if key not in ("overrides", "error")}
    if result.get("init_from"):
        result["init_from"] = {key: value for key, value in result["init_from"].items() if key != "path"}
    header = {
        "config": yaml.safe_dump(asdict(config), sort_keys=False),
        "result": json.dumps(result),
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
    found = header(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error}); name a file that can") from error
    except safetensors.SafetensorError as error:
        raise BadInput(
            f"{path}: not a file of weights of ours ({error}); name one that scripts/export.py has written"
        ) from error
    return Weights(found.config, found.result, found.weights, tensors)


def hashed(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors in such a file, whose header has been looked at, and the SHA-256 of the very bytes that they are.

    Raises:
        BadInput: it is not to be read, or not one of ours.
    """
    try:
        with open_file(path, largest=None) as file:
            content = file.read()
        return safetensors.torch.load(content), hashlib.sha256(content).hexdigest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error}); name a file that can") from error
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise BadInput(
            f"{path}: not a file of weights of ours ({error}); name one that scripts/export.py has written"
        ) from error
