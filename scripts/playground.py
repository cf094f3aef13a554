"""Draw a digit and see every map of every layer: scripts/playground.py RUN [RUN] [--html FILE]."""

import contextlib
import webbrowser
from pathlib import Path

from lenet import cli
from lenet.datasets import data_set
from lenet.errors import BadInput
from lenet.evaluation import checks, saved
from lenet.playground.check import check
from lenet.runs.files import write_atomically
from lenet.system.imports import quickly
from lenet.system.terminal import loading


def main() -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="+", help="directories of finished runs, or files of scripts/export.py")
    parser.add_argument("--weights", choices=["best", "last"], help="default: those that the run tested")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page as one file that needs no server")
    parser.add_argument("--port", type=int, help="default: 8028, or the next one that is free")
    parser.add_argument("--open", action="store_true", help="also open a browser")
    arguments = parser.parse_args()

    if len(arguments.run) > 2:
        raise BadInput(f"{arguments.run[2]}: the page has room for two runs; leave it out")
    if arguments.port is not None and not 0 <= arguments.port < 2**16:
        raise BadInput(f"--port {arguments.port}: give a number from 1 to 65535, or 0 for any that is free")
    if arguments.html and arguments.port is not None:
        raise BadInput(f"--port {arguments.port}: a file needs no port; leave it out, or leave out --html")
    if arguments.html and (reason := checks.why_not_written(arguments.html)):
        raise BadInput(f"--html {arguments.html}: {reason}; name a file that can be written")
    fits = []
    for run in arguments.run:
        found = saved.saved(run, arguments.weights)
        check(found, run)
        fits.append(data_set(found.config.data).fit)
    loading(", ".join(map(str, arguments.run)))

    # Only now: what is wrong with the arguments is answered before torch is imported.
    with quickly():
        from lenet.evaluation.load import load_trained
        from lenet.playground.describe import describe
        from lenet.playground.page import page
        from lenet.playground.server import serve

    nets = [describe(load_trained(run, arguments.weights), run) for run in arguments.run]
    if arguments.html:
        try:
            write_atomically(arguments.html, page(nets).encode())
        except OSError as error:
            raise BadInput(f"--html {arguments.html}: {error.strerror}; name a file that can be written") from error
        print(f"{arguments.html}  {arguments.html.stat().st_size:,} bytes; a browser opens it without a network")
        if arguments.open:
            webbrowser.open(arguments.html.resolve().as_uri())
        return
    with serve(page(nets, server=True), fits, arguments.port) as server:
        print(f"{server.address}\nDraw there. Ctrl-C ends it.", flush=True)
        if arguments.open:
            webbrowser.open(server.address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    cli.run(main)
