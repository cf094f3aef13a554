"""From Hydra's words for what is to be swept to the space of a search: interval, range, choice, and labels."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from lenet.config import schema
from lenet.errors import BadInput
from lenet.search.space import Branch, Choice, Domain, Number, Parameter, Space, check
from lenet.sweeps.names import as_text, label, short

ONCE = ("name", "tags", "sweep", "search", "resume", "seed")  # one value for the whole search


def space_of(params: Mapping[str, Any], words: Sequence[str], parser: OverridesParser) -> tuple[Space, dict[str, str]]:
    """The space, and the overrides that all trials share, by their keys.

    Args:
        params: hydra.sweeper.params. A key has a list of values or a word such as interval(0, 1); any other name has
            labels, each with the keys that it sets, whose values may be such words too.
        words: of the command line; they count where both name a key.

    Raises:
        BadInput: a word has no meaning here; the first one.
    """
    found: dict[str, Parameter] = {}
    shared: dict[str, str] = {}
    given = []
    for name, values in params.items():
        if isinstance(values, Mapping):
            found[name] = _labelled(name, values, parser)
        elif isinstance(values, list):
            found[name] = _of_texts(name, [as_text(value) for value in values], parser)
        else:
            given.append(f"{name}={values if isinstance(values, str) else as_text(values)}")
    for override in parser.parse_overrides([*given, *words]):
        name = override.get_key_element()
        found.pop(name, None)
        shared.pop(name, None)
        if override.is_sweep_override():
            found[name] = _parameter(short(name.lstrip("+~")), override, parser)
        else:
            shared[name] = f"{name}={override.get_value_element_as_str()}"
    for name in (name for name in ONCE if name in found):
        raise BadInput(f"{name}: a search has one value of it; give one, and hydra.sweeper.confirm=5 for more seeds")
    if "resume" in shared:
        raise BadInput("resume: goes with one run; a search goes on by itself when it is started again")
    space = Space(tuple(found.values()))
    check(space)
    _require_one_setter(space, shared)
    return space, shared


def _require_one_setter(space: Space, shared: Mapping[str, str]) -> None:
    """Whether each key is set by one of those that set keys, and none that a search keeps for itself."""
    setters = dict.fromkeys(shared, "the command line")
    for parameter in space.parameters:
        branches = parameter.branches.values()
        keys = [word.partition("=")[0] for branch in branches for word in branch.overrides]
        keys += [one.key for branch in branches for one in branch.inner if one.key]
        keys += [key for branch in branches for key, _ in branch.lists] + [parameter.key or ""]
        for key in dict.fromkeys(filter(None, keys)):
            if key in ONCE or key == "trainer.limit_test_batches":
                raise BadInput(f"{key}: set by {parameter.name}, and a search has one value of it; leave it out there")
            if other := setters.get(key):
                raise BadInput(f"{key}: set by {other} and by the search's {parameter.name}; leave one of them out")
            setters[key] = f"its {parameter.name}"


def _parameter(name: str, override: Override, parser: OverridesParser) -> Parameter:
    value, key = override.value(), override.get_key_element()
    if isinstance(value, IntervalSweep):
        return Parameter(name, _interval(override, value), key)
    if isinstance(value, RangeSweep):
        return Parameter(name, _range(override, value), key)
    return _of_texts(key, list(override.sweep_string_iterator()), parser, name)


def _of_texts(key: str, texts: Sequence[str], parser: OverridesParser, name: str | None = None) -> Parameter:
    if not texts:
        raise BadInput(f"{key}=[]: no value to try; give at least one, or leave the key out")
    overrides = {label(parser.parse_overrides([f"{key}={text}"])[0].value()): f"{key}={text}" for text in texts}
    return Parameter(name or short(key.lstrip("+~")), Choice(tuple(overrides)), key, overrides=overrides)


def _interval(override: Override, value: IntervalSweep) -> Number:
    words, low, high = override.input_line, value.start, value.end
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        raise BadInput(f"{words}: no interval; give two finite numbers, such as interval(0.01,1)")
    if low == high:
        raise BadInput(f"{words}: an empty interval; give two numbers, the lower one first")
    if low > high:
        raise BadInput(f"{words}: the bounds are the wrong way round; write interval({high:g},{low:g})")
    is_log = _is_log(override, value.tags)
    if is_log and low <= 0:
        raise BadInput(f"{words}: has no logarithm at {low:g}; give a lower bound above 0, or leave out tag(log, ...)")
    key = override.get_key_element().lstrip("+~")
    if key in schema() and schema()[key] not in (float, float | None) and low == int(low) and high == int(high):
        raise BadInput(f"{words}: {key} takes whole numbers; write range({low:g},{high + 1:g})")
    return Number(low, high, is_log)


def _is_log(override: Override, tags: set[str]) -> bool:
    for tag in sorted(tags - {"log"}):
        raise BadInput(f"{override.input_line}: there is no tag {tag}; tag(log, ...) is all that there is")
    return "log" in tags


def _range(override: Override, value: RangeSweep) -> Number:
    words = override.input_line
    numbers = [number for number in (value.start, value.stop, value.step) if number is not None]
    if not all(math.isfinite(number) for number in numbers) or value.step == 0 or value.start is None:
        raise BadInput(f"{words}: no range; give finite numbers, and a step other than 0")
    start, stop, step = (Decimal(str(number)) for number in (value.start, value.stop, value.step))
    count = math.ceil((stop - start) / step)  # without the stop, as ranges are in Hydra
    if count < 1:
        raise BadInput(f"{words}: an empty range; give the first number, and one beyond the last")
    low, high = sorted((start, start + step * (count - 1)))
    whole = all(isinstance(number, int) for number in numbers)
    if _is_log(override, value.tags):
        if not whole or abs(step) != 1 or low <= 0:
            raise BadInput(f"{words}: tag(log, ...) goes with an interval, or with a range of whole numbers from 1")
        return Number(int(low), int(high), True, 1, True)
    size = abs(step)
    return (
        Number(int(low), int(high), False, int(size), True)
        if whole
        else Number(float(low), float(high), False, float(size))
    )


def _labelled(name: str, values: Mapping[Any, Any], parser: OverridesParser) -> Parameter:
    branches, seen = {}, dict[str, Domain]()
    for text, settings in values.items():
        if not isinstance(settings, Mapping) or not settings:
            raise BadInput(
                f"hydra.sweeper.params.{name}.{text}={settings}: under a label stand the keys that it sets, such as "
                "{model.pool: max}"
            )
        branches[str(text)] = _branch(str(text), settings, seen, parser)
    return Parameter(name, Choice(tuple(branches)), branches=branches)


def _branch(text: str, settings: Mapping[Any, Any], seen: dict[str, Domain], parser: OverridesParser) -> Branch:
    """What a label brings. A parameter that stands under two labels is one, where its values are the same."""

    def named(name: str, override: Override) -> Parameter:
        parameter = _parameter(name, override, parser)
        if seen.setdefault(name, parameter.domain) != parameter.domain:
            return _parameter(f"{text}.{name}", override, parser)
        return parameter

    overrides, inner, lists = [], [], []
    for key, value in settings.items():
        items = value if isinstance(value, list) else [value]
        words = [_word(str(key), item, parser) for item in items]
        if not any(words):
            overrides.append(f"{key}={as_text(value)}")
        elif not isinstance(value, list):
            assert words[0] is not None
            inner.append(named(short(str(key)), words[0]))
        else:
            each = [
                named(f"{short(str(key))}.{number}", word) if word else as_text(item)
                for number, (item, word) in enumerate(zip(items, words, strict=True), 1)
            ]
            lists.append((str(key), tuple(each)))
    return Branch(tuple(overrides), tuple(inner), tuple(lists))


def _word(key: str, value: Any, parser: OverridesParser) -> Override | None:
    """A value that stands for several, as parsed; None for any other."""
    if not isinstance(value, str) or "(" not in value:
        return None
    try:
        parsed = parser.parse_overrides([f"{key}={value}"])[0]
    except HydraException:
        return None
    return parsed if parsed.is_sweep_override() else None
