"""What a search has found -> results.csv, report.md and plots. What is on disk counts, finished or not."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from matplotlib.figure import Figure

from lenet.errors import BadInput
from lenet.runs.files import write_atomically
from lenet.search import journal
from lenet.search.confirm import BASELINE, FOLDER, Confirmed, confirmed, is_whole, label_of, name_of, read_test, winner
from lenet.search.plots import draw_front, draw_history, draw_importances, draw_parallel, draw_slices
from lenet.search.proposals import Past, distribution
from lenet.search.space import ABSENT, Choice, Domain, Number, Parameter, Space
from lenet.search.spec import DIRECTIONS, OBJECTIVES, Spec
from lenet.search.trials import Search
from lenet.sweeps.design import SEARCH, Job, Sweep
from lenet.sweeps.plots import save
from lenet.sweeps.report import plain
from lenet.sweeps.results import as_csv, read_jobs
from lenet.tables import aligned, as_markdown, mean_and_spread
from lenet.text import counted, shortened

SHOWN = 10  # trials in the table
FEW = 30  # completed trials, below which importances are little more than noise
LEAST = 6  # below which there are none

NUMBERS = re.compile(
    r"(?P<log>tag\(log, )?(?P<kind>interval|range)\((?P<low>[^,]+),(?P<high>[^,)]+)(?:,(?P<step>[^)]+))?\)+"
)


def read(directory: Path) -> Search:
    """The search that was last started in a directory, as far as a report needs it.

    Raises:
        BadInput: there is none.
    """
    sweep = Sweep.read(directory, whole=False)
    if sweep.jobs:
        sweep = Sweep.read(directory)
    if sweep.design != SEARCH:
        raise BadInput(f"{directory}: a sweep and no search; scripts/report.py {directory} reports it")
    told = sweep.search.get("spec", {})
    space = Space(
        tuple(
            Parameter(
                name, _domain(sweep.search.get("space", {}).get(name, ""), [job.levels[name] for job in sweep.jobs])
            )
            for name in sweep.parameters
        )
    )
    objective, direction = (tuple(told.get(name, "").split(",")) for name in ("objective", "direction"))
    legal = set(objective) <= set(OBJECTIVES) and set(direction) <= set(DIRECTIONS)
    if not legal or len(objective) != len(direction):
        raise BadInput(
            f"{directory / 'sweep.json'}: not the list of a search's trials (its objective or direction is none of "
            "ours); remove it and start the search again, which finds the trials that are done"
        )
    spec = Spec(trials=len(sweep.jobs), objective=objective, direction=direction)
    return Search(directory, space, spec, sweep.baseline)


def _domain(words: str, labels: Sequence[str]) -> Domain:
    """The domain that was described so; where that does not go with what trials have, their labels."""
    seen = [*dict.fromkeys(label for label in labels if label != ABSENT)]
    given = words.removeprefix("choice(").removesuffix(")").split(",")
    seen.sort(key=lambda label: given.index(label) if label in given else len(given))
    found = NUMBERS.fullmatch(words)
    try:
        if not found:
            raise ValueError(words)
        low, high = float(found["low"]), float(found["high"])
        step = float(found["step"] or 1) if found["kind"] == "range" else None
        high -= step or 0
        whole = found["kind"] == "range" and all(re.fullmatch(r"-?\d+", label) for label in seen)
        number = Number(low, high, bool(found["log"]), step, whole)
        if math.isinf(low) or math.isinf(high):
            raise ValueError(words)
        distribution(number)
        for label in seen:
            number.value(label)
        return number
    except (ValueError, OverflowError, ZeroDivisionError):
        return Choice(tuple(seen))


def report(directory: Path, at_work: bool = False) -> str:
    """Write results.csv, report.md and its plots into the directory of a search.

    Args:
        at_work: whether the search goes on.

    Returns:
        What a person wants to see first.

    Raises:
        BadInput: there is no search, or no trial of it yet.
    """
    search = read(directory)
    sweep = search.read()
    if not sweep.jobs:
        raise BadInput(f"{directory}: no trial has begun yet; give the search's command")
    pasts = search.past(sweep)
    table = read_jobs(sweep, directory)
    write_atomically(directory / "results.csv", as_csv(table))
    found = confirmed(search)
    plots = _plots(search, sweep, pasts)
    for name, figure in plots.items():
        save(figure, directory / f"{name}.png")
    text = as_page(search, sweep, pasts, table, found, list(plots), at_work)
    write_atomically(directory / "report.md", text.encode())
    ranked = [sweep.jobs[number] for number in search.best(sweep, 3)]
    rows = [["trial", label_of(search.spec.objective[0])]]
    rows += [[shortened(job.name, 100), f"{_value(search, job):.4g}"] for job in ranked]
    head = headline(search, sweep, pasts, found)
    return "\n".join([*aligned(rows), *([head] if head else []), str(directory / "report.md")])


def _value(search: Search, job: Job) -> float:
    values = search.past_of(job).values
    assert values
    return values[0]


def headline(search: Search, sweep: Sweep, pasts: Sequence[Past], found: Mapping[str, Confirmed]) -> str:
    """What was confirmed, in a sentence or two; nothing where nothing was."""
    won = winner(found, search.spec.direction[0])
    if not won or not is_whole(search.directory):
        return ""
    metric = label_of(search.spec.objective[0])
    one, base = found[won], found.get(BASELINE)
    text = f"{metric} {mean_and_spread(one.mean, one.sd)} ({_between(one.interval())}n = {len(one.values)})"
    if won == BASELINE:
        return f"confirmed: nothing that was found is better than the baseline, {text}"
    number = next(number for number in range(len(sweep.jobs)) if name_of(number) == won)
    values, among = pasts[number].values, len(found) - 1
    against = ""
    if base:
        low, high = one.interval(base, among)
        sign = 1 if search.spec.direction[0] == "maximize" else -1
        is_better = (low if sign > 0 else -high) > 0
        verdict = "better" if is_better else "which cannot be told from chance"
        difference = np.mean([value - base.values[key] for key, value in one.values.items() if key in base.values])
        against = (
            f"; the baseline has {mean_and_spread(base.mean, base.sd)}, a difference of "
            f"{difference:+.4f} ({_between((low, high), '+.4f')}paired): {verdict}"
        )
    own = f"; the search itself had seen {values[0]:.4f}, once" if values else ""
    tested = read_test(search.directory)
    test = ""
    if tested and tested["setting"] == won:
        figures = pd.Series(list(tested["test/acc"].values()), dtype=float)
        looks = "" if tested["looks"] == 1 else f", the search's look number {tested['looks']} at the test set"
        test = f"; test accuracy {mean_and_spread(figures.mean(), figures.std())} (n = {len(figures)}{looks})"
    return f"confirmed: {won} has {text}{own}{against}{test}"


def as_page(
    search: Search,
    sweep: Sweep,
    pasts: Sequence[Past],
    table: pd.DataFrame,
    found: Mapping[str, Confirmed],
    plots: Sequence[str],
    at_work: bool,
) -> str:
    """report.md."""
    metric = label_of(search.spec.objective[0])
    counts = ", ".join(f"{count} {name}" for name, count in table.state.value_counts().items())
    running = " (the search is at work)" if at_work else ""
    told = ", ".join(f"{name} {value}" for name, value in sweep.search.get("spec", {}).items() if value != "None")
    lines = [f"# {plain(search.directory.resolve().name)}", "", f"{counted(len(pasts), 'trial')}: {counts}{running}."]
    lines += [f"Searched by {plain(told)}; results.csv has a row per trial.", ""]
    if head := headline(search, sweep, pasts, found):
        lines += [f"**{plain(head[0].upper() + head[1:])}.**", ""]
    lines += _confirmed(search, found)
    lines += _best(search, sweep)
    lines += _given_up(sweep, pasts)
    titles = {
        "history": ("History", "The objective of each trial. The best of many is too good: see what was confirmed."),
        "front": ("Front", "No trial is better in every objective than one of the front."),
        "importances": ("Importance", _warning(pasts)),
        "slices": ("Parameters", f"{metric.capitalize()} against each parameter; later trials are darker."),
        "parallel": ("Settings", "A line for each completed trial."),
    }
    for name in plots:
        title, words = titles[name]
        lines += [f"## {title}", "", words, "", f"![{name}]({name}.png)", ""]
    lines += [
        "## With Optuna's own tools",
        "",
        f"`{journal.JOURNAL}` has the same trials: `uvx optuna-dashboard {search.directory.name}/{journal.JOURNAL}`.",
        "",
    ]
    return "\n".join(lines)


def _between(ends: tuple[float, float], digits: str = ".4f") -> str:
    """A confidence interval and a comma; nothing where one seed has none."""
    return "" if math.isnan(ends[0]) else f"95 % {ends[0]:{digits}} to {ends[1]:{digits}}, "


def _confirmed(search: Search, found: Mapping[str, Confirmed]) -> list[str]:
    if not found or not is_whole(search.directory):
        return ["Nothing is confirmed yet: the values below are too good, as they are the best of many.", ""]
    base, sign = found.get(BASELINE), 1 if search.spec.direction[0] == "maximize" else -1
    rows = []
    for one in sorted(found.values(), key=lambda each: -sign * each.mean):
        low, high = one.interval(base, len(found) - 1) if base and one.setting != BASELINE else one.interval(one)
        against = "" if one.setting == BASELINE else _between((low, high), "+.4f").removeprefix("95 % ").rstrip(", ")
        rows.append([one.setting, str(len(one.values)), mean_and_spread(one.mean, one.sd), against])
    header = ["setting", "n", label_of(search.spec.objective[0]), "95 % interval of the difference to the baseline"]
    return [
        "## Confirmed",
        "",
        "On seeds that the search has not used, on its split and on another one: mean ± standard deviation of n runs. "
        "The difference is paired by seed and split; runs of one seed count as one. The interval is wide enough for "
        f"all {len(found) - 1} together (Bonferroni). All runs: {FOLDER}/report.md. The test set was shown to the best "
        "one alone.",
        "",
        *as_markdown(header, [[plain(cell) for cell in row] for row in rows]),
        "",
    ]


def _best(search: Search, sweep: Sweep) -> list[str]:
    several = len(search.spec.objective) > 1
    best = search.best(sweep, SHOWN)
    if not best:
        return ["No trial is completed yet.", ""]
    rows = []
    for number in best:
        job, past = sweep.jobs[number], search.past_of(sweep.jobs[number])
        values = [f"{value:.4f}" if isinstance(value, float) else f"{value:,}" for value in past.values or ()]
        words = " ".join(f"{name}={label}" for name, label in past.labels.items())
        rows.append([f"{number:03}", *values, f"{job.parameters:,}", f"{job.macs:,}", plain(words)])
    names = [label_of(name) for name in search.spec.objective]
    title = "On the front" if several else "Best trials"
    return [
        f"## {title}",
        "",
        "As the search has seen them, once each.",
        "",
        *as_markdown(["trial", *names, "parameters of the net", "MACs", "setting"], rows),
        "",
    ]


def _given_up(sweep: Sweep, pasts: Sequence[Past]) -> list[str]:
    pruned = [(job, past) for job, past in zip(sweep.jobs, pasts, strict=True) if past.state == "pruned"]
    if not pruned:
        return []
    done = sum(max(past.epochs, default=0) for past in pasts)
    saved = sum(job.epochs - max(past.epochs, default=0) for job, past in pruned)
    return [
        f"{counted(len(pruned), 'trial')} of {len(pasts)} were given up early, which saved {saved} of "
        f"{counted(done + saved, 'epoch')}.",
        "",
    ]


def _warning(pasts: Sequence[Past]) -> str:
    done = sum(past.state == "completed" for past in pasts)
    few = f" **Of {done} completed trials: too few to rely on; take {FEW} or more.**" if done < FEW else ""
    return f"How much each parameter tells the best trials from the rest (PED-ANOVA, Watanabe et al. 2023).{few}"


def _plots(search: Search, sweep: Sweep, pasts: Sequence[Past]) -> dict[str, Figure]:
    spec = search.spec
    name, sign = label_of(spec.objective[0]), 1 if spec.direction[0] == "maximize" else -1
    values = [
        past.values[0] if past.values else past.epochs[max(past.epochs)] if past.epochs else None for past in pasts
    ]
    best, top = [], None
    for past in pasts:
        if past.values and (top is None or sign * past.values[0] > sign * top):
            top = past.values[0]
        best.append(float("nan") if top is None else top)
    done = [(number, past) for number, past in enumerate(pasts) if past.state == "completed" and past.values]
    if not done:
        return {}
    plots: dict[str, Figure] = {"history": draw_history(values, [past.state for past in pasts], best, name)}
    labels, firsts = [past.labels for _, past in done], [past.values[0] for _, past in done if past.values]
    domains = search.space.domains()
    if len(spec.objective) > 1:
        front = set(search.best(sweep, len(pasts)))
        every = [past.values for _, past in done if past.values]
        plots["front"] = draw_front(
            every, [number in front for number, _ in done], spec.objective, [number for number, _ in done]
        )
    elif importances := _importances(search, sweep, len(done)):
        plots["importances"] = draw_importances(importances)
    plots["slices"] = draw_slices(domains, labels, firsts, name)
    if len(done) > 1:
        plots["parallel"] = draw_parallel(domains, labels, firsts, name, sign)
    return plots


def _importances(search: Search, sweep: Sweep, done: int) -> dict[str, float]:
    """Of each parameter that all trials have; none where there are too few trials to say anything."""
    if done < LEAST:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(evaluate_on_local=False)
    study = journal.study(search, sweep)
    each = [trial.params for trial in study.get_trials(deepcopy=False)]
    everywhere = [name for name in search.space.domains() if all(name in params for params in each)]
    varied = [name for name in everywhere if len({params[name] for params in each}) > 1]
    try:
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=varied)
    except (ValueError, RuntimeError):  # all trials are as good
        return {}
    return {name: value for name, value in found.items() if value == value}
