"""Accuracy against parameters, ours and others': scripts/records.py SWEEP_DIR ... [--out FILE]."""

from pathlib import Path

from lenet import cli


def main() -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("directories", type=Path, nargs="+", metavar="SWEEP_DIR", help="such as runs/improved")
    parser.add_argument("--out", type=Path, default=Path("records.png"), help="the figure; default: records.png")
    arguments = parser.parse_args()

    from lenet import records  # pandas and matplotlib take a while to import
    from lenet.plots import save

    found = records.read(arguments.directories)
    print("\n\n".join(records.as_markdown(data, table) for data, table in found.items()))
    save(records.draw(found), arguments.out)


if __name__ == "__main__":
    cli.run(main)
