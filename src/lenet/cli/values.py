"""The values of a swept parameter, as the command line or a sweep's file gives them."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep

from lenet.errors import BadInput
from lenet.sweeps.design import MOST_JOBS, Level
from lenet.sweeps.names import as_text

MOST_WRITTEN = 30  # values in a remedy


def listed(override: Override) -> list[str]:
    """The values of key=1,2,3 or of one of Hydra's functions, each as it would stand behind the key alone.

    Raises:
        BadInput: they are no list of values, or too many.
    """
    name, words, values = override.get_key_element(), override.input_line, override.value()
    if not override.is_discrete_sweep():
        raise BadInput(
            f"{words}: no list of values; give them one by one or as range(...), or add hydra.sweeper.design=search"
        )
    if isinstance(values, RangeSweep):
        _require_range(values, words or name)
    elif isinstance(values, ChoiceSweep):
        _require_values(values, name, words or name)
    many = isinstance(values, RangeSweep) and _has_more(values, MOST_JOBS)
    texts = [] if many else list(islice(override.sweep_string_iterator(), MOST_JOBS + 1))
    if many or len(texts) > MOST_JOBS:  # before each is looked at, which takes a while
        raise BadInput(f"{words}: a sweep has at most {MOST_JOBS:,} jobs; take fewer values")
    return as_meant(values, texts) if isinstance(values, RangeSweep) else texts


def _require_range(values: RangeSweep, words: str) -> None:
    numbers = [float(number) for number in (values.start, values.stop, values.step) if number is not None]
    if not all(map(math.isfinite, numbers)) or values.step == 0:
        raise BadInput(f"{words}: no range; give finite numbers, and a step other than 0")


def _require_values(values: ChoiceSweep, key: str, words: str) -> None:
    """Hydra reads a range among other values, and then cannot say what they are."""
    given: list[Any] = list(values.list)
    ranges = [value for value in given if isinstance(value, RangeSweep)]
    if not ranges and not any(isinstance(value, Glob) for value in given):
        return
    remedy = "give all values one by one"
    for one in ranges:
        _require_range(one, words)
    if len(ranges) + sum(isinstance(value, int | float) for value in given) == len(given):
        numbers: list[str] = []
        for value in given:
            if isinstance(value, RangeSweep):
                numbers += as_meant(value, [str(number) for number in islice(value.range(), MOST_WRITTEN + 1)])
            else:
                numbers.append(str(value))
        if len(numbers) <= MOST_WRITTEN:
            remedy = f"write {key}={','.join(dict.fromkeys(numbers))}"
    raise BadInput(f"{words}: range(...) and glob(...) stand alone, and not among other values; {remedy}")


def _has_more(values: RangeSweep, most: int) -> bool:
    """Whether a range has more than `most` numbers; Hydra makes a list of one that is to be shuffled."""
    numbers = values.range()
    return bool(numbers[most:]) if isinstance(numbers, range) else sum(1 for _ in islice(numbers, most + 1)) > most


def as_meant(values: RangeSweep, texts: Sequence[str]) -> list[str]:
    """The numbers of a range as decimals: Hydra adds up in binary, where 0.1 + 0.1 + 0.1 is 0.30000000000000004."""
    if isinstance(values.range(), range):
        return list(texts)
    start, stop, step = (Decimal(str(number)) for number in (values.start, values.stop, values.step))
    numbers = [start + step * round((Decimal(text) - start) / step) for text in texts]
    within = [number for number in numbers if (stop - number) * step > 0]  # in binary one may fall short of the end
    return [str(float(number)) for number in within]


def labelled(name: str, values: Mapping[Any, Any]) -> tuple["Level", ...]:
    from lenet.errors import BadInput
    from lenet.sweeps.design import Level

    for text, overrides in values.items():
        if not isinstance(overrides, Mapping) or not overrides:
            raise BadInput(
                f"hydra.sweeper.params.{name}.{text}={overrides}: under a label stand the keys that it sets, such as "
                "{model.pool: max}"
            )
    return tuple(
        Level(str(text), tuple(f"{key}={as_text(value)}" for key, value in overrides.items()))
        for text, overrides in values.items()
    )
