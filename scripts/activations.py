"""What the first and second layer of a trained net see: scripts/activations.py RUN --classes pullover coat"""

import argparse
import sys
import warnings
from pathlib import Path

import lenet
from lenet import cli
from lenet.data.prepare import drawing
from lenet.datasets import data_set
from lenet.errors import BadInput
from lenet.evaluation import checks, saved
from lenet.runs.files import write_atomically
from lenet.system.terminal import loading


def main() -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("run", type=Path, help="directory of a finished run, or a file of scripts/export.py")
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="the first test image of each class")
    parser.add_argument("--images", nargs="+", default=[], type=int, metavar="N", help="test images by number, from 0")
    parser.add_argument("--image", nargs="+", default=[], type=Path, metavar="FILE", help="pictures of your own")
    parser.add_argument(
        "--invert", action=argparse.BooleanOptionalAction, help="they are dark on bright, or not; default: each tells"
    )
    parser.add_argument("--noise", action="store_true", help="an image of independent random pixels")
    parser.add_argument("--pooled", action="store_true", help="the maps behind the pooling layers, not before")
    parser.add_argument("--weights", choices=["best", "last"], help="default: those that the run tested")
    parser.add_argument("--data-root", help="folder of the data files; default: where the run found them")
    parser.add_argument(
        "--out", type=Path, help="default: activations.png in the run directory, or for a file FILE_activations.png"
    )
    arguments = parser.parse_args()

    if arguments.invert is not None and not arguments.image:
        raise BadInput("--invert: there is nothing to invert; name pictures with --image")
    found = saved.saved(arguments.run, arguments.weights)
    data = found.config.data
    is_own = arguments.data_root or saved.is_own_root(data.root)
    data.root = arguments.data_root or data.root
    classes = checks.class_names(data, arguments.classes)
    checks.check_numbers(arguments.images, data_set(data).test_images)
    if arguments.classes or arguments.images or not (arguments.image or arguments.noise):
        saved.check_data(data, bool(is_own))
    drawings = [drawing(file, data_set(data).fit, arguments.invert) for file in arguments.image]
    of_a_run = arguments.run.is_dir()
    out = arguments.out or (
        arguments.run / "activations.png" if of_a_run else Path(f"{arguments.run.stem}_activations.png")
    )
    out = out if out.suffix else out.with_suffix(".png")
    checks.check_picture(out)
    loading(f"{arguments.run}")

    # Only now: what is wrong with the arguments is answered before torch is imported.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are said below
        run = lenet.load(arguments.run, arguments.weights, arguments.data_root)
        shown = (*classes, *arguments.images, *drawings)
        captured = run.maps(*shown, noise=arguments.noise, pooled=arguments.pooled)
    from lenet.evaluation.activations import in_words
    from lenet.evaluation.canvas import as_file
    from lenet.evaluation.pictures import activations

    try:
        write_atomically(out, as_file(activations(captured, scale=3), out.suffix))
    except (OSError, ValueError) as error:
        raise checks.not_written(out, error) from error
    for one in drawings:
        if one.warning:
            print(f"warning: {one.warning}", file=sys.stderr)
    for each in captured:
        print(in_words(each))
    print(out)


if __name__ == "__main__":
    cli.run(main)
