"""TensorBoard's event files read back, and TensorBoard itself. Nothing here imports torch."""

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.program import TensorBoard, TensorBoardServerException

from lenet.errors import BadInput


def event_files(directory: Path) -> list[Path]:
    """The oldest first: their names begin with the time."""
    return sorted(directory.glob("events.out.tfevents.*"))


def read_events(files: list[Path]) -> Iterator[Event]:
    """Every event that is whole. A file that was cut off ends where it is torn."""
    for file in files:
        for record in RawEventFileLoader(str(file)).Load():
            yield Event.FromString(record)


def points(files: list[Path], wanted: Callable[[str, int], bool]) -> dict[tuple[str, int], Event]:
    """The points for which `wanted(tag, step)` holds, by tag and step; of several at one place the last."""
    found = {}
    for event in read_events(files):
        for value in event.summary.value:  # one: torch writes each in an event of its own
            if wanted(value.tag, event.step):
                found[value.tag, event.step] = event
    return found


def serve(directory: Path, port: int | None = None) -> str:
    """Start TensorBoard on a directory, in a thread of this process, for this machine alone.

    Args:
        directory: of runs, of a sweep, or of one run.
        port: without one, 6006 or the next that is free.

    Returns:
        Its address.

    Raises:
        BadInput: the port is taken, or no port.
    """
    flags = ["--logdir", str(directory), "--host", "localhost"]  # it asks nobody who he is
    flags += ["--samples_per_plugin", "scalars=100000,images=1000,histograms=1000"]  # else it leaves out points
    flags += ["--reload_multifile", "true"]  # a run that is resumed begins a new file
    flags += ["--reload_interval", "5"]
    if port is not None:
        flags += ["--port", str(port)]
    board = TensorBoard()
    board.configure(argv=["tensorboard", *flags])
    try:
        with redirect_stderr(io.StringIO()):  # a notice that its fast reader is experimental
            address: str = board.launch()
    except TensorBoardServerException as error:
        raise BadInput(f"--port {port}: {error.msg}; give another one, or none") from error
    return address
