"""Early stopping: the epoch after which a run ends before its last one. Imports no torch."""

import math
from collections.abc import Sequence

from lenet.config import Config, EarlyStopping
from lenet.errors import BadInput
from lenet.runs.directory import Result
from lenet.runs.metrics import Row
from lenet.text import are, counted


def stopped_early(
    settings: EarlyStopping, rows: Sequence[Row], min_epochs: int | None = None
) -> tuple[int, str] | None:
    """The epoch after which a run with these rows of metrics.csv is to end, and why; None where it may go on.

    That is none before `min_epochs`.

    A function of the rows alone, so a resumed run needs no state to decide as one that never stopped. An epoch that was
    not validated does not count.
    """
    if settings.patience is None:
        return None
    sign, verb = (1, "risen") if settings.monitor == "val/acc" else (-1, "fallen")
    best, since, waited = None, 0, 0
    for row in (row for row in rows if settings.monitor in row):
        value, epoch = sign * row[settings.monitor], int(row["epoch"])
        if best is None or math.isnan(best) or value - settings.min_delta > best:
            best, since, waited = value, epoch, 0
        else:
            waited += 1
        if waited >= settings.patience and epoch >= (min_epochs or 0):
            by = f" by more than {settings.min_delta:g}" if settings.min_delta else ""
            return epoch, f"{settings.monitor} has not {verb}{by} since epoch {since}"
    return None


def check_stopping(config: Config, rows: Sequence[Row], result: Result) -> None:
    """Whether a run with these epochs has some left to do, or only its end.

    Raises:
        BadInput: it has stopped early and is completed, or would have stopped before.
    """
    early = stopped_early(config.early_stopping, rows, config.trainer.min_epochs)
    if early is None:
        return
    epoch, why = early
    larger = "give a larger early_stopping.patience, or null, to go on"
    if epoch < len(rows):
        raise BadInput(
            f"early_stopping.patience={config.early_stopping.patience}: of {counted(len(rows), 'epoch')} that "
            f"{are(len(rows))} done, this ends after {epoch} ({why}); {larger}"
        )
    if result.get("status") == "completed":
        raise BadInput(f"resume={config.resume}: it stopped early after epoch {epoch}: {why}; {larger}")
