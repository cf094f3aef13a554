"""What a trained net gets right and wrong: scripts/evaluate.py RUN [--part validation] [--data mnist] ..."""

import json
from pathlib import Path

from lenet import cli
from lenet.config import choices
from lenet.errors import BadInput
from lenet.evaluation import checks, saved
from lenet.runs.files import write_atomically
from lenet.system.imports import quickly
from lenet.system.terminal import loading


def main() -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("run", type=Path, help="directory of a finished run, or a file of scripts/export.py")
    parser.add_argument("--part", choices=saved.PARTS, default="test", help="default: test")
    parser.add_argument("--weights", choices=choices()["test_on"], help="default: those that the run tested")
    parser.add_argument("--data", choices=choices()["data.name"], help="default: the data set of the run")
    parser.add_argument("--data-root", help="folder of the data files; default: where the run found them")
    parser.add_argument(
        "--flip", action="store_true", help="show it each image and its mirror image, and take the mean"
    )
    parser.add_argument(
        "--out", type=Path, help="folder for the figures and the picture; default: the run directory, or for a file ."
    )
    arguments = parser.parse_args()

    found = saved.saved(arguments.run, arguments.weights)
    saved.check_evaluation(found.config, arguments.part, arguments.flip)
    out = arguments.out or (arguments.run if arguments.run.is_dir() else Path())
    checks.check_folder(out, given=bool(arguments.out))
    saved.check_data(*saved.evaluated(found.config.data, arguments.data, arguments.data_root))
    loading(f"{arguments.run}")

    # Only now: what is wrong with the arguments is answered before torch is imported.
    with quickly():
        from lenet.evaluation.canvas import as_png
        from lenet.evaluation.evaluate import as_picture, as_text, evaluate
        from lenet.evaluation.load import load_trained

    trained = load_trained(arguments.run, arguments.weights)
    evaluation = evaluate(trained, arguments.part, arguments.data, arguments.data_root, arguments.flip)
    print(as_text(evaluation))

    flip = "_flip" if arguments.flip else ""
    net = "" if arguments.run.is_dir() else f"{arguments.run.stem}_"
    stem = out / f"{net}evaluation_{evaluation.data}_{evaluation.part}_{evaluation.weights}{flip}"
    picture = as_picture(evaluation)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(stem.with_suffix(".json"), (json.dumps(evaluation.as_dict(), indent=2) + "\n").encode())
        write_atomically(stem.with_suffix(".png"), as_png(picture))
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}; name a folder that can be written with --out") from error
    print(f"\n{stem}.json\n{stem}.png")


if __name__ == "__main__":
    cli.run(main)
