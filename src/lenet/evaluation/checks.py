"""What scripts are asked for and where they are to write, checked before torch is imported."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from lenet.config import Data
from lenet.datasets import data_set
from lenet.errors import BadInput
from lenet.runs.directory import WEIGHTS
from lenet.system.machine import unwritable


def class_names(data: Data, classes: Sequence[str], named: str = "--classes ") -> list[str]:
    """Classes of a data set, as it writes them; `named` is how they were named, for what is said of a wrong one.

    Raises:
        BadInput: it does not have one of them.
    """
    known = data_set(data).classes
    by_case = {name.lower(): name for name in known}
    names = [by_case.get(name.lower(), name) for name in classes]
    for name in names:
        if name not in known:
            raise BadInput(f"{named}{name}: no class of {data.name}; choose {', '.join(map(repr, known))}")
    return names


def check_numbers(numbers: Sequence[int], count: int, named: str = "--images ") -> None:
    """Whether there are test images of these numbers; `named` as above.

    Raises:
        BadInput: there are not so many.
    """
    for number in numbers:
        if not 0 <= number < count:
            raise BadInput(f"{named}{number}: there are test images from 0 to {count - 1}")


def picture_format(suffix: str) -> str:
    """The format of a picture whose name ends so.

    Raises:
        ValueError: Pillow writes no such file.
    """
    kind = Image.registered_extensions().get(suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise ValueError(f"unknown file extension: {suffix}")
    return kind


def why_not_written(file: Path) -> str | None:
    """Why a file cannot be written, whose folder has to be there; None where nothing is known against it."""
    if file.is_dir():
        return "it is a folder"
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}"
    return unwritable(file.parent)


def check_export(file: Path) -> None:
    """Whether a file of weights can be written, whose folder may have to be made.

    Raises:
        BadInput: it cannot, or its name is that of another kind of file.
    """
    if file.suffix != WEIGHTS:
        raise BadInput(f"{file}: the format is safetensors; let the name end in {WEIGHTS}")
    if reason := ("it is a folder" if file.is_dir() else unwritable(file.parent)):
        raise BadInput(f"{file}: {reason}; name a file that can be written")


def check_folder(folder: Path, given: bool = True) -> None:
    """Whether a folder, which `--out` gives or not, can be made or written to.

    Raises:
        BadInput: it cannot.
    """
    if reason := unwritable(folder):
        named = f"--out {folder}: " if given else ""
        raise BadInput(f"{named}{reason}; name a folder that can be written with --out")
