"""Loggers beside TensorBoard, `logger=csv,mlflow,wandb`, which are Lightning's own. None is imported before it is used.

They get what metrics.csv has, a point of each curve for every epoch, with the config and the test set's figures. They
are a view: one that fails is left out from then on, with a warning, and the run goes on.
"""

import importlib.util
import json
import logging
import os
import re
import secrets
import shutil
import socket
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from lenet.config import Config, schema, value_of
from lenet.errors import BadInput
from lenet.runs.directory import INCIDENTAL, Result, RunDirectory
from lenet.runs.files import write_atomically
from lenet.runs.metrics import Row, curves
from lenet.runs.safe_io import fits, read_json
from lenet.system.ranks import is_first
from lenet.text import first_line

log = logging.getLogger(__name__)

PACKAGES = {"mlflow": ("mlflow", "sqlalchemy", "alembic"), "wandb": ("wandb",)}  # what each extra brings
DATABASE = Path("runs/mlflow.db")  # of all runs that are started in a folder
URI = "MLFLOW_TRACKING_URI"  # the user's word for another place; MLflow sets it as well
PATIENCE = 5  # seconds for a server to answer in, before anything is written
ONLINE = ("online", "run", "shared")
MODES = ("offline", "disabled", "dryrun", *ONLINE)  # of WANDB_MODE
LARGEST_IDS = 10_000  # bytes

# What they would do without being asked, or for minutes; the user's own words win.
QUIETLY = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
}

# Loggers that somebody brings along: what makes one for a run, of its config and its directory.
FURTHER_LOGGERS: dict[str, Callable[[Config, Path], Any]] = {}


@dataclass
class Begun:
    """A logger of Lightning's that has the config of a run."""

    logger: Any
    end: Callable[[str], None]  # what to do at the end, with the run's status
    done: int = 0  # epochs that it has from before the run was resumed


class Loggers:
    """Those that a config asks for; in a process that is not the first, and mostly, none."""

    def __init__(self, config: Config, run: RunDirectory) -> None:
        self.config, self.run = config, run
        self.begun: dict[str, Begun] = {}

    def start(self, rows: Sequence[Row]) -> None:
        """Begin, or go on after the epochs of `rows`, each of which every logger then has once."""
        names = self.config.logger if is_first() else []
        known = _read_ids(self.run) if names else {}
        ids = dict(known)
        for name in names:
            with self._unless_it_fails(name):
                self.begun[name] = _begin(name, self.config, self.run, ids)
        if ids != known:
            _write_ids(self.run, ids)
        for row in rows:
            self.log_epoch(row)

    def log_epoch(self, row: Row) -> None:
        self._log(curves(row), int(row["epoch"]))

    def log_test(self, metrics: Mapping[str, float], epoch: int) -> None:
        """`metrics`: also of the training; those of the test set are logged, at the epoch whose weights it saw."""
        if not self.config.test_each_epoch:
            self._log({tag: value for tag, value in metrics.items() if tag.startswith("test/")}, epoch, again=True)

    def close(self, result: Result) -> None:
        for name in list(self.begun):
            with self._unless_it_fails(name):
                self.begun.pop(name).end(result["status"])

    def _log(self, metrics: Mapping[str, float], epoch: int, again: bool = False) -> None:
        for name, one in list(self.begun.items()):
            if metrics and (again or epoch > one.done):
                with self._unless_it_fails(name):
                    one.logger.log_metrics(metrics, epoch)
                    one.logger.save()

    @contextmanager
    def _unless_it_fails(self, name: str) -> Iterator[None]:
        """What is shown of a run must not cost the run."""
        try:
            yield
        except Exception as error:  # of three libraries, a disk and a network
            words = first_line(str(error))
            log.warning(
                "%s: logger=%s lacks the rest of this run, which goes on without it (%s: %s)",
                self.run.path, name, type(error).__name__, words,
            )  # fmt: skip
            if failed := self.begun.pop(name, None):
                with suppress(Exception):
                    failed.end("failed")


def hyperparameters(config: Config) -> dict[str, Any]:
    """All that says which run it is, under the names of the command line."""
    keys = [key for key, kind in schema().items() if not is_dataclass(kind)]
    return {key: value_of(config, key) for key in keys if key not in (*INCIDENTAL, "resume", "data.classes")}


def check(config: Config) -> None:
    """Whether what a config's loggers need is here.

    Raises:
        BadInput: a package is missing, a server does not answer, or an account has no key.
    """
    for name in config.logger:
        if missing := [package for package in PACKAGES.get(name, ()) if importlib.util.find_spec(package) is None]:
            raise BadInput(
                f"logger={name}: needs {' and '.join(missing)}; start with uv run --extra {name}, or pip install "
                f"'lenet[{name}]'"
            )
    if "mlflow" in config.logger and (uri := os.environ.get(URI)):
        _check_place(uri)
    mode = os.environ.get("WANDB_MODE", "offline")
    if "wandb" in config.logger and mode not in MODES:
        raise BadInput(f"WANDB_MODE={mode}: choose offline, online or disabled, or unset it for offline")
    if "wandb" in config.logger and mode in ONLINE:
        import wandb

        if not wandb.login(prompt=False, verify=False):
            raise BadInput(f"WANDB_MODE={mode}: no key for an account; set WANDB_API_KEY, or unset this for offline")


def _check_place(uri: str) -> None:
    try:
        place = urlsplit(uri)
        port = place.port or (443 if place.scheme == "https" else 80)
    except ValueError as error:
        raise BadInput(f"{URI}={uri}: no address ({error}); mend it, or unset it for {DATABASE}") from error
    if place.scheme not in ("http", "https") or urllib.request.getproxies().get(place.scheme):
        return
    try:
        socket.create_connection((place.hostname or "", port), PATIENCE).close()
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(
            f"{URI}={uri}: nobody answers there ({reason}); start the server, or unset it for {DATABASE}"
        ) from error


def _begin(name: str, config: Config, run: RunDirectory, ids: dict[str, str]) -> Begun:
    for variable, value in QUIETLY.items():
        os.environ.setdefault(variable, value)
    if name in FURTHER_LOGGERS:
        logger = FURTHER_LOGGERS[name](config, run.path)
        logger.log_hyperparams(hyperparameters(config))
        return Begun(logger, lambda status: logger.finalize("success" if status == "completed" else "failed"))
    return {"csv": _csv, "mlflow": _mlflow, "wandb": _wandb}[name](config, run, ids)


def _csv(config: Config, run: RunDirectory, ids: dict[str, str]) -> Begun:
    from lightning.pytorch.loggers import CSVLogger

    for file in ("metrics.csv", "hparams.yaml"):  # Lightning would do so too, and warn
        (run.path / "csv" / file).unlink(missing_ok=True)
    logger = CSVLogger(run.path, name="", version="csv")
    logger.log_hyperparams(hyperparameters(config))
    return Begun(logger, logger.finalize)


def _mlflow(config: Config, run: RunDirectory, ids: dict[str, str]) -> Begun:
    from lightning.pytorch.loggers import MLFlowLogger

    for library in ("alembic", MLFlowLogger.__module__):
        logging.getLogger(library).setLevel(logging.ERROR)
    given = os.environ.get(URI)
    DATABASE.parent.mkdir(exist_ok=True)
    if not given:
        DATABASE.open("ab").close()  # fails at once where MLflow would try for minutes
    options: dict[str, Any] = {
        "experiment_name": config.name,
        "run_name": run.path.name,
        "tracking_uri": given or f"sqlite:///{DATABASE.absolute().as_posix()}",
        "tags": {"directory": str(run.path.absolute()), "tags": " ".join(config.tags)},
    }
    try:
        with FileLock(DATABASE.with_name(".mlflow.lock")):  # jobs of a sweep would make tables and experiment at once
            logger = _mlflow_run(options, ids.get("mlflow"))
    finally:
        if given is None:  # or the next run would take this for the user's word
            os.environ.pop(URI, None)
    client, number = logger.experiment, logger.run_id
    assert number
    ids["mlflow"] = number
    client.update_run(number, status="RUNNING")  # also of one that has ended before
    recorded, tags = client.get_run(number).data.params, client.get_run(number).data.tags
    params = {key: str(value) for key, value in hyperparameters(config).items()}  # Lightning drops empty lists
    logger.log_hyperparams({key: text for key, text in params.items() if key not in recorded})
    for key, text in params.items():  # what a resumed run has otherwise; a parameter cannot be changed
        if recorded.get(key, text) != text or key in tags:
            client.set_tag(number, key, text)
    done = max((point.step for point in client.get_metric_history(number, "train/lr")), default=0)
    ends = {"completed": "FINISHED", "interrupted": "KILLED", "pruned": "KILLED"}
    return Begun(logger, lambda status: client.set_terminated(number, ends.get(status, "FAILED")), done)


def _mlflow_run(options: Mapping[str, Any], number: str | None) -> Any:
    """A logger of the run with this number; of a new one where there is none, or none any longer."""
    from lightning.pytorch.loggers import MLFlowLogger
    from mlflow.exceptions import MlflowException

    if number:
        logger = MLFlowLogger(run_id=number, **options)
        with suppress(MlflowException):
            if logger.experiment.get_run(number).info.lifecycle_stage == "active":
                return logger
    logger = MLFlowLogger(**options)
    _ = logger.experiment  # makes both
    return logger


def _wandb(config: Config, run: RunDirectory, ids: dict[str, str]) -> Begun:
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    mode = os.environ.get("WANDB_MODE", "offline")
    number = ids.setdefault("wandb", secrets.token_hex(4))
    for before in (run.path / "wandb").glob(f"offline-run-*-{number}"):  # what follows has all of it
        if not before.is_symlink():
            shutil.rmtree(before, ignore_errors=True)
    settings = wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        x_disable_stats=True,
        x_disable_meta=True,
        init_timeout=30,
    )
    wandb.setup(settings)
    logger = WandbLogger(
        name=run.path.name,
        save_dir=run.path.absolute(),  # the process that writes it is one for all runs, and stays where it was started
        id=number,
        project=os.environ.get("WANDB_PROJECT", "lenet"),
        group=config.name,
        tags=list(config.tags),
        mode=mode,
        resume="allow" if mode in ONLINE else None,
        settings=settings,
    )
    logger.log_hyperparams(hyperparameters(config))
    one = logger.experiment
    done = one.summary.get("trainer/global_step", 0) if getattr(one, "resumed", False) else 0
    return Begun(logger, lambda status: one.finish(exit_code=int(status != "completed")), done)


def _read_ids(run: RunDirectory) -> dict[str, str]:
    """Under which numbers MLflow and W&B know the run. The file may be a stranger's."""
    try:
        ids = read_json(run.path / "loggers.json", LARGEST_IDS)
    except (OSError, ValueError):
        return {}
    return (
        {name: text for name, text in ids.items() if re.fullmatch("[0-9a-f]+", text)}
        if fits(ids, dict[str, str])
        else {}
    )


def _write_ids(run: RunDirectory, ids: Mapping[str, str]) -> None:
    with suppress(OSError):  # a resumed run is then another one there
        write_atomically(run.path / "loggers.json", (json.dumps(ids) + "\n").encode())
