"""Tables and plots of a sweep or a search, finished or not: scripts/report.py SWEEP_DIR."""

from pathlib import Path

from lenet import cli
from lenet.search.spec import needed
from lenet.sweeps.design import SEARCH, Sweep, is_at_work
from lenet.system.terminal import loading


def main() -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("directory", type=Path, help="of a sweep, such as runs/exercises")
    directory = parser.parse_args().directory

    sweep = Sweep.read(directory)  # a wrong folder is answered before what follows, which takes a while to import
    loading(f"{directory}", "pandas and matplotlib")
    if sweep.design == SEARCH:
        needed()
        from lenet.search.report import report
    else:
        from lenet.sweeps.report import report

    print(report(directory, is_at_work(directory)))


if __name__ == "__main__":
    cli.run(main)
