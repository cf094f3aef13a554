"""From a folder of pictures to tensors, which are kept beside the pictures: so the next start is quick."""

import functools
import hashlib
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lenet.data.drawings import as_grey, picture
from lenet.datasets import IMAGE_SIZE
from lenet.errors import BadInput
from lenet.folders import Folder, Pictures, scan
from lenet.runs.files import write_atomically
from lenet.runs.safe_io import read_bytes

KEPT = ".lenet-28x28.npz"  # hidden, so that it is no picture and no class


def read(root: str, split: str) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 28, 28) as uint8 and labels (n,) as int64, of `train` or `test`. Writes nothing.

    Raises:
        BadInput: the folder is not such as `lenet.folders` wants it, or a picture cannot be opened.
    """
    found = scan(root)
    labels = torch.tensor([label for _, label in {"train": found.train, "test": found.test}[split]])
    return torch.from_numpy(_pixels(root, _mark(root, found))[split]).unsqueeze(1), labels


def keep(root: str) -> None:
    """Put the tensors into the folder, where it can be written, so that no picture is opened again.

    Raises: those of `read`.
    """
    found = scan(root)
    mark = _mark(root, found)
    if _kept(root, mark) is not None:
        return
    pixels, content = _pixels(root, mark), io.BytesIO()
    np.savez(content, mark=np.array(mark), train=pixels["train"], test=pixels["test"])
    with suppress(OSError):
        write_atomically(Path(root) / KEPT, content.getvalue())


@functools.lru_cache(maxsize=2)
def _pixels(root: str, mark: str) -> dict[str, np.ndarray]:
    """The pictures of both splits, (n, 28, 28) of uint8, as they are while the folder has this mark."""
    kept = _kept(root, mark)
    if kept is not None:
        return kept
    found = scan(root)
    return {"train": _opened(found.train), "test": _opened(found.test)}


def _opened(pictures: Pictures) -> np.ndarray:
    images = np.empty((len(pictures), IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for number, (file, _) in enumerate(tqdm(pictures, desc="pictures", unit="", disable=None, leave=False)):
        with picture(file, "data.root: ") as opened:
            images[number] = np.asarray(as_grey(opened))
    return images


def _kept(root: str, mark: str) -> dict[str, np.ndarray] | None:
    """The tensors that were kept, if they are of these pictures. Whoever gave the folder may have made the file."""
    found = scan(root)
    sizes = {"train": len(found.train), "test": len(found.test)}
    try:
        content = io.BytesIO(read_bytes(Path(root) / KEPT, 2 * 10**9))
        with zipfile.ZipFile(content) as archive:  # a few bytes may be packed gigabytes
            if sum(info.file_size for info in archive.infolist()) > sum(sizes.values()) * IMAGE_SIZE**2 + 10_000:
                return None
        content.seek(0)
        with np.load(content, allow_pickle=False) as arrays:
            if str(arrays["mark"]) != mark:
                return None
            pixels = {split: arrays[split] for split in sizes}
    except Exception:  # none yet, or a stranger's, which fails in as many ways as zip files and numpy's have
        return None
    shapes = {split: (size, IMAGE_SIZE, IMAGE_SIZE) for split, size in sizes.items()}
    ours = all(one.dtype == np.uint8 and one.shape == shapes[split] for split, one in pixels.items())
    return pixels if ours else None


def _mark(root: str, found: Folder) -> str:
    """Changes with every picture that is added, removed, renamed or written again."""
    digest = hashlib.sha256()
    for split in (found.train, found.test):
        for file, label in split:
            try:
                known = file.stat()
            except OSError as error:
                raise BadInput(
                    f"data.root={root}: {file} cannot be read ({error.strerror}); remove it, or put a picture there"
                ) from error
            # The time of its last change as well: an unpacked archive gives a file the time that it once had.
            told = (os.path.relpath(file, root), label, known.st_size, known.st_mtime_ns, known.st_ctime_ns)
            digest.update(f"{told}\n".encode())
        digest.update(b"\n")
    return digest.hexdigest()
