"""Which nets the page can compute, asked before torch is imported."""

from pathlib import Path

from lenet.errors import BadInput
from lenet.evaluation.saved import Saved
from lenet.models.sizes import size_of

KINDS = ("lenet", "lenet5")  # the values of model.kind that net.js knows
MOST_PARAMETERS = 10_000_000  # 53 MB of text, which a page can still hold
MOST_MACS = 300_000_000  # for each stroke: half a second on a laptop


def not_ours(path: Path, what: str) -> BadInput:
    return BadInput(
        f"{path}: {what}, and the page computes nets of the LeNet family alone; look at it with scripts/activations.py"
    )


def check(found: Saved, path: Path) -> None:
    """Whether the page can compute a net.

    Raises:
        BadInput: it is of another kind, or too large.
    """
    if found.config.model.kind not in KINDS:
        raise not_ours(path, f"model.kind={found.config.model.kind}")
    parameters, macs = size_of(found.config)
    if parameters > MOST_PARAMETERS or macs > MOST_MACS:
        raise BadInput(
            f"{path}: {parameters:,} parameters and {macs:,} multiply-accumulates are too many for a page, which "
            f"takes {MOST_PARAMETERS:,} and {MOST_MACS:,}; show a smaller net"
        )
