"""What is on pictures of your own: scripts/predict.py RUN PICTURE ...

A photograph of a digit on paper, a scan, a drawing on nothing, a shirt before a wall: the thing is found, cut out, made
bright on dark and fitted in as in the data that the net was trained on (docs/predict.md).
"""

import argparse
import csv
import json
import sys
import warnings
from pathlib import Path

import lenet
from lenet import cli
from lenet.config import choices
from lenet.data.drawings import Drawing
from lenet.data.prepare import drawing
from lenet.datasets import data_set
from lenet.errors import BadInput
from lenet.evaluation import checks, saved
from lenet.runs.files import write_atomically
from lenet.system.terminal import loading
from lenet.tables import aligned, no_formula
from lenet.text import one_line


def main() -> None:
    parser = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of a finished run, or a file of weights")
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE", help="a PNG, JPEG, ... of one thing")
    parser.add_argument(
        "--invert", action=argparse.BooleanOptionalAction, help="they are dark on bright, or not; default: each tells"
    )
    parser.add_argument("--weights", choices=choices()["test_on"], help="default: those that the run tested")
    written = parser.add_mutually_exclusive_group()
    written.add_argument("--csv", action="store_true", help="write a table with the probability of each class")
    written.add_argument("--json", action="store_true", help="write a list: file, class, probability, probabilities")
    parser.add_argument("--show", action="store_true", help="draw what the net really saw")
    parser.add_argument("--out", type=Path, help="where to draw it; default: predictions.png")
    arguments = parser.parse_args()

    if arguments.out and not arguments.show:
        raise BadInput(f"--out {arguments.out}: there is nothing to draw; give --show as well")
    out = arguments.out or Path("predictions.png")
    if arguments.show:
        checks.check_picture(out)
    known = data_set(saved.saved(arguments.run, arguments.weights).config.data)
    drawings = [drawing(file, known.fit, arguments.invert, named="") for file in arguments.pictures]
    loading(f"{arguments.run}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are said below
        table = lenet.load(arguments.run, arguments.weights).predict(drawings)
    for one in drawings:
        if one.warning:
            print(f"warning: {one.warning}", file=sys.stderr)
    about = f"{known.title}: {', '.join(known.classes)}. Whatever a picture shows is taken for one of these."
    print(one_line(about), file=sys.stderr if arguments.csv or arguments.json else sys.stdout)
    files = [str(file) for file in arguments.pictures]
    rows = [row.to_numpy(float).tolist() for _, row in table.iloc[:, 1:].iterrows()]
    if arguments.json:
        print(json.dumps([_as_record(*each, known.classes) for each in zip(files, rows, strict=True)], indent=2))
    elif arguments.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        classes = [no_formula(one) for one in known.classes]
        writer.writerow(["file", "class", "probability", *classes])
        for file, row in zip(files, rows, strict=True):
            writer.writerow([no_formula(file), classes[row.index(max(row))], max(row), *row])
    else:
        lines = [_in_words(*each, known.classes) for each in zip(files, rows, strict=True)]
        print("\n".join(aligned([["file", "class", "probability", "otherwise"], *lines], right=[2])))
    if arguments.show:
        _draw(out, drawings, [f"{line[1]} {line[2]}" for line in (_in_words("", row, known.classes) for row in rows)])
        print(out, file=sys.stderr)


def _as_record(file: str, row: list[float], classes: tuple[str, ...]) -> dict[str, object]:
    most = row.index(max(row))
    return {
        "file": file,
        "class": classes[most],
        "probability": row[most],
        "probabilities": dict(zip(classes, row, strict=True)),
    }


def _in_words(file: str, row: list[float], classes: tuple[str, ...]) -> list[str]:
    """The cells of a row for the terminal."""
    first, *others = sorted(range(len(row)), key=lambda number: -row[number])[:3]
    otherwise = ", ".join(f"{classes[other]} {100 * row[other]:.1f} %" for other in others)
    return [one_line(file), one_line(classes[first]), f"{100 * row[first]:.1f} %", one_line(otherwise)]


def _draw(out: Path, drawings: list[Drawing], answers: list[str]) -> None:
    from lenet.evaluation.canvas import as_file
    from lenet.evaluation.pictures import sheet

    try:
        write_atomically(out, as_file(sheet(drawings, answers), out.suffix))
    except (OSError, ValueError) as error:
        raise checks.not_written(out, error) from error


if __name__ == "__main__":
    cli.run(main)
