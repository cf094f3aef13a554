"""best.ckpt and last.ckpt: written whole or not at all, and read without running anybody's code."""

import errno
import io
import logging
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from lenet.config import Config
from lenet.errors import BadInput
from lenet.models.sizes import size_of
from lenet.runs.directory import RunDirectory
from lenet.runs.files import write_atomically
from lenet.runs.safe_io import open_file

log = logging.getLogger(__name__)


FLOATS = {torch.float32, torch.float64, torch.float16, torch.bfloat16}  # what trainer.precision can make of weights


class NoCheckpoint(BadInput):
    """A run to go on with has no checkpoint that can be used."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning stages a checkpoint in another file system and does not sync it; this one replaces it in place."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), content.getvalue())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        return load_checkpoint(Path(path), map_location)


def largest_checkpoint(config: Config) -> int:
    """Bytes that a checkpoint of such a run has at most.

    That is its weights, their mean, and what an optimizer keeps of each, all in 64 bits, and what is in none of them.
    """
    parameters, _ = size_of(config)
    return 8 * 8 * parameters + 2**24


def load_checkpoint(
    path: Path, map_location: Any = "cpu", largest: int | None = None, digest: Any = None
) -> dict[str, Any]:
    """A checkpoint's content: tensors and plain Python values, never code.

    Args:
        largest: how many bytes it may have (`largest_checkpoint`), where the run is known.
        digest: one of hashlib's, which gets the very bytes that are read: the file may be replaced meanwhile.

    Raises:
        BadInput: there is none, it is truncated or has changed since it was written, or it holds something that would
            have to be executed.
    """
    try:
        with open_file(path, largest) as file:
            check_archive(file)
            if digest is not None:
                file.seek(0)
                digest.update(file.read())
            file.seek(0)
            content = torch.load(file, map_location=map_location, weights_only=True)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such checkpoint; start the run again from the beginning") from error
    except Exception as error:  # torch raises whatever its unpickler and its zip reader raise
        unread = isinstance(error, OSError) and error.errno != errno.EINVAL  # a place that the file does not have
        if unread or isinstance(error, MemoryError):
            raise  # which says nothing about the file
        raise BadInput(
            f"{path}: not a whole checkpoint of ours; take the run's other one if it has one, or start the run again"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        epoch = content.get("epoch")
        if type(epoch) is int and epoch >= 0:
            return content
    raise BadInput(f"{path}: not a checkpoint of ours; start the run again from the beginning")


def check_archive(file: BinaryIO) -> None:
    """Look at the ZIP file that a checkpoint is, before torch does, which checks no sums and unpacks what is packed.

    Raises:
        OSError: it cannot be read.
        ValueError: it is compressed or has bytes in common to several parts, as torch writes none, so that a small file
            could hold gigabytes; or a part of it is not what it was when it was written.
        zipfile.BadZipFile: it is no such file, or it is truncated.
    """
    with zipfile.ZipFile(file) as archive:
        file.seek(0)
        if file.read(4) != b"PK\x03\x04":
            raise zipfile.BadZipFile("something stands before the archive, and torch would read that")
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise ValueError("compressed")
        if sum(entry.file_size for entry in archive.infolist()) > os.fstat(file.fileno()).st_size:
            raise ValueError("parts that lie on top of one another")
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} has changed")


def check_weights(state: Any, net: nn.Module) -> None:
    """Whether a checkpoint's state_dict is one of this net, inside a `Classifier`.

    Raises:
        ValueError: it is not.
    """
    expected = {f"net.{name}": value for name, value in net.state_dict().items()}
    if not isinstance(state, dict) or expected.keys() != state.keys():
        raise ValueError("other layers")
    for name, own in expected.items():
        saved = state[name]
        usable = isinstance(saved, Tensor) and saved.layout == torch.strided and not saved.is_meta
        legal = FLOATS if own.is_floating_point() else {own.dtype}
        if not usable or saved.shape != own.shape or saved.dtype not in legal:
            raise ValueError(f"another {name}")


def newest_checkpoint(
    run: RunDirectory, net: nn.Module, validated_every: int | None, largest: int | None = None
) -> tuple[Path, int]:
    """The newest checkpoint of a run that is whole and of its net, and the number of epochs that it has seen.

    That is last.ckpt, which is written after every epoch, or best.ckpt, where a kill came between the two, or last.ckpt
    has been lost or damaged, of which a warning tells. Of a run that has validated best.ckpt has to be whole: no later
    epoch may be better than what it holds.

    Args:
        validated_every: epochs from one validation to the next; None: it never validates.
        largest: bytes that a checkpoint may have.

    Raises:
        NoCheckpoint: there is none.
    """
    epochs: dict[Path, int] = {}
    wrong = []
    for path in (run.last_checkpoint, run.best_checkpoint):
        try:
            checkpoint = load_checkpoint(path, largest=largest)
            check_weights(checkpoint["state_dict"], net)
        except BadInput as error:
            wrong.append(str(error).split(";")[0])
            continue
        except ValueError as error:
            wrong.append(f"{path}: of another net than config.yaml describes ({error})")
            continue
        epochs[path] = checkpoint["epoch"] + 1
    has_validated = validated_every is not None and max(epochs.values(), default=0) >= validated_every
    if epochs and (run.best_checkpoint in epochs or not has_validated):
        newest = max(epochs, key=lambda path: epochs[path])  # the best is written first, and so may be ahead
        if wrong and (has_validated or newest != run.last_checkpoint):
            log.warning("%s; going on from %s, after epoch %d", wrong[0], newest.name, epochs[newest])
        return newest, epochs[newest]
    whole = "".join(f"; {path.name} is whole, but the best epoch is lost" for path in epochs)
    raise NoCheckpoint(f"{'; '.join(wrong)}{whole}; start the run again from the beginning")


class MovableCheckpoint(ModelCheckpoint):
    """Lightning's forgets the best score when the run directory has moved, and would replace a better checkpoint."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        assert self.dirpath is not None
        here = Path(self.dirpath)

        def moved(path: str) -> str:
            return str(here / Path(path).name) if path else path

        state_dict = state_dict | {"dirpath": self.dirpath}
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state_dict[key] = moved(state_dict[key])
        state_dict["best_k_models"] = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict)


def checkpoint_callbacks(run: RunDirectory, validated_every: int | None) -> list[ModelCheckpoint]:
    """Keep the weights of the last epoch, and of the first epoch with the highest val/acc.

    Args:
        validated_every: epochs from one that has a val/acc to the next; None: none has.
    """
    settings: dict[str, Any] = {
        "dirpath": run.checkpoints,
        "save_on_train_epoch_end": True,  # after everything else, so that a resumed run starts with a new epoch
        "enable_version_counter": False,
    }
    last = MovableCheckpoint(filename="last", **settings)
    if validated_every is None:
        return [last]
    best = MovableCheckpoint(filename="best", monitor="val/acc", mode="max", every_n_epochs=validated_every, **settings)
    return [best, last]
