"""TensorBoard on runs/, or on the directory of a sweep or of a run: scripts/dashboard.py [DIR] [--port N] [--open]."""

import contextlib
import time
import webbrowser
from pathlib import Path

from lenet import cli
from lenet.errors import BadInput
from lenet.runs.directory import EVENT_FILES
from lenet.system.terminal import loading


def main() -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=Path("runs"), help="default: runs")
    parser.add_argument("--port", type=int, help="default: 6006, or the next one that is free")
    parser.add_argument("--open", action="store_true", help="also open a browser")
    arguments = parser.parse_args()
    directory = arguments.directory
    if arguments.port is not None and not 0 <= arguments.port < 2**16:
        raise BadInput(f"--port {arguments.port}: give a number from 1 to 65535, or 0 for any that is free")
    if not directory.is_dir():
        raise BadInput(f"{directory}: no such directory; start a run with scripts/train.py, or name another")
    if not any(directory.rglob(EVENT_FILES)):
        raise BadInput(
            f"{directory}: no run in it wrote anything for TensorBoard; name another, or resume one with "
            "dashboard.enabled=true"
        )

    for file in directory.rglob("*tfevents*"):  # TensorBoard reads all that are called so
        if not (file.is_file() or file.is_dir()):
            raise BadInput(f"{file}: no regular file, for which TensorBoard would wait; remove it")

    loading(f"{directory}", "TensorBoard")
    from lenet.dashboard.server import serve  # which takes a while to import

    address = serve(directory, arguments.port)
    print(f"{address}\nIt opens at CUSTOM SCALARS. Ctrl-C ends it.", flush=True)
    if arguments.open:
        webbrowser.open(address)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    cli.run(main)
