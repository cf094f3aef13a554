"""How fast is it here? Ours and what other people write take turns, each in a process of its own.

scripts/benchmark.py [PART ...] [--quick] [--rounds N] [--only ROW ...] [--device cuda] [--json FILE]

Without a part it is `epochs`, about five minutes on two cores; `all` takes an hour. `--quick` makes epochs and growth
of 12,000 images instead of 60,000: `epochs` in under three minutes. Speedrun and start take ten rounds at least, jobs
always twelve. The machine's speed drifts, so only the ratios between rows of one table mean something:
medians over the rounds of each row's time through the last one's. The first turn of each row warms up and is not
counted; memory is the peak of its largest process.
"""

import argparse
import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.speed.parts import ALL_IMAGES, PARTS, QUICK_IMAGES, Settings
from benchmarks.speed.tables import compiling, figures, machine, markdown, processor, together
from benchmarks.speed.turns import measure
from lenet import cli
from lenet.config import Data
from lenet.data import download
from lenet.errors import BadInput
from lenet.runs.files import write_atomically


def main() -> None:
    parser = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*PARTS, "all"]
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help=f"epochs of {QUICK_IMAGES:,} images")
    parser.add_argument(
        "--rounds", type=cli.positive, default=5, help="turns of each row that count, at least (default 5)"
    )
    parser.add_argument("--only", nargs="+", metavar="ROW", help="these rows, and ours")
    parser.add_argument("--threads", type=cli.positive, default=os.cpu_count(), help="of an operation (default: cores)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if sys.platform == "win32":
        raise BadInput("the benchmark measures groups of processes, which Windows has not; take Linux or macOS")
    if unknown := [name for name in arguments.parts if name not in names]:
        raise BadInput(f"{unknown[0]}: no part of the benchmark; choose from {', '.join(names)}")
    root = str(Path(Data().root).resolve())
    settings = Settings(root, arguments.threads, arguments.device, arguments.rounds,
                        QUICK_IMAGES if arguments.quick else ALL_IMAGES)  # fmt: skip
    parts = list(PARTS) if "all" in arguments.parts else arguments.parts or ["epochs"]
    tables = [table for name in parts for table in PARTS[name](settings)]
    known = {name for table in tables for name in table.rows}
    if strange := [name for name in arguments.only or [] if name not in known]:
        raise BadInput(f"--only {strange[0]}: no such row; choose from {', '.join(sorted(known))}")
    if arguments.json and not arguments.json.parent.is_dir():
        raise BadInput(f"--json {arguments.json}: there is no folder {arguments.json.parent}; make it, or name another")
    described = machine(arguments.threads, arguments.device)
    os.environ["LENET_DATA"] = root
    for data in ("fashion_mnist", "mnist"):
        download.fetch(data, Path(root))

    found: dict[str, Any] = {
        "date": str(date.today()),
        "machine": described,
        "command": " ".join(["scripts/benchmark.py", *sys.argv[1:]]),
        "tables": {},
    }
    print(f"{found['date']}, {found['machine']}")
    for table in tables:
        rows = figures(measure(table.only(arguments.only), table.rounds))
        found["tables"][table.title] = rows
        notes = [compiling(rows), together(rows) if table.compared else None, processor(table, rows)]
        said = [note for note in notes if note]
        print(f"\n{table.title} (n = {table.rounds})", markdown(table, rows), *said, sep="\n\n", flush=True)
        if arguments.json:
            write_atomically(arguments.json, (json.dumps(found, indent=2) + "\n").encode())


if __name__ == "__main__":
    cli.run(main)
