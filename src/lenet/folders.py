"""A folder of somebody's pictures as a data set: which classes it has, and which pictures. Imports no torch.

One subfolder for each class, with pictures of any size; or `train` and `test`, each with such subfolders. Without them
every seventh picture of a class is a test image, as 10,000 of MNIST's 70,000 are.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lenet.errors import BadInput
from lenet.text import counted, one_line, shortened

# How pictures are called, and the folders of a data set's splits.
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".avif")
TRAIN, TEST, VALIDATION = ("train", "training"), ("test", "testing"), ("val", "valid", "validation")

LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini")  # beside pictures; names that begin with a dot are hidden anyway
MOST_PICTURES = 1_000_000
MOST_CLASSES = 1000
EACH_TEST = 7  # of so many pictures of a class one is a test image

Pictures = tuple[tuple[Path, int], ...]  # with the number of the class


@dataclass(frozen=True)
class Folder:
    """What lies in it, in an order that depends on names alone."""

    classes: tuple[str, ...]  # the names of the subfolders, in the order of the alphabet
    train: Pictures
    test: Pictures


@functools.lru_cache(maxsize=4)
def scan(root: str) -> Folder:
    """The classes and pictures of a folder. No picture is opened.

    Raises:
        BadInput: it is no such folder; what is wrong, and where.
    """
    try:
        return _scan(root, Path(root))
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        words = getattr(error, "strerror", None) or error
        raise BadInput(
            f"data.root={root}: cannot be read ({words}); name a folder that has a subfolder of pictures for each class"
        ) from error


def _scan(root: str, folder: Path) -> Folder:
    if not folder.is_dir():
        raise BadInput(f"data.root={root}: no such folder; name one that has a subfolder of pictures for each class")
    inside = {path.name.lower(): path for path in _listed(folder) if path.is_dir()}
    splits = {
        names[0]: next((inside[name] for name in names if name in inside), None) for names in (TRAIN, TEST, VALIDATION)
    }
    if not (splits["train"] and splits["test"]):
        found = _classes(root, folder)
        train = [one for index, one in _numbered(found) if index % EACH_TEST != EACH_TEST - 1]
        test = [one for index, one in _numbered(found) if index % EACH_TEST == EACH_TEST - 1]
        if few := [name for name, files in found.items() if len(files) < EACH_TEST]:
            raise BadInput(
                f"data.root={root}: {few[0]} has {counted(len(found[few[0]]), 'picture')}, and every {EACH_TEST}th "
                "of a class is a test image; add some, or make the folders train and test"
            )
        return Folder(tuple(found), _ordered(train), _ordered(test))
    if splits["val"]:
        raise BadInput(
            f"data.root={root}: has {splits['val'].name} beside train and test; validation images are drawn from train "
            "(data.val_fraction), so move them there"
        )
    known, tested = _classes(root, splits["train"]), _classes(root, splits["test"])
    if different := sorted({*known} ^ {*tested}):
        raise BadInput(
            f"data.root={root}: {shortened(different[0])} is in one of train and test alone; both need a folder for "
            "each class"
        )
    train, test = ([one for _, one in _numbered(classes)] for classes in (known, tested))
    return Folder(tuple(known), _ordered(train), _ordered(test))


def _classes(root: str, folder: Path) -> dict[str, list[Path]]:
    """The pictures of each class, in the order of their names."""
    listed = list(_listed(folder))
    folders = sorted((path for path in listed if path.is_dir()), key=lambda path: path.name)
    stray = next((path for path in listed if path not in folders), None)
    if len(folders) < 2:
        have = f"one class ({folders[0].name})" if folders else "no subfolder"
        raise BadInput(
            f"data.root={root}: {folder.name} has {have}; give it a subfolder of pictures for each of two classes or "
            "more"
        )
    if stray:
        raise BadInput(f"data.root={root}: {stray.name} is in no class; move it into a subfolder, or remove it")
    if len(folders) > MOST_CLASSES:
        raise BadInput(f"data.root={root}: {len(folders):,} subfolders, and there can be {MOST_CLASSES:,} classes")
    seen: dict[str, str] = {}
    for name in (path.name for path in folders):
        if name != one_line(name):
            raise BadInput(f"data.root={root}: {name} cannot be printed; rename this subfolder")
        if other := seen.get(name.casefold()):
            raise BadInput(
                f"data.root={root}: {other} and {name} differ in case alone, which some systems do not see; rename one"
            )
        seen[name.casefold()] = name
    found = {path.name: sorted(_pictures(root, path), key=lambda file: file.name) for path in folders}
    if (many := sum(map(len, found.values()))) > MOST_PICTURES:
        raise BadInput(f"data.root={root}: {counted(many, 'picture')}, and there can be {MOST_PICTURES:,}")
    return found


def _pictures(root: str, folder: Path) -> Iterator[Path]:
    empty = True
    for path in _listed(folder):
        where = f"data.root={root}: {folder.name}/{path.name}"
        if path.is_dir():
            raise BadInput(f"{where} is a folder in that of a class; put its pictures beside it")
        if path.suffix.lower() not in PICTURES:
            raise BadInput(f"{where} is no picture ({', '.join(PICTURES)}); remove it")
        empty = False
        yield path
    if empty:
        raise BadInput(f"data.root={root}: {folder.name} has no picture; add some, or remove it")


def _listed(folder: Path) -> Iterator[Path]:
    """What lies in it, but for what is hidden and what systems leave beside pictures."""
    for path in folder.iterdir():
        if not path.name.startswith(".") and path.name.lower() not in LEFT_BY_SYSTEMS:
            yield path


def _numbered(classes: dict[str, list[Path]]) -> Iterator[tuple[int, tuple[Path, int]]]:
    """Each picture with the number of its class, and with its own number in that class."""
    for label, files in enumerate(classes.values()):
        yield from ((index, (file, label)) for index, file in enumerate(files))


def _ordered(pictures: Iterable[tuple[Path, int]]) -> Pictures:
    """By the names of the files, so that a data set that is written out with numbers for names keeps its order."""
    return tuple(sorted(pictures, key=lambda one: (one[0].name, one[1])))
