"""A trained net as one file to give away: scripts/export.py RUN FILE

FILE.safetensors has the weights, for this project's own commands. FILE.onnx and FILE.pt2 have a whole graph, for other
programs: grey values of 28x28 pixels in, probabilities out.
"""

import argparse
from pathlib import Path

import lenet
from lenet import cli
from lenet.config import choices
from lenet.evaluation import checks, saved
from lenet.system.terminal import loading


def main() -> None:
    parser = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="directory of a finished run, or a file of weights")
    parser.add_argument("file", type=Path, help=".safetensors, .onnx or .pt2; config and result go into it as well")
    parser.add_argument("--weights", choices=choices()["test_on"], help="default: those that the run tested")
    parser.add_argument("--data-root", help="folder of the data files, whose test images a graph is checked on")
    arguments = parser.parse_args()

    checks.check_export(arguments.file)
    saved.saved(arguments.run, arguments.weights)
    loading(f"{arguments.run}")

    # Only now: what is wrong with the arguments is answered before torch is imported.
    agreement = lenet.load(arguments.run, arguments.weights, arguments.data_root).export(arguments.file)
    if agreement:
        print(agreement.as_text())
    print(f"{arguments.file}  {arguments.file.stat().st_size:,} bytes")


if __name__ == "__main__":
    cli.run(main)
