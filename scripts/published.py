"""The published curves beside those of sweep=lenet5_1998_figures: scripts/published.py SWEEP_DIR [--out DIR]."""

from pathlib import Path

from lenet import cli
from lenet.evaluation.checks import check_folder
from lenet.sweeps.design import Sweep
from lenet.system.terminal import loading


def main() -> None:
    parser = cli.Parser(description=__doc__)
    parser.add_argument("directory", type=Path, help="of the sweep, such as runs/lenet5_1998_figures; it may still run")
    parser.add_argument("--out", type=Path, help="where the figures go; default: the sweep's directory")
    arguments = parser.parse_args()

    Sweep.read(arguments.directory)  # what is wrong is answered before what follows, which takes a while to import
    out = arguments.out or arguments.directory
    check_folder(out)
    loading(f"{arguments.directory}", "pandas and matplotlib")
    from benchmarks import published
    from lenet.sweeps.plots import save

    found = published.curves(arguments.directory)
    out.mkdir(parents=True, exist_ok=True)
    print(published.at_the_end(found))
    if "60000" in found:
        print("\n" + published.pass_by_pass(found["60000"]))
        save(published.draw_passes(found["60000"]), out / "figure5.png")
    save(published.draw_sizes(found), out / "figure6.png")


if __name__ == "__main__":
    cli.run(main)
