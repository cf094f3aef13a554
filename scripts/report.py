"""Tables and plots of a sweep or a search, finished or not: scripts/report.py SWEEP_DIR; or of runs: RUN_DIR ..."""

import os
from pathlib import Path

from lenet import cli
from lenet.errors import BadInput
from lenet.evaluation.checks import check_folder
from lenet.runs.directory import RunDirectory
from lenet.runs.files import write_atomically
from lenet.search.spec import needed
from lenet.sweeps.design import SEARCH, Sweep
from lenet.sweeps.directory import is_at_work
from lenet.system.terminal import loading
from lenet.text import counted

LIBRARIES = "pandas and matplotlib"


def main() -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="+", help="of a sweep, such as runs/exercises, or those of runs")
    parser.add_argument(
        "--out", type=Path, help="folder for the curves of runs; default: that of a run, or the one that all lie in"
    )
    arguments = parser.parse_args()
    directories = arguments.directory
    if len(directories) > 1 or (directories[0] / "config.yaml").is_file():
        print(of_runs(directories, arguments.out))
    elif arguments.out:
        raise BadInput(
            f"--out {arguments.out}: goes with runs; what is made of a sweep lies in its folder. Leave it out"
        )
    else:
        print(of_sweep(directories[0]))


def of_sweep(directory: Path) -> str:
    sweep = Sweep.read(directory)  # a wrong folder is answered before what follows, which takes a while to import
    loading(f"{directory}", LIBRARIES)
    if sweep.design == SEARCH:
        needed()
        from lenet.search.report import report
    else:
        from lenet.sweeps.report import report

    return report(directory, is_at_work(directory))


def of_runs(directories: list[Path], out: Path | None) -> str:
    for directory in directories:
        RunDirectory(directory).read_config()  # raises where it is none
    single = len(directories) == 1
    folder = out or (
        directories[0] if single else Path(os.path.commonpath([path.absolute().parent for path in directories]))
    )
    check_folder(folder, given=bool(out))
    loading(counted(len(directories), "run"), LIBRARIES)
    from lenet.evaluation.curves import as_text, compared

    plot = compared(directories)
    file = folder / "comparison.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, plot._repr_png_())
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}; name a folder that can be written with --out") from error
    return f"{as_text(plot.table)}\n{file}"


if __name__ == "__main__":
    cli.run(main)
