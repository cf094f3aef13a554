"""The curves of a sweep as mean and band over seeds, for TensorBoard: an event file for each setting.

They lie in the folder over_seeds/ of the sweep and are no runs: they have neither config nor result. The report makes
them anew. Nothing here imports torch.
"""

import io
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from lenet.errors import BadInput
from lenet.runs.directory import EVENT_FILES, OVER_SEEDS, RunDirectory
from lenet.runs.files import write_atomically
from lenet.runs.metrics import METRICS
from lenet.runs.names import made_safe
from lenet.sweeps.design import LONGEST_NAME

log = logging.getLogger(__name__)

FOLDER = "over_seeds"
MOST_SETTINGS = 100  # the best; more curves than that nobody can tell apart
LARGEST = 1e30  # of a loss that is shown; an event file has single precision


def tags(metric: str) -> tuple[str, str, str]:
    """The tags of the mean, and of the lower and the upper edge of the band: behind those of single runs."""
    return f"whole_sweep/{metric}", f"whole_sweep/{metric}/low", f"whole_sweep/{metric}/high"


def write_curves(directory: Path, done: pd.DataFrame, settings: Iterable[str]) -> None:
    """Write an event file for each of `settings` that has several seeds, and remove those of others.

    Nothing is written of runs that wrote nothing for TensorBoard themselves. A file that would be the same is left
    alone, so that a TensorBoard that is open reads nothing twice.

    Args:
        directory: of the sweep.
        done: its completed jobs, rows of `results.read_jobs`.
        settings: the best first.
    """
    folder = directory / FOLDER
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        log.warning("%s: no folder of the sweep, so it has no curves over seeds; remove it", folder)
        return
    kept: set[Path] = set()
    for setting in settings:
        if len(kept) == MOST_SETTINGS:
            break
        of = done[done.setting == setting]
        runs = [RunDirectory(directory / job) for job in of.job]
        if of.seed.nunique() < 2 or not any(run.event_files for run in runs):
            continue
        curves = bands(dict(zip(of.seed, map(_rows, runs), strict=True)))
        target = folder / made_safe(setting, LONGEST_NAME)  # it may be a stranger's
        if curves and not target.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
            file = target / f"events.out.tfevents.{int(_last_change(runs)):010d}.{FOLDER}"
            content = _events(curves, _last_change(runs))
            if not (file.is_file() and file.read_bytes() == content):
                write_atomically(file, content)
            kept.add(file)
    for file in folder.glob(f"*/{EVENT_FILES}"):
        if file not in kept and not file.parent.is_symlink():
            file.unlink()
            with suppress(OSError):  # something of somebody's is in it
                file.parent.rmdir()
    with suppress(OSError):
        folder.rmdir()


def bands(seeds: Mapping[int, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Accuracy and loss, the mean and one standard deviation less and more, at each epoch that all seeds have.

    They are of validation, or of training where a seed has no validation.

    Args:
        seeds: the metrics of each seed, a row per epoch.

    Returns:
        By the name of the metric: epoch -> mean, low, high.
    """
    found = {}
    split = "val" if all("val/acc" in rows for rows in seeds.values()) else "train"
    for metric in (f"{split}/acc", f"{split}/loss"):
        table = pd.DataFrame({seed: rows.get(metric, pd.Series(dtype=float)) for seed, rows in seeds.items()})
        table = table[(table.abs() < LARGEST).all(axis=1)]
        mean, sd = table.mean(axis=1), table.std(axis=1)
        highest = 1.0 if metric.endswith("/acc") else np.inf
        if len(table):
            edges = {"low": (mean - sd).clip(lower=0), "high": (mean + sd).clip(upper=highest)}
            found[metric] = pd.DataFrame({"mean": mean, **edges})
    return found


def _rows(run: RunDirectory) -> pd.DataFrame:
    """metrics.csv by epoch; nothing where it is damaged, as the plots of the report say."""
    try:
        rows = run.read_metrics()
    except (BadInput, OSError):
        rows = []
    return pd.DataFrame(rows).set_index("epoch") if rows else pd.DataFrame()


def _last_change(runs: Iterable[RunDirectory]) -> float:
    """When the last epoch of any of them was written: a later file is read after the one that it replaces."""
    changes = [0.0]
    for run in runs:
        with suppress(OSError):
            changes.append((run.path / "metrics.csv").stat().st_mtime)
    return max(changes)


def _events(curves: dict[str, pd.DataFrame], when: float) -> bytes:
    """An event file: the layout of CUSTOM SCALARS for these curves, then their points.

    Args:
        when: seconds since 1970, which every point has.
    """
    # These take a while to import, and most reports need none.
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.plugins.custom_scalar import metadata
    from tensorboard.plugins.custom_scalar.layout_pb2 import Category, Chart, Layout, MarginChartContent
    from tensorboard.summary.writer.record_writer import RecordWriter

    charts = []
    for metric in reversed(curves):  # TensorBoard shows plots with bands from the last to the first
        mean, low, high = tags(metric)
        band = MarginChartContent.Series(value=mean, lower=low, upper=high)
        charts.append(Chart(title=METRICS[metric][1], margin=MarginChartContent(series=[band])))
    layout = Layout(category=[Category(title=OVER_SEEDS, chart=charts)]).SerializeToString()
    tensor = TensorProto(dtype="DT_STRING", string_val=[layout], tensor_shape=TensorShapeProto())
    shown = Summary.Value(tag=metadata.CONFIG_SUMMARY_TAG, tensor=tensor, metadata=metadata.create_summary_metadata())
    content = io.BytesIO()
    writer = RecordWriter(content)
    writer.write(Event(wall_time=when, file_version="brain.Event:2").SerializeToString())
    writer.write(Event(wall_time=when, summary=Summary(value=[shown])).SerializeToString())
    for metric, table in curves.items():
        for epoch, *values in table.itertuples():
            for tag, value in zip(tags(metric), values, strict=True):
                point = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                writer.write(Event(wall_time=when, step=int(epoch), summary=point).SerializeToString())
    return content.getvalue()
