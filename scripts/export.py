"""A trained net as one small file to give away: scripts/export.py RUN_DIR FILE.safetensors"""

from pathlib import Path

from lenet import cli
from lenet.config import choices
from lenet.evaluation import checks, saved
from lenet.system.imports import quickly
from lenet.system.terminal import loading


def main() -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("run_dir", type=Path, help="directory of a finished run")
    parser.add_argument("file", type=Path, help="the file to write; config and result go into its header")
    parser.add_argument("--weights", choices=choices()["test_on"], help="default: those that the run tested")
    arguments = parser.parse_args()

    checks.check_export(arguments.file)
    saved.saved(arguments.run_dir, arguments.weights)
    loading(f"{arguments.run_dir}")

    # Only now: what is wrong with the arguments is answered before torch is imported.
    with quickly():
        from lenet.evaluation.load import export, load_trained

    export(load_trained(arguments.run_dir, arguments.weights), arguments.file)
    print(f"{arguments.file}  {arguments.file.stat().st_size:,} bytes")


if __name__ == "__main__":
    cli.run(main)
