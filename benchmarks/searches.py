"""Ways to search, compared on a table of runs that are there: what each has found after how many epochs.

    scripts/train.py sweep=search_table threads=1
    python -m benchmarks.searches runs/search_table --out docs/search

A repetition looks its trials up in the table, so that it costs nothing. It sees the runs of one seed. The best three
settings are then run again on a second seed, as the confirming round of a search does, and the best of those is judged
by the third. Give-ups cost the epochs until then; the confirming round costs the same whatever the way, and is not
counted. Repetition r searches with random numbers of its own and sees seed r, r + 1 ... in turn.
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
from tqdm import tqdm

from lenet.runs.directory import RunDirectory
from lenet.runs.files import write_atomically
from lenet.search.proposals import Past, proposals, should_give_up
from lenet.search.space import Choice, Number, Parameter, Space
from lenet.search.spec import Spec
from lenet.sweeps.design import Sweep
from lenet.sweeps.plots import save
from lenet.tables import as_markdown, mean_and_spread

Key = tuple[str, ...]  # a setting: the label of each parameter
CHANCE = 0.1  # of ten classes
TOP = 3  # settings that are confirmed


@dataclass(frozen=True)
class Table:
    """The validation accuracies after each epoch, of each setting and seed."""

    labels: dict[str, list[str]]
    baseline: Key
    curves: dict[tuple[Key, int], list[float]]
    seeds: list[int]

    @property
    def epochs(self) -> int:
        return max(map(len, self.curves.values()))

    def value(self, key: Key, seed: int) -> float | None:
        """The best epoch's accuracy; None where the loss was no number before the last epoch."""
        curve = self.curves[key, seed]
        return max(curve) if len(curve) == self.epochs else None

    def mean(self, key: Key, seeds: list[int]) -> float:
        """Over these seeds; one that diverged counts as a guess."""
        values = [self.value(key, seed) for seed in seeds]
        return float(np.mean([CHANCE if value is None else value for value in values]))

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
    curves, unfinished = {}, list[str]()
    for job in sweep.jobs:
        run = RunDirectory(directory / job.name)
        rows = run.read_metrics()
        unfinished += [job.name] * (not has_ended(run))
        curves[tuple(job.levels[name] for name in names), job.seed] = [row["val/acc"] for row in rows]
    numbers = {name: sorted(labels, key=float) if isinstance(_domain(labels), Number) else labels
               for name, labels in sweep.parameters.items()}  # fmt: skip
    if unfinished:
        raise SystemExit(f"{directory}: {unfinished[0]} has not ended; finish the sweep first")
    return Table(
        numbers, tuple(sweep.baseline[name] for name in names), curves, sorted({job.seed for job in sweep.jobs})
    )


def has_ended(run: RunDirectory) -> bool:
    """Whether it is as long as it was to be, or its loss was no number any more, which the same command gives again."""
    result = run.read_result() or {}
    message = (result.get("error") or {}).get("message") or ""
    return result.get("status") == "completed" or message.startswith("Diverged")


Step = tuple[int, Key, float | None]  # the epochs of a trial, its setting, and its value if it has come to its end
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
            for epoch in range(1, min(table.epochs, len(curve) + 1)):
                own = Past(setting.labels, "running", epochs={at: curve[at] for at in range(1, epoch + 1)})
                if should_give_up(space, spec, past, own, len(past), table.epochs):
                    past.append(Past(setting.labels, "pruned", None, own.epochs))
                    yield epoch, key, None
                    break
            else:
                value = table.value(key, seed)
                if value is None:
                    past.append(Past(setting.labels, "diverged"))
                else:
                    past.append(Past(setting.labels, "completed", (value,), curve))
                yield len(curve), key, value

    return run


def one_at_a_time(table: Table, repetition: int, seed: int) -> Iterator[Step]:
    """The baseline, then each other value alone, as sweep=exercises does it."""
    order = [table.baseline]
    for place, labels in enumerate(table.labels.values()):
        order += [(*table.baseline[:place], label, *table.baseline[place + 1 :])
                  for label in labels if label != table.baseline[place]]  # fmt: skip
    for key in order:
        yield len(table.curves[key, seed]), key, table.value(key, seed)


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
        end = table.value(key, seed)
        steps.append((len(table.curves[key, seed]), key, end))
        return float("nan") if end is None else end  # Optuna counts that as a failed trial

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


def found(table: Table, way: Way, repetition: int, budget: int, top: int = TOP) -> list[float]:
    """What would come of it if it ended after each epoch of the budget; nan before there is a setting."""
    first = repetition % len(table.seeds)
    seen, again, *others = [*table.seeds[first:], *table.seeds[:first]]
    values: dict[Key, float] = {}
    curve, result = [], float("nan")
    for epochs, key, value in way(table, repetition, seen):
        curve += [result] * epochs
        if value is not None:
            values[key] = value
            best = sorted(values, key=values.__getitem__, reverse=True)[:top]
            winner = max(best, key=lambda one: table.mean(one, [again])) if top > 1 else best[0]
            result = table.mean(winner, others)
        if len(curve) >= budget:
            break
    return [*curve, *[result] * budget][:budget]


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
    axes.set_ylabel("validation accuracy of what was found, on a fresh seed")
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
        (top, name): np.round(  # as they are written
            [found(table, way, number, arguments.budget, top) for number in range(arguments.repetitions)], 4
        )
        for top in (TOP, 1)
        for name, way in tqdm(WAYS.items(), "ways", disable=None)
    }
    best = max(table.mean(key, table.seeds) for key, _ in table.curves)
    arguments.out.mkdir(parents=True, exist_ok=True)
    confirmed = {name: curves for (top, name), curves in results.items() if top == TOP}
    save(draw(confirmed, float(best)), arguments.out / "searches.png")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["confirmed", "way", "repetition", *(f"after_{epoch}" for epoch in range(1, arguments.budget + 1))])
    for (top, name), curves in results.items():
        for number, curve in enumerate(curves):
            writer.writerow([top, name, number, *(f"{value:.4f}" for value in curve)])
    write_atomically(arguments.out / "searches.csv", text.getvalue().encode())
    at = [epoch for epoch in (30, 60, 120, 180) if epoch <= arguments.budget]
    for top in (TOP, 1):
        rows = []
        for name in WAYS:
            ends = [results[top, name][:, epoch - 1] for epoch in at]
            rows.append(
                [name, *(mean_and_spread(float(np.nanmean(end)), float(np.nanstd(end, ddof=1))) for end in ends)]
            )
        print(f"The best {top} run again:\n" if top > 1 else "\nThe best as the search has seen it:\n")
        print("\n".join(as_markdown(["way", *(f"{epoch} epochs" for epoch in at)], rows)))
    print(f"\nthe best of the table, over all its seeds: {best:.4f}; n = {arguments.repetitions} repetitions")


if __name__ == "__main__":
    main()
