"""TensorBoard's event files, read back. Nothing here imports torch."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event


def read_events(files: Sequence[Path]) -> Iterator[Event]:
    """Every event that is whole. A file that was cut off ends where it is torn."""
    for file in files:
        for record in RawEventFileLoader(str(file)).Load():
            yield Event.FromString(record)


def points(files: Sequence[Path], wanted: Callable[[str, int], bool]) -> dict[tuple[str, int], Event]:
    """The points for which `wanted(tag, step)` holds, by tag and step; of several at one place the last."""
    found = {}
    for event in read_events(files):
        for value in event.summary.value:  # one: torch writes each in an event of its own
            if wanted(value.tag, event.step):
                found[value.tag, event.step] = event
    return found


def sync(files: Sequence[Path]) -> None:
    """Wait until what was written of them is on the disk, so that not even a power failure takes it back."""
    for path in (*files, *{file.parent for file in files}):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
