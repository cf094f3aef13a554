"""Bounds and choices, as they stand beside the keys of `lenet.config`, with what is said of other values."""

import re
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

LARGEST_LAYER = 100_000  # channels or units: beyond it a slip of the keyboard is likelier than a net


@dataclass(frozen=True)
class Bound:
    """Which numbers a key may have, alone or in a list, and what is said of others. Both ends are legal."""

    smallest: float
    largest: float
    remedy: str
    without: str = ""  # an end that is not legal: smallest | largest | both

    def holds(self, value: Any) -> bool:
        if isinstance(value, list):
            return all(self.holds(item) for item in value)
        if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
            return False
        ends = {"smallest": [self.smallest], "largest": [self.largest], "both": [self.smallest, self.largest]}
        return self.smallest <= value <= self.largest and value not in ends.get(self.without, ())


class OneOf(tuple[str, ...]):
    """Which words a key may have."""

    __slots__ = ()

    def __new__(cls, *words: str) -> "OneOf":
        return super().__new__(cls, words)


def between(smallest: float, largest: float, what: str = "an integer") -> Bound:
    return Bound(smallest, largest, f"give {what} from {smallest} to {largest}")


def at_least_one(largest: float) -> Bound:
    return Bound(1, largest, "give an integer, at least 1")


def above_zero(what: str, smallest: float = 0, null: bool = False) -> Bound:
    return Bound(smallest, inf, f"give {what} above 0" + (", or null" if null else ""), "" if smallest else "smallest")


def below_one(what: str) -> Bound:
    return Bound(0, 1, f"give {what} from 0 up to, not including, 1", "largest")


def sizes() -> Bound:
    return Bound(1, LARGEST_LAYER, f"give integers from 1 to {LARGEST_LAYER}")


def for_each_block(smallest: int, largest: int) -> Bound:
    remedy = f"give one integer from {smallest} to {largest}, or one for each of model.conv_channels"
    return Bound(smallest, largest, remedy)


def seconds(text: str) -> int | None:
    """Of days:hours:minutes:seconds, as Lightning writes it, or hours:minutes:seconds; None where it is neither."""
    found = re.fullmatch(r"(?:(\d+):)?(\d+):([0-5]?\d):([0-5]?\d)", text.strip(), re.ASCII)
    if not found:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest
