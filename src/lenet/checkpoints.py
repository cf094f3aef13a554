"""best.ckpt and last.ckpt: written whole or not at all, and read without running anybody's code."""

import io
import logging
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

from lenet.errors import BadInput
from lenet.runs import RunDirectory, write_atomically

log = logging.getLogger(__name__)


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


def load_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint's content: tensors and plain Python values, never code.

    Raises:
        BadInput: there is none, it is truncated, or it holds something that would have to be executed.
    """
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such checkpoint; start the run again from the beginning") from error
    except Exception as error:  # torch raises whatever its unpickler and its zip reader raise
        raise BadInput(
            f"{path}: not a whole checkpoint of ours; take the run's other one if it has one, or start the run again"
        ) from error
    if not isinstance(content, dict) or not {"state_dict", "epoch"} <= content.keys():
        raise BadInput(f"{path}: not a checkpoint of ours; start the run again from the beginning")
    return content


def newest_checkpoint(run: RunDirectory, net: nn.Module) -> tuple[Path, int]:
    """The newest checkpoint of a run that is whole and of its net, and the number of epochs that it has seen.

    That is last.ckpt, which is written after every epoch, or where that has been lost or damaged best.ckpt; then a
    warning says so.

    Raises:
        NoCheckpoint: there is none.
    """
    wanted = {f"net.{name}": value.shape for name, value in net.state_dict().items()}
    wrong = []
    for path in (run.last_checkpoint, run.best_checkpoint):
        try:
            checkpoint = load_checkpoint(path)
        except BadInput as error:
            wrong.append(str(error).split(";")[0])
            continue
        found = {name: value.shape for name, value in checkpoint["state_dict"].items() if name in wanted}
        if found != wanted:
            wrong.append(f"{path}: of another net than config.yaml describes")
            continue
        epochs: int = checkpoint["epoch"] + 1
        if wrong:
            log.warning("%s; going on from %s, after epoch %d", wrong[0], path.name, epochs)
        return path, epochs
    raise NoCheckpoint(f"{'; '.join(wrong)}; start the run again from the beginning")


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


def checkpoint_callbacks(run: RunDirectory, validates: bool) -> list[ModelCheckpoint]:
    """Keep the weights of the last epoch, and of the first epoch with the highest val/acc."""
    settings: dict[str, Any] = {
        "dirpath": run.checkpoints,
        "save_on_train_epoch_end": True,  # after everything else, so that a resumed run starts with a new epoch
        "enable_version_counter": False,
    }
    last = MovableCheckpoint(filename="last", **settings)
    best = MovableCheckpoint(filename="best", monitor="val/acc", mode="max", **settings)
    return [best, last] if validates else [last]
