"""How good a small net can be: sweeps over nets and seeds beside the best figures of others -> a table and a figure.

Nothing here imports torch.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from lenet.config import choices
from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory
from lenet.runs.files import write_atomically
from lenet.runs.safe_io import read_bytes
from lenet.sweeps.design import Sweep
from lenet.sweeps.results import read_jobs
from lenet.tables import as_markdown as markdown
from lenet.tables import mean_and_spread
from lenet.text import first_line, one_line


@dataclass(frozen=True)
class Record:
    """A test accuracy that somebody else reports."""

    name: str
    accuracy: float  # percent
    parameters: int | None = None  # None: not told
    source: str | None = None  # None: a figure that is passed on without one


LENET = 61_706  # parameters of the book's net

TABLE = "https://github.com/zalandoresearch/fashion-mnist#benchmark"  # as submitted, not checked by those who keep it

# Of each data set, what others report, most of it of one run and some of the epoch that did best on the test set;
# cmasch's 93.43 is the mean of five whose epoch was chosen on validation images.
RECORDS: Mapping[str, tuple[Record, ...]] = {
    "fashion_mnist": (
        Record("Abel G.", 92.2, 113_000, TABLE),
        Record("cmasch, mean of 5", 93.43, 493_772, "https://github.com/cmasch/zalando-fashion-mnist"),
        Record("Xfan1025", 93.2, 1_800_000, TABLE),
        Record("a CNN with random erasing", 94.7),
        Record("DenseNet-BC", 95.4, 768_000, TABLE),
    ),
    "mnist": (
        Record("era-s7-ram", 99.5, 8_900, "https://github.com/The-School-of-AI/era-s7-ram"),
        Record("shishir13", 99.43, 15_578, "https://github.com/shishir13/Personal_Projects/blob/main/MNIST_99.4"),
        Record("Abel G.", 99.3, 113_000, TABLE),
        Record("cmasch", 99.43, 493_772, "https://github.com/cmasch/zalando-fashion-mnist"),
        Record("a vote of three nets", 99.87, None, "https://github.com/ansh941/MnistSimpleCNN"),
    ),
}
OURS, OTHERS = "tab:blue", "0.35"


COLUMNS = {  # of a run
    "data": str,
    "net": str,
    "sweep": str,
    "seed": int,
    "parameters": int,
    "percent": float,  # of the test images that it got right
    "epochs": int,
    "seconds": float,  # NaN: not known
}


def read(directories: Sequence[Path]) -> pd.DataFrame:
    """What finished or running sweeps over nets and seeds say: a row per run that has been tested, of `COLUMNS`.

    A net is called after what its sweep varies; or, if that is seeds alone, after the sweep.

    Raises:
        BadInput: there is no sweep, or none of its runs is tested yet.
    """
    names = [directory.resolve().name for directory in directories]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadInput(f"{twice[0]}: two directories have this name, by which a sweep is known here; name one of them")
    tables = [pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})]
    for directory in directories:
        jobs = read_jobs(Sweep.read(directory), directory)
        varies = jobs.setting.nunique() > 1
        jobs = jobs[(jobs.state == "completed") & jobs["test/acc"].notna()]
        if jobs.empty:
            raise BadInput(f"{directory}: no run of this sweep has been tested yet; wait for one")
        configs = [RunDirectory(directory / job).read_config() for job in jobs.job]
        nets = jobs.setting if varies else directory.resolve().name
        data = [config.data.name for config in configs]
        percent = (100 * jobs["test/acc"]).round(4)
        jobs = jobs.assign(sweep=directory.resolve().name, net=nets, data=data, percent=percent)
        tables.append(jobs[list(COLUMNS)])
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)


def read_kept(path: Path) -> pd.DataFrame:
    """The runs in a file that `keep` wrote; none if there is no file.

    Raises:
        BadInput: it is another file.
    """
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return read([])
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); name another") from error
    try:
        whole = dict.fromkeys(("seed", "parameters", "epochs"), "int64")
        text = pd.read_csv(io.BytesIO(content), dtype=whole, keep_default_na=False, na_values={"seconds": [""]})
        runs = text.astype(COLUMNS)[list(COLUMNS)]
    except (ValueError, KeyError, OverflowError) as error:
        raise BadInput(
            f"{path}: no table of runs ({first_line(str(error))}); name a file that this script wrote, or a new one"
        ) from error
    if unknown := sorted(set(runs.data) - set(choices()["data.name"])):
        raise BadInput(f"{path}: data={one_line(unknown[0])}; the data sets are {', '.join(choices()['data.name'])}")
    if not (runs.parameters.gt(0).all() and runs.percent.between(0, 100).all()):
        raise BadInput(
            f"{path}: parameters have to be more than 0, and percent from 0 to 100; mend it, or name another"
        )
    return runs.assign(net=runs.net.map(one_line), sweep=runs["sweep"].map(one_line))


def together(kept: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Both, where a sweep that is in both counts as it is in `runs`: all of it, as its recipe may be another."""
    anew = set(zip(runs.data, runs["sweep"], strict=True))
    old = kept[[pair not in anew for pair in zip(kept.data, kept["sweep"], strict=True)]]
    return pd.concat([old, runs] if len(old) else [runs], ignore_index=True)


def keep(runs: pd.DataFrame, path: Path) -> None:
    """Write them down, so that the figure can be drawn where the run directories are not."""
    write_atomically(path, runs.to_csv(index=False).encode())


def by_net(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The figures of runs over their seeds.

    Returns:
        For each data set a row per net, the smallest first: parameters, n, mean and sd of the test accuracy in percent,
        seeds (each one's, as text), epochs, and the median of the seconds.
    """
    return {str(data): _by_net(jobs) for data, jobs in runs.groupby("data", sort=False)}


def _by_net(jobs: pd.DataFrame) -> pd.DataFrame:
    several = jobs.groupby("net")["sweep"].nunique() > 1
    clash = jobs.net.map(several)
    jobs = jobs.sort_values("seed", kind="stable")
    jobs = jobs.assign(net=jobs.net.where(~clash, jobs["sweep"] + ": " + jobs.net))
    table = jobs.groupby("net", sort=False).agg(
        parameters=("parameters", "first"),
        n=("percent", "size"),
        mean=("percent", "mean"),
        sd=("percent", "std"),
        seeds=("percent", lambda values: " ".join(f"{value:.2f}" for value in values)),
        epochs=("epochs", "first"),
        seconds=("seconds", "median"),
    )
    return table.sort_values("parameters", kind="stable")


def as_markdown(data: str, table: pd.DataFrame) -> str:
    """Ours and theirs, as a table of Markdown, the smallest net first."""
    header = [f"{data}: net", "parameters", "test accuracy, %", "seeds", "epochs", "seconds of a run"]
    rows = [
        (
            row["parameters"],
            [
                f"**{name}**",
                f"{row['parameters']:,}",
                f"**{with_spread(row)}**",
                row["seeds"],
                str(row["epochs"]),
                "" if pd.isna(row["seconds"]) else format(row["seconds"], ",.0f"),
            ],
        )
        for name, row in table.iterrows()
    ]
    rows += [
        (record.parameters or 10**9, [_cited(record), _count(record), f"{record.accuracy:g}", "", "", ""])
        for record in RECORDS.get(data, [])
    ]
    return "\n".join(markdown(header, (cells for _, cells in sorted(rows, key=lambda row: row[0]))))


def with_spread(row: pd.Series) -> str:
    """Mean ± standard deviation; with one seed the figure alone."""
    return mean_and_spread(row["mean"], row["sd"] if row["n"] > 1 else None, 2)


def _cited(record: Record) -> str:
    return f"[{record.name}]({record.source})" if record.source else f"{record.name} (source not known)"


def _count(record: Record) -> str:
    return f"{record.parameters:,}" if record.parameters else "not told"


def draw(found: Mapping[str, pd.DataFrame]) -> Figure:
    """Test accuracy against parameters, a panel for each data set; bars are standard deviations over seeds."""
    figure = Figure(figsize=(6.2 * len(found), 4.8), layout="constrained")
    for axes, (data, table) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        axes.errorbar(
            table.parameters, table["mean"], yerr=table.sd.fillna(0), fmt="o-", color=OURS, capsize=3, label="ours"
        )
        for _, row in table.iterrows():
            at = (row["parameters"], row["mean"])
            axes.annotate(
                with_spread(row), at, (-6, 5), textcoords="offset points", ha="right", color=OURS, fontsize="small"
            )
        known = [record for record in RECORDS.get(data, []) if record.parameters]
        axes.plot([r.parameters for r in known], [r.accuracy for r in known], "D", color=OTHERS, label="others")
        for record in known:
            words, at = f"{record.name}: {record.accuracy:g}", (record.parameters or 0, record.accuracy)
            right = at[0] > 3 * LENET
            axes.annotate(
                words, at, (0, 8), textcoords="offset points", ha="right" if right else "left", color=OTHERS,
                fontsize="small",
            )  # fmt: skip
        for record in RECORDS.get(data, []):
            if not record.parameters:
                axes.axhline(record.accuracy, color=OTHERS, linestyle=":", linewidth=1)
                words = f"{record.name}, size not told: {record.accuracy:g}"
                axes.annotate(
                    words, (0.01, record.accuracy), (0, -11), xycoords=("axes fraction", "data"),
                    textcoords="offset points", color=OTHERS, fontsize="small",
                )  # fmt: skip
        axes.axvline(LENET, color=OTHERS, linewidth=0.8, linestyle="--")
        axes.annotate(
            " LeNet's own size", (LENET, 0.01), xycoords=("data", "axes fraction"), color=OTHERS, fontsize="small"
        )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.25)
        axes.margins(y=0.12)
        axes.set_title(data)
        axes.set_xlabel("parameters")
        axes.set_ylabel("test accuracy, %")
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure
