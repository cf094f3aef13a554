"""Tables and plots of a sweep, finished or not: scripts/report.py SWEEP_DIR."""

from pathlib import Path

from lenet import cli


def main() -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("directory", type=Path, help="of a sweep, such as runs/exercises")
    directory = parser.parse_args().directory

    from lenet.report import report  # pandas and matplotlib take a while to import
    from lenet.sweep import is_at_work

    print(report(directory, is_at_work(directory)))


if __name__ == "__main__":
    cli.run(main)
