"""TensorBoard's event files, read back. Nothing here imports torch."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event


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
