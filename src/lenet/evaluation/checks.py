"""What scripts are asked for and where they are to write, checked before torch is imported."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from lenet.config import Data
from lenet.datasets import data_set
from lenet.errors import BadInput
from lenet.runs.directory import WEIGHTS
from lenet.system.machine import unwritable

ONNX, PROGRAM = ".onnx", ".pt2"  # what a net for other programs is called, by its format
PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # that the extra `export` brings


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


def check_picture(out: Path) -> None:
    """Whether a picture can be written to the file that `--out` gives, whose folder has to be there.

    Raises:
        BadInput: it cannot, or its name is that of no picture.
    """
    try:
        picture_format(out.suffix)
        if reason := why_not_written(out):
            raise ValueError(reason)
    except ValueError as error:
        raise not_written(out, error) from error


def not_written(out: Path, error: Exception) -> BadInput:
    return BadInput(f"--out {out}: cannot be written ({error}); name a .png file in a folder that can")


def why_not_written(file: Path) -> str | None:
    """Why a file cannot be written, whose folder has to be there; None where nothing is known against it."""
    if file.is_dir():
        return "it is a folder"
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}"
    return unwritable(file.parent)


def check_export(file: Path) -> None:
    """Whether a trained net can be written to a file, whose folder may have to be made.

    Raises:
        BadInput: it cannot, its name is that of another kind of file, or a package is missing.
    """
    if file.suffix not in (WEIGHTS, ONNX, PROGRAM):
        raise BadInput(
            f"{file}: no format that a net is written in; let the name end in {WEIGHTS} (weights, for here), {ONNX} or "
            f"{PROGRAM} (a graph, for other programs)"
        )
    missing = [name for name in PACKAGES if file.suffix == ONNX and importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(
            f"{file}: needs {' and '.join(missing)}; give the command with uv run --extra export, or pip install "
            f"{' '.join(missing)}"
        )
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
