"""A laboratory for LeNet: train, sweep and inspect it on Fashion-MNIST and MNIST.

`import lenet` is for Python programs and notebooks (docs/api.md). It imports nothing until something is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lenet.api import Run, compare, load, summary, sweep, train
    from lenet.errors import BadInput

__all__ = ["BadInput", "Run", "compare", "load", "summary", "sweep", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("lenet.errors" if name == "BadInput" else "lenet.api"), name)
    raise AttributeError(f"module 'lenet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
