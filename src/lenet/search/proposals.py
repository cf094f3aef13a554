"""What a search tries next, and whether a run of it is given up: a function of what has been found so far, by Optuna.

Optuna's own studies keep what their samplers remember, some of it as pickles. Here nothing is remembered: a study is
made in memory of the trials on disk whenever one is wanted, and its random numbers start from the search's seed and the
number of the trial. So a search that was killed goes on as if nothing had happened, and a stranger's files run nothing.
"""

import hashlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from lenet.search.space import Choice, Domain, Setting, Space
from lenet.search.spec import Spec

optuna.logging.set_verbosity(optuna.logging.ERROR)

MOST_TRIES = 500  # settings that are drawn for one trial until one of them can be and is new
BY_SAMPLER = 20  # of these, before they are drawn blindly
REDUCTION = 3  # of successive halving: as many runs as this go on to the next rung as one of so many

STATES = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,  # as bad as can be, which is something to learn from
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


@dataclass(frozen=True)
class Past:
    """A trial as far as it is known: what it has, what became of it, and its objective after every epoch."""

    labels: Mapping[str, str]
    state: str  # one of STATES
    values: tuple[float, ...] | None = None  # one for each objective, of a completed one
    epochs: Mapping[int, float] = field(default_factory=dict)


@cache
def distribution(domain: Domain) -> BaseDistribution:
    """Raises ValueError where there is none, as of bounds that no number lies between."""
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.labels)
    if domain.whole:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def _finite(epochs: Mapping[int, float]) -> dict[int, float]:
    return {epoch: value for epoch, value in epochs.items() if math.isfinite(value)}


def directions(spec: Spec) -> list[StudyDirection]:
    return [StudyDirection[direction.upper()] for direction in spec.direction]


def frozen(space: Space, past: Past, attributes: Mapping[str, Any] | None = None, **user: Any) -> FrozenTrial:
    """A trial as Optuna has it."""
    domains = space.domains()
    params = {name: domains[name].value(label) for name, label in past.labels.items()}
    return create_trial(
        state=STATES[past.state],
        values=list(past.values) if past.state == "completed" and past.values else None,
        params=params,
        distributions={name: distribution(domains[name]) for name in params},
        # Without its epochs one that diverged is worse than all that were given up.
        intermediate_values={} if past.state == "diverged" else _finite(past.epochs),
        system_attrs=dict(attributes or {}),
        user_attrs=user,
    )


def proposals(space: Space, spec: Spec, past: Sequence[Past], number: int) -> Iterator[Setting]:
    """Settings for the next trial, the best guess first; whoever asks takes the first that can be.

    Args:
        past: the trials before this one, in their order; those that still run included.
        number: of the trial.
    """
    if spec.sampler == "brute":
        yield from _shuffled(space, spec.seed)
        return
    rejected: list[Past] = []
    for attempt in range(MOST_TRIES):
        if attempt == BY_SAMPLER and space.is_small:
            yield from _shuffled(space, spec.seed)  # each of them, so that none is missed
            return
        study = _study(space, spec, [*past, *rejected], number, attempt)
        setting = space.walk(_suggester(study.ask()))
        yield setting
        rejected.append(Past(setting.labels, "diverged"))


@cache
def _shuffled(space: Space, seed: int) -> list[Setting]:
    """All settings, in an order that depends on the seed alone."""
    return sorted(space.settings(), key=lambda setting: _digest(seed, *setting.overrides, *setting.labels.values()))


def _suggester(trial: Trial) -> Any:
    def choose(name: str, domain: Domain) -> str:
        if isinstance(domain, Choice):
            return domain.label(trial.suggest_categorical(name, domain.labels))
        return domain.label(trial._suggest(name, distribution(domain)))

    return choose


def _digest(*parts: Any) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")


def _study(space: Space, spec: Spec, past: Sequence[Past], number: int, attempt: int) -> optuna.Study:
    """A study in memory of these trials, whose next one is the given number's."""
    seed = _digest(spec.seed, number, attempt)
    sampler = _sampler(spec, seed) if attempt < BY_SAMPLER else optuna.samplers.RandomSampler(seed)
    if spec.sampler in ("cmaes", "nsgaii"):
        study = _replayed(space, spec, past)
        study.sampler = sampler
        return study
    study = optuna.create_study(directions=directions(spec), sampler=sampler)
    study.add_trials([frozen(space, one) for one in past])
    return study


def _sampler(spec: Spec, seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some arguments may change in a later release, which pyproject.toml bars
        if spec.sampler == "tpe":
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
        if spec.sampler == "gp":
            return optuna.samplers.GPSampler(seed=seed)
        if spec.sampler == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed)
        if spec.sampler == "nsgaii":
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
        return optuna.samplers.RandomSampler(seed)


def _replayed(space: Space, spec: Spec, past: Sequence[Past]) -> optuna.Study:
    """A study whose sampler remembers: it is asked again for each trial, and told what became of it."""
    study = optuna.create_study(directions=directions(spec))
    for number, one in enumerate(past):
        study.sampler = _sampler(spec, _digest(spec.seed, number, 0))
        trial = study.ask()
        if space.walk(_suggester(trial)).labels != dict(one.labels):  # drawn at a later attempt
            study.tell(trial, state=TrialState.FAIL)
            study.add_trial(frozen(space, one))
        elif one.state == "completed" and one.values:
            study.tell(trial, list(one.values))
        else:
            study.tell(trial, state=TrialState.FAIL)
    return study


def should_give_up(space: Space, spec: Spec, others: Sequence[Past], own: Past, number: int, epochs: int) -> bool:
    """Whether a run is not worth going on with, after the last of `own.epochs`.

    Args:
        others: the other trials, in their order, with `number` where this one stands.
        epochs: that a run of the search has at most.
    """
    if spec.pruner == "none" or not own.epochs:
        return False
    grace = spec.grace or max(1, epochs // 5)
    bracket = _bracket(number, epochs, grace) if spec.pruner == "hyperband" else 0
    study = optuna.create_study(direction=directions(spec)[0])
    first = grace * REDUCTION**bracket
    for place, one in enumerate(others):
        if spec.pruner == "hyperband" and _bracket(place if place < number else place + 1, epochs, grace) != bracket:
            continue
        study.add_trial(frozen(space, one, _rungs(one, first)))
    *before, now = sorted(own.epochs)
    earlier = Past(own.labels, "running", epochs={epoch: own.epochs[epoch] for epoch in before})
    study.add_trial(frozen(space, own, _rungs(earlier, first)))
    if not math.isfinite(own.epochs[now]):
        return True
    return _pruner(spec, grace, bracket).prune(study, study.trials[-1])


def _pruner(spec: Spec, grace: int, bracket: int) -> optuna.pruners.BasePruner:
    if spec.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=grace)
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=grace, reduction_factor=REDUCTION, min_early_stopping_rate=bracket
    )


def _rungs(past: Past, first: int) -> dict[str, float]:
    """What Optuna's successive halving notes of a trial: its value at each rung, the first of which is an epoch."""
    found: dict[str, float] = {}
    rung = first
    for epoch, value in sorted(past.epochs.items()):
        while epoch >= rung:  # not every epoch need have a value
            found[f"completed_rung_{len(found)}"] = value
            rung *= REDUCTION
    return found


def _bracket(number: int, epochs: int, grace: int) -> int:
    """Which bracket of Hyperband (Li et al. 2018) a trial is in.

    They take turns, each as often as it has runs: those that are given up late have fewer.
    """
    brackets = 1
    while grace * REDUCTION**brackets <= epochs:
        brackets += 1
    turns = [
        bracket
        for bracket in range(brackets)
        for _ in range(math.ceil(brackets * REDUCTION ** (brackets - 1 - bracket) / (brackets - bracket)))
    ]
    mixed = sorted(range(len(turns)), key=lambda turn: _digest("turn", turn))  # so that none waits for its turn
    return turns[mixed[number % len(turns)]]
