"""study.log: the trials as Optuna's own tools read them. It is made of the run directories, and never read here.

optuna-dashboard study.log
optuna.load_study(study_name=..., storage=JournalStorage(JournalFileBackend("study.log")))
"""

import json
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from lenet.runs.files import write_atomically
from lenet.search.proposals import directions, frozen
from lenet.search.trials import Search
from lenet.sweeps.design import Sweep

JOURNAL = "study.log"


class InMemory(BaseJournalBackend):
    """Keeps what a file would hold, so that the file is written whole or not at all."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        # As they come back from a file.
        self.logs += [json.loads(json.dumps(one)) for one in logs]


def study(search: Search, sweep: Sweep, storage: Any = None) -> optuna.Study:
    """The search as a study of Optuna's."""
    made = optuna.create_study(
        storage=storage, study_name=search.directory.resolve().name, directions=directions(search.spec)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # pyproject.toml bars another release
        made.set_metric_names(list(search.spec.objective))
    for job, past in zip(sweep.jobs, search.past(sweep), strict=True):
        about = {"job": job.name, "parameters": job.parameters, "macs": job.macs}
        made.add_trial(frozen(search.space, past, None, **about))
    return made


def write(search: Search) -> Path:
    """Write study.log anew."""
    backend, path = InMemory(), search.directory / JOURNAL
    study(search, search.read(), JournalStorage(backend))
    write_atomically(path, "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in backend.logs).encode())
    return path
