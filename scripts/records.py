"""Accuracy against parameters, ours and others': scripts/records.py [SWEEP_DIR ...] [--kept FILE] [--out FILE]."""

from pathlib import Path

from lenet import cli
from lenet.errors import BadInput
from lenet.evaluation.checks import why_not_written
from lenet.sweeps.design import Sweep
from lenet.system.terminal import loading


def main() -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("directories", type=Path, nargs="*", metavar="SWEEP_DIR", help="such as runs/improved")
    parser.add_argument(
        "--kept", type=Path, metavar="FILE", help="a CSV with a row per run: show those too, and put the sweeps' in"
    )
    parser.add_argument("--out", type=Path, default=Path("records.png"), help="the figure; default: records.png")
    arguments = parser.parse_args()
    if not (arguments.directories or arguments.kept):
        raise BadInput("SWEEP_DIR: none; name the directories of sweeps, or a table of runs with --kept")
    if not arguments.directories and not arguments.kept.exists():
        raise BadInput(f"--kept {arguments.kept}: no such file; name one that this script wrote, or sweeps as well")
    for path in (arguments.out, arguments.kept):
        if path and not path.parent.is_dir():
            raise BadInput(f"{path}: there is no folder {path.parent}; make it, or name another")
        if path and (reason := why_not_written(path)):
            raise BadInput(f"{path}: cannot be written ({reason}); name a file that can")
    for directory in arguments.directories:
        Sweep.read(directory)
    loading(f"{arguments.out}", "pandas and matplotlib")

    # Only now: what is wrong with the arguments is answered before what takes a while to import.
    from benchmarks import records
    from lenet.sweeps.plots import save

    runs = records.read(arguments.directories)
    if arguments.kept:
        runs = records.together(records.read_kept(arguments.kept), runs)
    if runs.empty:
        raise BadInput(f"--kept {arguments.kept}: there is no run in it; name the directories of sweeps as well")
    found = records.by_net(runs)
    print("\n\n".join(records.as_markdown(data, table) for data, table in found.items()))
    save(records.draw(found), arguments.out)
    if arguments.kept and arguments.directories:
        records.keep(runs, arguments.kept)


if __name__ == "__main__":
    cli.run(main)
