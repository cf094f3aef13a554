"""The space of a search: what each setting has, and what some of them have beside it.

A setting is made by walking through the space and choosing at each turn; whoever walks says how. Nothing here imports
torch, Hydra or Optuna.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from lenet.errors import BadInput

DIGITS = 3  # of a number that is drawn: a name shows all of it, and a command with it gives the same run
MOST_SETTINGS = 10_000  # that are tried one after another by sampler=brute
MOST_LOOKED_AT = 1000  # of the values of a range, for the longest
ABSENT = "-"  # in tables, the value of a parameter that a setting does not have


@dataclass(frozen=True)
class Number:
    """All numbers from low to high; with a step, low, low + step and so on."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def label(self, value: float) -> str:
        """The number as it is used and written: what is between two steps or has more digits is rounded."""
        if self.whole:
            return str(int(value))
        if self.step is not None:
            return repr(float(f"{value:.12g}"))
        rounded = float(f"{value:.{DIGITS}g}")
        return repr(min(max(rounded, self.low), self.high))

    def value(self, label: str) -> float:
        """Raises ValueError for a label of another space."""
        value = int(label) if self.whole else float(label)
        if not self.low <= value <= self.high:
            raise ValueError(label)
        return value

    @property
    def labels(self) -> list[str] | None:
        """All of them, or None where they cannot be counted."""
        if self.step is None:
            return None
        return [self.label(self.low + number * self.step) for number in range(self.count)]

    @property
    def count(self) -> int:
        assert self.step is not None
        return math.floor((self.high - self.low) / self.step + 1e-9) + 1

    @property
    def longest(self) -> str:
        """A label that is as long as any, in an interval around 0 as any that is likely to be drawn."""
        if self.step is not None:
            numbers = {*range(min(self.count, MOST_LOOKED_AT)), self.count - 1}
            return max((self.label(self.low + number * self.step) for number in numbers), key=len)
        far = max(abs(self.low), abs(self.high))
        near = min(abs(self.low), abs(self.high)) if self.low * self.high > 0 else far * 1e-5
        sizes = range(math.floor(math.log10(near)), math.floor(math.log10(far)) + 1)
        drawn = [repr(math.copysign(float(f"1.23e{size}"), self.low)) for size in sizes]
        return max([repr(self.low), repr(self.high), *drawn], key=len)

    def __str__(self) -> str:
        if self.step is None:
            text = f"interval({self.low:g},{self.high:g})"
        else:  # as Hydra has it, without the stop
            stop = f"{self.high + self.step:.12g}"
            text = f"range({self.low:.12g},{stop}{f',{self.step:.12g}' if self.step != 1 else ''})"
        return f"tag(log, {text})" if self.log else text


@dataclass(frozen=True)
class Choice:
    """One of a few labels."""

    labels: tuple[str, ...]

    def label(self, value: str) -> str:
        return value

    def value(self, label: str) -> str:
        """Raises ValueError for a label of another space."""
        if label not in self.labels:
            raise ValueError(label)
        return label

    @property
    def longest(self) -> str:
        """Of the labels the longest one."""
        return max(self.labels, key=len)

    def __str__(self) -> str:
        return f"choice({','.join(self.labels)})"


Domain = Number | Choice
Choose = Callable[[str, Domain], str]


@dataclass(frozen=True)
class Branch:
    """What a label brings: overrides as they are, and parameters that only settings with this label have."""

    overrides: tuple[str, ...] = ()
    inner: tuple["Parameter", ...] = ()
    lists: tuple[tuple[str, tuple["str | Parameter", ...]], ...] = ()  # a key, and its items


@dataclass(frozen=True)
class Parameter:
    """Something that is chosen: the value of a key, an item of its list, or a label that sets several keys."""

    name: str
    domain: Domain
    key: str | None = None
    branches: Mapping[str, Branch] = field(default_factory=dict, hash=False)
    overrides: Mapping[str, str] = field(default_factory=dict, hash=False)  # of each label, where it is not key=label


@dataclass(frozen=True)
class Setting:
    """A point of the space: a label for each parameter that it has, and the overrides that make a run of it."""

    labels: dict[str, str]
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """All settings."""

    parameters: tuple[Parameter, ...]

    def walk(self, choose: Choose) -> Setting:
        """The setting that `choose` makes, which is asked for the label of one parameter after another."""
        labels: dict[str, str] = {}
        overrides: list[str] = []
        for parameter in self.parameters:
            _walk(parameter, choose, labels, overrides)
        return Setting(labels, tuple(overrides))

    def setting(self, labels: Mapping[str, str]) -> Setting:
        """The setting of these labels.

        Raises:
            ValueError: it is none of this space.
        """

        def recorded(name: str, domain: Domain) -> str:
            label = labels.get(name, ABSENT)
            domain.value(label)
            return label

        return self.walk(recorded)

    def domains(self) -> dict[str, Domain]:
        """The domain of every parameter, also of those that only some settings have, by name."""
        return {parameter.name: parameter.domain for parameter in self._all(self.parameters)}

    @property
    def longest_words(self) -> str:
        """As long as the words of any setting, such as pool=max,lr=0.00123."""
        return ",".join(_longest_words(parameter) for parameter in self.parameters)

    @property
    def is_conditional(self) -> bool:
        return len(list(self._all(self.parameters))) > len(self.parameters)

    def settings(self) -> Iterator[Setting]:
        """Every setting of a space that can be counted, in a fixed order.

        Raises:
            BadInput: it has an interval.
        """
        stack: list[list[tuple[str, list[str], int]]] = [[]]
        for name, domain in self.domains().items():
            if isinstance(domain, Number) and domain.labels is None:
                raise BadInput(
                    f"hydra.sweeper.sampler=brute: {name} is an interval, whose values cannot be counted; write a "
                    "range with a step, or take sampler=tpe"
                )
        path = stack.pop()
        while True:
            turn = 0

            def choose(name: str, domain: Domain) -> str:
                nonlocal turn
                labels = list(domain.labels or ())
                if turn == len(path):
                    path.append((name, labels, 0))
                turn += 1
                return labels[path[turn - 1][2]]

            yield self.walk(choose)
            while path and path[-1][2] + 1 == len(path[-1][1]):
                path.pop()
            if not path:
                return
            name, labels, number = path.pop()
            path.append((name, labels, number + 1))

    @property
    def is_small(self) -> bool:
        """Whether all settings can be tried one after another."""
        countable = all(isinstance(one, Choice) or one.step is not None for one in self.domains().values())
        return countable and sum(1 for _ in islice(self.settings(), MOST_SETTINGS + 1)) <= MOST_SETTINGS

    def describe(self) -> dict[str, str]:
        """Every parameter in words, and what its labels set, to tell this space from another."""
        found = {}
        for parameter in self._all(self.parameters):
            found[parameter.name] = str(parameter.domain)
            for label, branch in parameter.branches.items():
                lists = [f"{key}=[{','.join(map(_named, items))}]" for key, items in branch.lists]
                words = " ".join([*branch.overrides, *(one.name for one in branch.inner), *lists])
                found[f"{parameter.name}={label}"] = words
        return found

    def _all(self, parameters: Sequence[Parameter]) -> Iterator[Parameter]:
        for parameter in parameters:
            yield parameter
            for branch in parameter.branches.values():
                items = [item for _, ones in branch.lists for item in ones if isinstance(item, Parameter)]
                yield from self._all([*branch.inner, *items])


def _longest_words(parameter: Parameter) -> str:
    """Those of a parameter, with those that one of its labels brings."""
    found = [f"{parameter.name}={parameter.domain.longest}"]
    for label, branch in parameter.branches.items():
        items = [item for _, ones in branch.lists for item in ones if isinstance(item, Parameter)]
        words = [_longest_words(one) for one in (*branch.inner, *items)]
        found.append(",".join([f"{parameter.name}={label}", *words]))
    return max(found, key=len)


def _named(item: "str | Parameter") -> str:
    return item if isinstance(item, str) else item.name


def _walk(parameter: Parameter, choose: Choose, labels: dict[str, str], overrides: list[str]) -> str:
    label = choose(parameter.name, parameter.domain)
    labels[parameter.name] = label
    if parameter.key is not None:
        overrides.append(parameter.overrides.get(label, f"{parameter.key}={label}"))
    if branch := parameter.branches.get(label):
        overrides.extend(branch.overrides)
        for inner in branch.inner:
            _walk(inner, choose, labels, overrides)
        for key, items in branch.lists:
            values = [item if isinstance(item, str) else _walk(item, choose, labels, []) for item in items]
            overrides.append(f"{key}=[{','.join(values)}]")
    return label


def check(space: Space) -> None:
    """Whether each parameter has one meaning, and at least two values are to be chosen from.

    Raises:
        BadInput: a name stands for two domains, or there is nothing to search.
    """
    seen: dict[str, Any] = {}
    for parameter in space._all(space.parameters):
        if seen.setdefault(parameter.name, parameter.domain) != parameter.domain:
            raise BadInput(
                f"{parameter.name}: {seen[parameter.name]} under one label and {parameter.domain} under another; give "
                "both the same values"
            )
    if not seen:
        raise BadInput(
            "hydra.sweeper.params={}: nothing to search; give keys their values, such as "
            "'optimizer.lr=tag(log, interval(0.01,1))'"
        )
