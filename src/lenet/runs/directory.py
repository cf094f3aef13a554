"""A run directory: what is in it, and how it is written so that a crash never leaves a lie.

    config.yaml     the resolved config: enough to build the run again
    result.json     status, metrics, cost, versions; see `RESULT` below
    metrics.csv     a row per epoch: the source of truth
    checkpoints/    best.ckpt and last.ckpt
    events.out...   TensorBoard
    profile/        what took how long, if trainer.profiler asks for it
    train.log
    csv/, wandb/, loggers.json   of other loggers, where the config asks for them
    .lock           while a process trains in it

Every file that is written again is written beside itself and renamed, so that a reader sees the old one or the new
one. Nothing here imports torch.
"""

import csv
import io
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lenet.config import Config
from lenet.errors import BadInput
from lenet.runs.files import remove_leftovers, write_atomically
from lenet.runs.metrics import Row
from lenet.runs.safe_io import LARGEST_CONFIG, LARGEST_RESULT, check_yaml, fits, read_bytes, read_json
from lenet.system.lock import LOCK, CannotLock, FolderLock

Result = dict[str, Any]  # what result.json says

WEIGHTS = ".safetensors"  # what scripts/export.py makes of a run is called so

EVENT_FILES = "events.out.tfevents.*"  # as TensorBoard calls them

OVER_SEEDS = "over seeds: mean ± standard deviation"  # the plots of a whole sweep (`lenet.sweeps.over_seeds`)

BEGUN = ("config.yaml", "result.json")  # one of them is there once a run has begun

# What else a run writes to; the folders first, as there are files in them.
FOLDERS = ("checkpoints", "profile", "00000", "csv", "wandb")
FILES = (
    *BEGUN,
    "metrics.csv",
    "train.log",
    "loggers.json",
    "csv/metrics.csv",
    "csv/hparams.yaml",
    LOCK,
    "checkpoints/best.ckpt",
    "checkpoints/last.ckpt",
)

# Of config.yaml; without them it has lost something, where without others it may be from before there were such keys.
ESSENTIAL = ("seed", "data", "model", "optimizer", "schedule", "trainer")

# What result.json says, as far as anybody reads it.
RESULT: dict[str, Any] = {
    "status": str,
    "overrides": list[str],
    "metrics": dict[str, float],
    "init_from": dict[str, Any] | None,
    "epochs": int,
    "best_epoch": int | None,
    "stopped_early": str | None,
    "not_averaged": str | None,
    "seconds": float | None,
    "examples_per_sec": float | None,
    "device": str | None,
    "threads": int,
    "precision": str | None,
    "at_chance": bool | None,
    "error": dict[str, str | None] | None,
}


# Keys of the config that may change when a run goes on: where and how it is computed, not what.
INCIDENTAL = (
    "trainer.enable_progress_bar",
    "logger",
    "trainer.max_time",
    "trainer.num_sanity_val_steps",
    "trainer.detect_anomaly",
    "trainer.profiler",
    "dashboard.enabled",
    "dashboard.pictures_every",
    "dashboard.histograms",
    "dashboard.embedding",
    "trainer.accelerator",
    "trainer.devices",
    "data.root",
    "threads",
    "tags",
)


class RunDirectory:
    """The files of one run.

    Whoever trains in it has a lock on it (`lenet.system.lock`), which the operating system takes back when the process
    ends, however it ends: never two in one directory, and a run that says `running` without a lock was cut off.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = FolderLock(self.path)

    @classmethod
    def create(cls, path: str | Path) -> "RunDirectory":
        """A directory for a new run at `path`, or at `path`_2, _3 ... where there is a run already; locked.

        That an empty one may exist before is because Hydra makes the directory that hydra.run.dir names.

        Raises:
            BadInput: it cannot be made.
        """
        number = 1
        while True:
            run = cls(path if number == 1 else Path(path).with_name(f"{Path(path).name}_{number}"))
            if run.lock():
                if not run.begun:
                    return run
                run.unlock()
            number += 1

    @property
    def begun(self) -> bool:
        return any((self.path / name).exists() for name in BEGUN)

    def begun_with(self) -> dict[str, bytes]:
        """The files that say what run this is and how far it got, to be put back by `begin_with`."""
        return {name: read_bytes(self.path / name) for name in BEGUN if (self.path / name).exists()}

    def begin_with(self, files: Mapping[str, bytes]) -> None:
        for name in BEGUN:
            if name in files:
                write_atomically(self.path / name, files[name])
            else:
                (self.path / name).unlink(missing_ok=True)

    def lock(self, wait: bool = False) -> bool:
        """Take the directory, which is made if absent, for this process; whether that worked.

        Args:
            wait: until whoever has it lets go of it.

        Raises:
            BadInput: it cannot be written to or locked, or should not be (`check`).
        """
        self.check()
        is_new = not self.path.exists()
        try:
            if not self._lock.take(wait):
                return False
        except CannotLock as error:
            if is_new:
                with suppress(OSError):
                    self.path.rmdir()
            raise BadInput(cannot_be_locked(self.path, error)) from error
        except OSError as error:
            raise BadInput(
                f"{self.path}: the run directory cannot be made ({error.strerror}); start where you can write, or set "
                "hydra.run.dir"
            ) from error
        for folder in (self.path, self.checkpoints):
            remove_leftovers(folder)
        return True

    def unlock(self) -> None:
        self._lock.let_go()

    @property
    def is_locked(self) -> bool:
        """Whether a process, this one included, trains in it."""
        return self._lock.is_taken

    def check(self) -> None:
        """Whether what is there can be written to, as far as it is a run's. It may be a stranger's.

        Raises:
            BadInput: one of its files lies elsewhere, where nothing of it is to be changed, or is no file at all.
        """
        here = Path(os.path.realpath(self.path))
        for path in (*(self.path / name for name in (*FOLDERS, *FILES)), *self.event_files):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(here):
                raise BadInput(
                    f"{path}: a link to {path.readlink()}, which is no part of the run and is not to be changed by "
                    "it; put a copy in its place, or remove it"
                )
        for name in (*FOLDERS, *FILES):
            path, kind = self.path / name, "folder" if name in FOLDERS else "regular file"
            if path.exists() and not (path.is_dir() if name in FOLDERS else path.is_file()):
                raise BadInput(f"{path}: no {kind}, and a run has one of this name; remove it")

        path = self.path / "result.json"
        if path.exists() and path.stat().st_size > LARGEST_RESULT:
            raise BadInput(f"{path}: more than {LARGEST_RESULT:,} bytes, and so no result of a run; remove it")

    def remove(self) -> None:
        """Take back a run that has not begun: its own files, and the directory if nothing else is in it."""
        for name in ("train.log", *BEGUN):
            (self.path / name).unlink(missing_ok=True)
        self.unlock()  # the last of all files: from then on another process may have begun here
        with suppress(OSError):
            self.path.rmdir()

    def clear(self) -> None:
        """Make room for a new start: leave nothing of a run but train.log, which tells of the one before."""
        for name in (*BEGUN, "metrics.csv", "loggers.json"):
            (self.path / name).unlink(missing_ok=True)
        self.remove_events(self.event_files)
        self.clear_projector()
        for folder in (self.checkpoints, self.profile, self.path / "csv", self.path / "wandb"):
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def event_files(self) -> list[Path]:
        """TensorBoard's, the oldest first: their names begin with the time."""
        return sorted(self.path.glob(EVENT_FILES))

    def remove_events(self, files: Iterable[Path]) -> None:
        """Remove event files; a folder that is called like one is not ours, and stays."""
        for file in files:
            if file.is_symlink() or not file.is_dir():
                file.unlink()

    def clear_projector(self) -> None:
        """Remove the files of TensorBoard's projector, which go where torch puts them."""
        (self.path / "projector_config.pbtxt").unlink(missing_ok=True)
        shutil.rmtree(self.path / "00000", ignore_errors=True)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def profile(self) -> Path:
        """What trainer.profiler has measured."""
        return self.path / "profile"

    @property
    def last_checkpoint(self) -> Path:
        return self.checkpoints / "last.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        return self.checkpoints / "best.ckpt"

    def write_config(self, config: Config) -> None:
        text = OmegaConf.to_yaml(OmegaConf.create(asdict(config)))
        write_atomically(self.path / "config.yaml", text.encode())

    def read_config(self) -> Config:
        """The config that the run was started with.

        Raises:
            BadInput: there is none, or it is not one of ours.
        """
        path = self.path / "config.yaml"
        try:
            return parse_config(read_bytes(path, LARGEST_CONFIG).decode())
        except OSError as error:
            raise BadInput(
                f"{self.path}: no run directory, {path.name} cannot be read ({error.strerror}); {_meant(self.path)}"
            ) from error
        except UnicodeDecodeError as error:
            raise BadInput(f"{path}: not the config of a run ({error}); put it back") from error
        except ValueError as error:
            raise BadInput(f"{path}: {error}; put it back") from error

    def write_result(self, result: Mapping[str, Any]) -> None:
        write_atomically(self.path / "result.json", (json.dumps(result, indent=2) + "\n").encode())

    def read_result(self) -> dict[str, Any] | None:
        """What result.json says, or None where it is absent, not whole or not ours: such a run is unfinished."""
        try:
            result = read_json(self.path / "result.json", LARGEST_RESULT)
        except (OSError, ValueError):
            return None
        ours = isinstance(result, dict) and all(fits(result[key], RESULT[key]) for key in RESULT.keys() & result)
        return result if ours else None

    def write_metrics(self, rows: Sequence[Row]) -> None:
        """All epochs so far. Floats are written so that reading them gives the same bits."""
        table = io.StringIO()
        columns = list(dict.fromkeys(["epoch", *(name for row in rows for name in row)]))
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path / "metrics.csv", table.getvalue().encode())

    def read_metrics(self) -> list[Row]:
        """A row per epoch; none where there is no metrics.csv.

        Raises:
            BadInput: it is not one of ours.
        """
        path = self.path / "metrics.csv"
        try:
            table = csv.DictReader(io.StringIO(read_bytes(path).decode(), newline=""))
            rows = [{key: float(value) for key, value in row.items() if value} for row in table]
            if [row["epoch"] for row in rows] != list(range(1, len(rows) + 1)):
                raise ValueError("its epochs are not 1, 2, 3 ...")
            return [row | {"epoch": int(row["epoch"])} for row in rows]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise BadInput(f"{path}: not the metrics of a run ({error}); start the run again") from error

    @property
    def has_saved_nothing(self) -> bool:
        """Whether it has no checkpoint because none was written yet, so that nothing is lost when it starts anew."""
        if self.last_checkpoint.exists() or self.best_checkpoint.exists():
            return False
        if (self.read_result() or {}).get("status") == "completed":
            return False
        try:
            return len(self.read_metrics()) <= 1  # the row of an epoch is written before its checkpoint
        except (BadInput, OSError):
            return False

    @property
    def epochs(self) -> int:
        """Epochs in metrics.csv; 0 where it cannot be read, which is said when somebody goes on with the run."""
        try:
            return len(self.read_metrics())
        except (BadInput, OSError):
            return 0

    @contextmanager
    def log_file(self) -> Iterator[None]:
        """While this lasts, what we and Lightning log, and all warnings, also go to train.log."""
        handler = logging.FileHandler(self.path / "train.log", encoding="utf-8", errors="backslashreplace")
        # On a full disk the files that matter say so; the log need not.
        handler.handleError = lambda record: None  # type: ignore[method-assign]
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        loggers = [logging.getLogger(name) for name in ("lenet", "lightning.pytorch", "py.warnings")]
        for logger in loggers:
            logger.addHandler(handler)
        logging.captureWarnings(True)
        try:
            yield
        finally:
            logging.captureWarnings(False)
            for logger in loggers:
                logger.removeHandler(handler)
            handler.close()


def cannot_be_locked(path: Path, error: OSError) -> str:
    return (
        f"{path}: cannot be locked ({error.strerror}), as on some network and synchronised drives; set hydra.run.dir, "
        "or hydra.sweep.dir for a sweep, to a folder on a disk of this machine"
    )


def _meant(path: Path) -> str:
    """What to name instead of a path that is no run directory: the one that it lies in, or one that lies in it."""
    with suppress(OSError):
        for above in path.parents[:2]:  # as of checkpoints/best.ckpt
            if (above / "config.yaml").is_file():
                return f"name {above}"
        for below in sorted(islice(path.glob("*/config.yaml"), 1000)):
            return f"name one of those in it, such as {below.parent}"
        if (path / LOCK).exists():
            return "its run was killed before it began, so give the command that started it again"
    return "name the folder that holds it"


def parse_config(text: str) -> Config:
    """The config that the text of a config.yaml describes. It may be a stranger's.

    Raises:
        ValueError: it is not one of ours.
    """
    try:
        found = OmegaConf.create(check_yaml(text))
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), found))
    except Exception as error:  # OmegaConf and its YAML reader raise many kinds
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"not the config of a run ({said})") from error
    if missing := [key for key in ESSENTIAL if key not in found]:
        raise ValueError(f"not the whole config of a run ({', '.join(missing)} missing)")
    assert isinstance(config, Config)
    return config


def timestamp() -> str:
    return time.strftime("%Y-%m-%d_%H-%M-%S")
