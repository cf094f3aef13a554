"""What a search is to do, beside its space: hydra.sweeper.* with design=search. Imports neither torch nor Optuna."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from lenet.batches import validates
from lenet.config import Config
from lenet.errors import BadInput
from lenet.runs.metrics import METRICS
from lenet.search.space import MOST_SETTINGS, Choice, Space
from lenet.text import did_you_mean

SAMPLERS = ("tpe", "random", "gp", "cmaes", "nsgaii", "brute")
PRUNERS = ("none", "median", "halving", "hyperband")
DIRECTIONS = ("maximize", "minimize")
COSTS = ("parameters", "macs")  # what may be held against accuracy
OBJECTIVES = (*(name for name in METRICS if not name.startswith("test/")), *COSTS)


@dataclass(frozen=True)
class Spec:
    """How a space is searched."""

    trials: int = 20  # settings to try
    timeout: float | None = None  # seconds after which no more are begun
    sampler: str = "tpe"
    pruner: str = "none"
    objective: tuple[str, ...] = ("val/acc",)  # the first one counts where there has to be one
    direction: tuple[str, ...] = ("maximize",)
    seed: int = 0  # of the search's own random numbers
    grace: int | None = None  # epochs before which nothing is given up; null: a fifth of them
    max_parameters: int | None = None  # of a net that is to be tried
    max_macs: int | None = None
    confirm: int = 5  # fresh seeds for each of the best settings; 0: none is confirmed
    confirm_top: int = 3
    workers: int | None = None  # that try settings at once; null: as many as the launcher runs

    def told_by(self) -> dict[str, str]:
        """What makes it another search, as text; how long and by how many it is done does not."""
        same = ("sampler", "pruner", "objective", "direction", "seed", "grace", "max_parameters", "max_macs")
        return {name: _text(value) for name, value in asdict(self).items() if name in same}


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def spec_of(words: Mapping[str, Any], space: Space, workers: int | None) -> Spec:
    """The checked spec of hydra.sweeper.*.

    Args:
        words: the keys of `Spec`; objective and direction may be one text.
        workers: how many jobs the launcher runs at a time, as far as that is known.

    Raises:
        BadInput: a value is not legal, or cannot go with the space or with another value.
    """
    lists = {name: _words(words[name]) for name in ("objective", "direction")}
    if lists["direction"] == ("auto",):
        lists["direction"] = tuple(
            "minimize" if name in COSTS or name.endswith("/loss") else "maximize" for name in lists["objective"]
        )
    spec = Spec(**{**words, **lists})
    for key, remedy in _complaints(spec, space, workers):
        raise BadInput(f"hydra.sweeper.{key}={_text(getattr(spec, key))}: {remedy}")
    return spec


def _words(value: Any) -> tuple[str, ...]:
    return (
        tuple(map(str, value))
        if isinstance(value, Sequence) and not isinstance(value, str)
        else (*str(value).split(","),)
    )


def _complaints(spec: Spec, space: Space, workers: int | None) -> Any:
    counts = {"trials": 1, "confirm": 0, "confirm_top": 1, "seed": 0, "grace": 1, "max_parameters": 1, "max_macs": 1,
              "workers": 1}  # fmt: skip
    for key, least in counts.items():
        value = getattr(spec, key)
        if value is not None and not least <= value <= 10**12:
            yield key, f"give a whole number, at least {least}"
    if spec.trials > 10_000:
        yield "trials", "give at most 10000"
    if spec.timeout is not None and not 0 < spec.timeout < 10**9:
        yield "timeout", "give a number of seconds, above 0, or null"
    for key, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        if getattr(spec, key) not in known:
            yield key, did_you_mean(getattr(spec, key), known) + "choose " + ", ".join(known)
    for word in spec.objective:
        if word.startswith("test/"):
            yield "objective", "nothing may be chosen by the test set; take val/acc"
        if word not in OBJECTIVES:
            yield "objective", did_you_mean(word, OBJECTIVES) + "choose " + ", ".join(OBJECTIVES)
    if len(set(spec.objective)) < len(spec.objective):
        yield "objective", "each one once"
    if not spec.objective:
        yield "objective", "give one, such as val/acc"
    elif spec.objective[0] in COSTS:
        yield "objective", "begin with what is measured, such as val/acc,parameters"
    for word in spec.direction:
        if word not in DIRECTIONS:
            yield "direction", did_you_mean(word, DIRECTIONS) + "choose " + ", ".join(DIRECTIONS)
    if len(spec.direction) != len(spec.objective):
        yield "direction", f"give one for each objective, of which there are {len(spec.objective)}"
    yield from _of_sampler(spec, space, workers)


def _of_sampler(spec: Spec, space: Space, workers: int | None) -> Any:
    if len(spec.objective) > 1 and spec.pruner != "none":
        yield "pruner", "what is given up early is told by one objective; take pruner=none, or one objective"
    if spec.sampler == "cmaes":
        texts = [name for name, domain in space.domains().items() if isinstance(domain, Choice)]
        if texts or space.is_conditional:
            yield "sampler", f"goes with numbers alone, and {texts[0]} is a choice; take tpe"
        if len(space.domains()) < 2:
            yield "sampler", "goes with two parameters or more; take tpe"
        if len(spec.objective) > 1:
            yield "sampler", "goes with one objective; take nsgaii"
        if find_spec("cmaes") is None:
            yield "sampler", "needs the package cmaes; give the command with --extra search"
    if spec.sampler in ("cmaes", "nsgaii") and (workers or 1) > 1:
        yield "sampler", "learns from one setting after another; give hydra.sweeper.workers=1, or take tpe"
    if spec.sampler == "brute":
        next(space.settings())  # or it says which parameter cannot be counted
        if not space.is_small:
            yield "sampler", f"the space has more than {MOST_SETTINGS:,} settings; take tpe or random"


def require_measured(spec: Spec, config: Config) -> None:
    """Raises BadInput where a run has no figure that the search goes by."""
    if any(name.startswith("val/") for name in spec.objective) and not validates(config):
        raise BadInput(
            f"hydra.sweeper.objective={_text(spec.objective)}: there are no validation images; set data.val_fraction "
            "and trainer.limit_val_batches above 0"
        )
    if config.trainer.max_time is not None:
        raise BadInput(
            f"trainer.max_time={config.trainer.max_time}: a trial runs to its end; leave it out, and give the search "
            "hydra.sweeper.timeout, in seconds"
        )


def needed() -> None:
    """Raises BadInput where Optuna is not installed."""
    if find_spec("optuna") is None:
        raise BadInput(
            "hydra.sweeper.design=search: needs Optuna, which is not installed; give the command with uv run --extra "
            "search, or pip install '.[search]'"
        )
