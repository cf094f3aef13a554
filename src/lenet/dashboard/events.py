"""TensorBoard's event files, read back. Nothing here imports torch."""

import logging
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from lenet.runs.safe_io import open_file
from lenet.text import first_line

log = logging.getLogger(__name__)

LARGEST_RECORD = 64 * 2**20  # bytes; a picture has 50,000


def read_events(files: Sequence[Path]) -> Iterator[Event]:
    """Every event that is whole. A file that was cut off ends where it is torn.

    What is no event file of ours ends there too, with a warning: all else that is known of a run is in metrics.csv.
    """
    for file in files:
        try:
            for record in _records(file):
                yield _event(record)
        except (OSError, ValueError) as error:
            words = first_line(getattr(error, "strerror", None) or str(error))
            log.warning("%s: not an event file of ours (%s); its curves are taken from metrics.csv", file, words)


def _records(path: Path) -> Iterator[bytes]:
    """The records of a file: the length, its checksum, as many bytes, and theirs.

    A length is believed no further than the file goes, before any memory is taken for it.

    Raises:
        OSError, ValueError: it cannot be read, or is no regular file.
    """
    with open_file(path, largest=None) as file:
        left = os.fstat(file.fileno()).st_size
        while len(header := file.read(12)) == 12:
            length, checksum = struct.unpack("<QI", header)
            left -= length + 16
            if checksum != masked_crc32c(header[:8]) or left < 0 or length > LARGEST_RECORD:
                return
            record, checksum = file.read(length), file.read(4)
            if checksum != struct.pack("<I", masked_crc32c(record)):
                return
            yield record


def _event(record: bytes) -> Event:
    try:
        return Event.FromString(record)
    except Exception as error:  # protobuf's own
        raise ValueError(str(error)) from error


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
    for file in filter(Path.is_file, files):  # opening a pipe may take for ever
        _sync(file, os.O_RDWR)  # Windows flushes only what is open for writing
    for folder in {file.parent for file in files}:
        with suppress(PermissionError):  # Windows opens no folders, and keeps their entries by itself
            _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
