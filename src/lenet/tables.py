"""How figures are written: tables for a page and for a terminal, and a mean with its spread."""

import math
import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress


def as_markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table of Markdown. A cell is taken as it is."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """The lines of a table for a terminal, two spaces between columns; those numbered in `right` end together."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def mean_and_spread(mean: float, spread: float | None, digits: int = 4) -> str:
    """0.8050 ± 0.0120; the mean alone where the spread is not known, as with one seed."""
    if math.isnan(mean):
        return ""
    has_spread = spread is not None and not math.isnan(spread)
    return f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if has_spread else "")


def no_formula(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: what begins like one has an apostrophe before it.

    Also behind what some spreadsheets take for the end of a cell.
    """
    with suppress(ValueError):
        float(text)
        return text
    return re.sub(r"(?:^|(?<=[;,|\t\r\n\"]))\s*(?=[=+@\uff1d\uff0b\uff20\uff0d-])", lambda blank: blank[0] + "'", text)
