"""Runs scripts/train.py, and kills it just before a change that it makes to a file of ours.

    python tests/killed_at.py MOMENT FOLDER TRACE [key=value ...]

A change is a system call for something in FOLDER: open to write, rename, remove, make a folder, sync. Each is a line of
the file TRACE, as `open metrics.csv`. MOMENT says which: `2 open metrics.csv` is the second of these, and
`1 fsync run, 2 open metrics.csv` the second after the first sync. Where it says nothing the run comes to its end. The
number of a change among all would say less, as TensorBoard's thread makes more of them or fewer each time.
"""

import os
import re
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")


class Killer:
    def __init__(self, moment: str, folder: Path, trace: Path) -> None:
        steps = [step.split(" ", 1) for step in moment.split(", ") if step]
        self.steps, self.folder = [(words, int(times)) for times, words in steps], folder
        self.trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        sys.addaudithook(self.hear)
        sync = os.fsync

        def fsync(file: int) -> None:  # which no hook hears of
            self.before("fsync", str(Path(f"/proc/self/fd/{file}").readlink()))
            sync(file)

        os.fsync = fsync

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in CHANGES) and isinstance(arguments[0], str | bytes | os.PathLike):
            self.before(event, os.fsdecode(arguments[0]))

    def before(self, event: str, path: str) -> None:
        if not Path(path).absolute().is_relative_to(self.folder):
            return
        name = re.sub(r"^\.(.*)\.\d+@.*\.tmp$", r".\1.tmp", Path(path).name)
        change = f"{event} {'events' if name.startswith('events.') else name}"
        if self.steps and self.steps[0][0] == change:
            words, times = self.steps.pop(0)
            if times > 1:
                self.steps.insert(0, (words, times - 1))
            elif not self.steps:
                os.kill(os.getpid(), signal.SIGKILL)
        os.write(self.trace, f"{change}\n".encode())


if __name__ == "__main__":
    _, moment, folder, trace, *sys.argv[1:] = sys.argv
    sys.argv[0] = str(Path(__file__).parents[1] / "scripts/train.py")
    killer = Killer(moment, Path(folder).absolute(), Path(trace))  # what an audit hook is part of stays for ever
    runpy.run_path(sys.argv[0], run_name="__main__")
