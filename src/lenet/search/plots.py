"""The plots of a search's report: how it went, what each parameter does, the front of several objectives."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from lenet.search.space import ABSENT, Choice, Domain, Number
from lenet.sweeps.plots import BLUE, COSTS, GREEN, GREY, RED
from lenet.text import shortened

MOST_PANELS = 16
MOST_TICKS = 12  # of a choice
ACROSS = 4  # panels in a row

Point = Mapping[str, object]


def draw_history(values: Sequence[float | None], states: Sequence[str], best: Sequence[float], name: str) -> Figure:
    """The objective of each trial in their order, and the best so far.

    Args:
        values: of each trial; of one that was given up, after its last epoch.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    kinds = (("completed", BLUE, "o", "completed"), ("pruned", GREY, "x", "given up early"))
    for state, colour, marker, words in kinds:
        at = [number for number, (value, one) in enumerate(zip(values, states, strict=True))
              if one == state and value is not None]  # fmt: skip
        if at:
            heights = [value for number in at if (value := values[number]) is not None]
            axes.plot(at, heights, marker, color=colour, label=words, markersize=5)
    axes.plot(range(len(best)), best, color=GREEN, drawstyle="steps-post", label="best so far")
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(name)
    _without_outliers(axes, [value for value, one in zip(values, states, strict=True)
                             if value is not None and one == "completed"])  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return figure


def draw_slices(
    domains: Mapping[str, Domain], labels: Sequence[Mapping[str, str]], values: Sequence[float], name: str
) -> Figure:
    """The objective against each parameter, a panel for each; later trials are darker."""
    shown = list(domains.items())[:MOST_PANELS]
    rows = -(-len(shown) // ACROSS)
    across = min(ACROSS, len(shown))
    figure = Figure(figsize=(3 * across, 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, across, squeeze=False).flatten()
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    order = np.arange(len(values))
    for axes, (parameter, domain) in zip(panels, shown, strict=False):
        has = [number for number, one in enumerate(labels) if one.get(parameter, ABSENT) != ABSENT]
        places = [_place(domain, labels[number][parameter]) for number in has]
        heights = [values[number] for number in has]
        axes.scatter(places, heights, c=order[has], cmap="Blues", s=18, vmin=-len(values) / 2,
                     edgecolors="0.4", linewidths=0.4)  # fmt: skip
        _scale(axes, domain)
        _without_outliers(axes, values)
        axes.set_xlabel(shortened(parameter, 30))
        axes.grid(alpha=0.3)
    for axes in panels[::across]:
        axes.set_ylabel(name)
    return figure


def draw_parallel(
    domains: Mapping[str, Domain], labels: Sequence[Mapping[str, str]], values: Sequence[float], name: str, sign: int
) -> Figure:
    """A line for each completed trial through all its parameters; the best are green and on top."""
    shown = list(domains.items())[:MOST_PANELS]
    figure = Figure(figsize=(1.6 * len(shown) + 2, 4.2), layout="constrained")
    axes = figure.subplots()
    ranks = np.argsort(np.argsort([sign * value for value in values])) / max(1, len(values) - 1)
    for number in np.argsort(ranks):
        heights = [_height(domain, labels[number].get(parameter, ABSENT)) for parameter, domain in shown]
        is_top = ranks[number] >= 0.9
        axes.plot([*range(len(shown)), len(shown)], [*heights, ranks[number]], color=GREEN if is_top else GREY,
                  alpha=0.9 if is_top else 0.35, linewidth=1.6 if is_top else 0.8)  # fmt: skip
    for place, (_, domain) in enumerate(shown):
        ticks = (
            domain.labels[:MOST_TICKS]
            if isinstance(domain, Choice)
            else [domain.label(domain.low), domain.label(domain.high)]
        )
        for tick in ticks:
            axes.annotate(shortened(tick, 14), (place, _height(domain, tick)), fontsize=7, ha="left",
                          xytext=(3, 0), textcoords="offset points")  # fmt: skip
    axes.set_xticks([*range(len(shown)), len(shown)], [*(shortened(one, 16) for one, _ in shown), "rank"], rotation=20)
    axes.set_yticks([])
    axes.set_title(f"completed trials; green: the best tenth by {name}", fontsize="medium")
    axes.grid(axis="x", alpha=0.5)
    return figure


def draw_importances(importances: Mapping[str, float]) -> Figure:
    """The share of each parameter in what made trials good, the largest on top."""
    ordered = sorted(importances.items(), key=lambda pair: pair[1])[-MOST_PANELS:]
    figure = Figure(figsize=(7, 0.9 + 0.3 * len(ordered)), layout="constrained")
    axes = figure.subplots()
    axes.barh([shortened(name, 30) for name, _ in ordered], [value for _, value in ordered], color=BLUE)
    axes.set_xlabel("importance (PED-ANOVA); all together 1")
    axes.grid(axis="x", alpha=0.3)
    return figure


def draw_front(
    values: Sequence[Sequence[float]], on_front: Sequence[bool], names: Sequence[str], numbers: Sequence[int]
) -> Figure:
    """The first two objectives of each completed trial; a line joins those that no other one is better than in all."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    points = [(value[1], value[0]) for value in values]
    axes.plot(*zip(*points, strict=True), "o", color=GREY, markersize=4, label="trial")
    front = sorted((*point, number) for point, is_on, number in zip(points, on_front, numbers, strict=True) if is_on)
    axes.plot([one[0] for one in front], [one[1] for one in front], "o-", color=RED, markersize=5, label="front")
    for x, y, number in front:
        axes.annotate(f"{int(number):03}", (x, y), fontsize=7, xytext=(3, -9), textcoords="offset points")
    axes.set_xlabel(COSTS.get(names[1], names[1]))
    axes.set_ylabel(names[0])
    _without_outliers(axes, [value[0] for value in values])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def _place(domain: Domain, label: str) -> float:
    return float(domain.labels.index(label)) if isinstance(domain, Choice) else domain.value(label)


def _scale(axes: Axes, domain: Domain) -> None:
    if isinstance(domain, Choice):
        short = [shortened(label, 12) for label in domain.labels[:MOST_TICKS]]
        axes.set_xticks(range(len(short)), short, rotation=25 if sum(map(len, short)) > 18 else 0)
        axes.set_xlim(-0.5, len(domain.labels) - 0.5)
    elif domain.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _height(domain: Domain, label: str) -> float:
    """From 0 to 1; a little below where a setting has no such parameter."""
    if label == ABSENT:
        return -0.08
    if isinstance(domain, Choice):
        return domain.labels.index(label) / max(1, len(domain.labels) - 1)
    low, high, value = (np.log(one) if domain.log else one for one in _ends(domain, label))
    return float((value - low) / (high - low)) if high > low else 0.5


def _ends(domain: Number, label: str) -> tuple[float, float, float]:
    return domain.low, domain.high, domain.value(label)


def _without_outliers(axes: Axes, values: Sequence[float]) -> None:
    """Where some runs have not trained at all, the others would be a line at the edge."""
    if len(values) >= 4:
        low, middle, high = np.quantile(values, [0.1, 0.5, 1])
        margin = 0.15 * (high - low) or 0.01
        if min(values) < low - 4 * margin and middle > low:
            axes.set_ylim(low - margin, high + margin)
            axes.annotate("some lie below", (0.02, 0.02), xycoords="axes fraction", fontsize=7, color="0.4")
