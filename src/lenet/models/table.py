"""The inspection table of a net. Nothing here imports torch."""

import math
from collections.abc import Sequence

from lenet.models.layers import Layer

BYTES = 4  # of a float32
MEGABYTE = 2**20


def as_table(rows: Sequence[Layer], size: int) -> str:
    """Layers as in the book, parameters and sizes as in the blog, connections as in the paper, for one image."""
    lines = [f"{'layer':<10}{'kind':<15}{'output shape':<16}{'parameters':>12}{'connections':>14}{'MACs':>14}"]
    rule = "-" * len(lines[0])
    lines.append(rule)
    for row in rows:
        shape = " x ".join(str(length) for length in row.shape)
        counts = f"{row.parameters:>12,}{row.connections:>14,}{row.macs:>14,}"
        lines.append(f"{row.name:<10}{row.kind:<15}{shape:<16}{counts}")
    parameters, connections, macs = (
        sum(getattr(row, name) for row in rows) for name in ("parameters", "connections", "macs")
    )
    lines += [rule, f"{'total':<41}{parameters:>12,}{connections:>14,}{macs:>14,}", ""]

    # Every output is kept once forward and once for its gradient; flattening only looks at what is there.
    outputs = sum(math.prod(row.shape) for row in rows if row.kind != "Flatten")
    sizes = {"input": size**2, "forward and backward": 2 * outputs, "parameters": parameters}
    sizes["together"] = sum(sizes.values())
    return "\n".join(lines + [f"{label:<24}{count * BYTES / MEGABYTE:>8.2f} MB" for label, count in sizes.items()])
