"""Ways to search, compared on a table of runs that are there: what each has found after how many epochs.

    scripts/train.py sweep=search_table threads=1
    python -m benchmarks.searches runs/search_table --out docs/search

A repetition looks its trials up in the table, so that it costs nothing. It sees the runs of one seed. What it has found
is judged by the runs of the other seeds, as the confirming round of a search does. Give-ups cost the epochs until then.
Repetition r searches with random numbers of its own and sees seed r, r + 1 ... in turn.
"""

import argparse
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from matplotlib.figure import Figure

from lenet.runs.directory import RunDirectory
from lenet.runs.files import write_atomically
from lenet.search.proposals import Past, proposals, should_give_up
from lenet.search.space import Choice, Number, Parameter, Space
from lenet.search.spec import Spec
from lenet.sweeps.design import Sweep
from lenet.sweeps.plots import save
from lenet.tables import as_markdown, mean_and_spread

Key = tuple[str, ...]  # a setting: the label of each parameter


@dataclass(frozen=True)
class Table:
    """The validation accuracies after each epoch, of each setting and seed."""

    labels: dict[str, list[str]]
    baseline: Key
    curves: dict[tuple[Key, int], list[float]]
    seeds: list[int]

    @property
    def epochs(self) -> int:
        return len(next(iter(self.curves.values())))

    def confirmed(self, key: Key, seen: int) -> float:
        """Mean over the seeds that the search has not seen of the best epoch's accuracy."""
        return float(np.mean([max(self.curves[key, seed]) for seed in self.seeds if seed != seen]))

    def space(self) -> Space:
        """Numbers are drawn by their place in the list, in order; all else is a choice."""
        return Space(tuple(Parameter(name, _domain(labels), name) for name, labels in self.labels.items()))

    def key(self, drawn: dict[str, str]) -> Key:
        return tuple(
            labels[int(drawn[name])] if isinstance(_domain(labels), Number) else drawn[name]
            for name, labels in self.labels.items()
        )


def _domain(labels: list[str]) -> Number | Choice:
    try:
        for label in labels:
            float(label)
    except ValueError:
        return Choice(tuple(labels))
    return Number(0, len(labels) - 1, step=1, whole=True)


def read(directory: Path) -> Table:
    sweep = Sweep.read(directory)
    names = list(sweep.parameters)
    curves = {}
    for job in sweep.jobs:
        rows = RunDirectory(directory / job.name).read_metrics()
        curves[tuple(job.levels[name] for name in names), job.seed] = [row["val/acc"] for row in rows]
    numbers = {name: sorted(labels, key=float) if isinstance(_domain(labels), Number) else labels
               for name, labels in sweep.parameters.items()}  # fmt: skip
    lengths = {len(curve) for curve in curves.values()}
    if len(lengths) > 1:
        raise SystemExit(f"{directory}: runs of {sorted(lengths)} epochs; finish the sweep first")
    return Table(
        numbers, tuple(sweep.baseline[name] for name in names), curves, sorted({job.seed for job in sweep.jobs})
    )


Step = tuple[int, Key, float | None]  # the epochs of a trial, its setting, and its value if it was not given up
Way = Callable[[Table, int, int], Iterator[Step]]


def by_search(sampler: str, pruner: str = "none") -> Way:
    """design: search, as it runs one trial at a time."""

    def run(table: Table, repetition: int, seed: int) -> Iterator[Step]:
        space, spec = table.space(), Spec(sampler=sampler, pruner=pruner, seed=repetition)
        past: list[Past] = []
        known: set[Key] = set()
        while len(known) < len(table.curves) // len(table.seeds):
            fresh = (one for one in proposals(space, spec, past, len(past)) if table.key(one.labels) not in known)
            if (setting := next(fresh, None)) is None:
                return
            key = table.key(setting.labels)
            known.add(key)
            curve = dict(enumerate(table.curves[key, seed], 1))
            for epoch in range(1, table.epochs):
                own = Past(setting.labels, "running", epochs={at: curve[at] for at in range(1, epoch + 1)})
                if should_give_up(space, spec, past, own, len(past), table.epochs):
                    past.append(Past(setting.labels, "pruned", None, own.epochs))
                    yield epoch, key, None
                    break
            else:
                value = max(curve.values())
                past.append(Past(setting.labels, "completed", (value,), curve))
                yield table.epochs, key, value

    return run


def one_at_a_time(table: Table, repetition: int, seed: int) -> Iterator[Step]:
    """The baseline, then each other value alone, as sweep=exercises does it."""
    order = [table.baseline]
    for place, labels in enumerate(table.labels.values()):
        order += [(*table.baseline[:place], label, *table.baseline[place + 1 :])
                  for label in labels if label != table.baseline[place]]  # fmt: skip
    for key in order:
        yield table.epochs, key, max(table.curves[key, seed])


def by_hand(table: Table, repetition: int, seed: int) -> Iterator[Step]:
    """Optuna as its own PyTorch example has it: study.optimize, its default sampler, its median pruner."""
    steps: list[Step] = []

    def objective(trial: optuna.Trial) -> float:
        drawn = {}
        for name, labels in table.labels.items():
            domain = _domain(labels)
            if isinstance(domain, Number):
                drawn[name] = str(trial.suggest_int(name, 0, int(domain.high)))
            else:
                drawn[name] = trial.suggest_categorical(name, domain.labels)
        key = table.key(drawn)
        for epoch, value in enumerate(table.curves[key, seed], 1):
            trial.report(value, epoch)
            if trial.should_prune():
                steps.append((epoch, key, None))
                raise optuna.TrialPruned
        steps.append((table.epochs, key, max(table.curves[key, seed])))
        return max(table.curves[key, seed])

    sampler = optuna.samplers.TPESampler(seed=repetition)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=optuna.pruners.MedianPruner())
    while True:
        study.optimize(objective, n_trials=1)
        yield steps[-1]


WAYS: dict[str, Way] = {
    "search: tpe, hyperband": by_search("tpe", "hyperband"),
    "search: tpe, median": by_search("tpe", "median"),
    "search: tpe": by_search("tpe"),
    "search: random": by_search("random"),
    "optuna by hand": by_hand,
    "one at a time": one_at_a_time,
}


def found(table: Table, way: Way, repetition: int, budget: int) -> list[float]:
    """The confirmed accuracy of the best setting so far, after each epoch of the budget; nan before there is one."""
    seed = table.seeds[repetition % len(table.seeds)]
    curve, best, incumbent = [], -1.0, float("nan")
    for epochs, key, value in way(table, repetition, seed):
        curve += [incumbent] * epochs
        if value is not None and value > best:
            best, incumbent = value, table.confirmed(key, seed)
        if len(curve) >= budget:
            break
    return [*curve, *[incumbent] * budget][:budget]


def draw(results: dict[str, np.ndarray], best: float) -> Figure:
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    for place, (name, curves) in enumerate(results.items()):
        has = np.isfinite(curves).all(axis=0)  # from where every repetition has found something
        epochs, curves = np.arange(1, curves.shape[1] + 1)[has], curves[:, has]
        mean, sd = curves.mean(axis=0), curves.std(axis=0, ddof=1)
        axes.plot(epochs, mean, label=name, color=f"C{place}")
        axes.fill_between(epochs, mean - sd, mean + sd, color=f"C{place}", alpha=0.12, linewidth=0)
    axes.axhline(best, color="0.4", linestyle=":", label="best of the table")
    axes.set_xlabel("epochs spent")
    axes.set_ylabel("confirmed validation accuracy of what was found")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="of sweep=search_table")
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--budget", type=int, default=180, help="epochs")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of searches.png and searches.csv")
    arguments = parser.parse_args()
    table = read(arguments.directory)
    results = {
        name: np.array([found(table, way, number, arguments.budget) for number in range(arguments.repetitions)])
        for name, way in WAYS.items()
    }
    best = max(np.mean([max(table.curves[key, seed]) for seed in table.seeds]) for key, _ in table.curves)
    arguments.out.mkdir(parents=True, exist_ok=True)
    save(draw(results, float(best)), arguments.out / "searches.png")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["way", "repetition", *(f"after_{epoch}" for epoch in range(1, arguments.budget + 1))])
    for name, curves in results.items():
        writer.writerows([name, number, *(f"{value:.4f}" for value in curve)] for number, curve in enumerate(curves))
    write_atomically(arguments.out / "searches.csv", text.getvalue().encode())
    at = [epoch for epoch in (30, 60, 120, 180) if epoch <= arguments.budget]
    rows = []
    for name, curves in results.items():
        ends = [curves[:, epoch - 1] for epoch in at]
        rows.append([name, *(mean_and_spread(float(np.nanmean(end)), float(np.nanstd(end, ddof=1))) for end in ends)])
    print("\n".join(as_markdown(["way", *(f"{epoch} epochs" for epoch in at)], rows)))
    print(f"the best of the table, over all its seeds: {best:.4f}; n = {arguments.repetitions} repetitions")


if __name__ == "__main__":
    main()
