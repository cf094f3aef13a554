"""Quick imports of torch and Lightning: without packages that training never uses, and without looking for garbage.

Lightning imports all of torchmetrics, and that imports whatever it finds installed: torchvision for metrics of
pictures, matplotlib for plots of metrics, SciPy for old names of its own. Where one of them is missing torchmetrics
does without. So while Lightning is imported they are taken for missing, by the means that Python's documentation names
for it: a finder on sys.meta_path that raises ModuleNotFoundError ("Replacing the standard import system"), and answers
for the packages' metadata (`importlib.metadata.DistributionFinder`). Afterwards they can be imported as ever, and for
reports they are.

What torchmetrics and Lightning then lack, for as long as the process lives: metrics of pictures, `Metric.plot`, and the
Rich bar. Our commands use none of them. Somebody's own code may, so it gets all: in a notebook or a program that
imports `lenet`, and with --extend, nothing is left out.
"""

import atexit
import gc
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder, PackageNotFoundError
from types import ModuleType

OPTIONAL = ("matplotlib", "rich", "scipy", "torchvision")

_is_ours = False


def only_ours(is_ours: bool) -> None:
    """Say whether this process runs a command of ours and no code of anybody else's."""
    global _is_ours
    _is_ours = is_ours


def left_out() -> tuple[str, ...]:
    """What Lightning will be imported without."""
    return tuple(name for name in OPTIONAL if name not in sys.modules) if _is_ours else ()


class _Missing(DistributionFinder):
    """Says of some packages that they are not installed."""

    def __init__(self, packages: Iterable[str]) -> None:
        self.packages = frozenset(packages)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self.packages:
            raise ModuleNotFoundError(f"{fullname} is left out (lenet.system.imports)", name=fullname)
        return None  # the next finder is asked

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        if context and context.name in self.packages:
            raise PackageNotFoundError(context.name)
        return []  # likewise


@contextmanager
def quickly() -> Iterator[None]:
    """Import Lightning, with torch, and within it what needs them.

    Of the million objects that this makes hardly one is garbage, and Python would look through them again and again: a
    sixth of the time.
    """
    if "lightning" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        with without(*left_out()):
            importlib.import_module("lightning")
        yield
    finally:
        if _is_ours:
            # What has been imported stays until the end, and need not be looked through while the net trains. At the
            # end it has to be, or a library of torch's takes it for leaked.
            gc.freeze()
            atexit.register(gc.unfreeze)
        gc.enable()


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Within it these packages are taken for missing by whatever is imported."""
    missing = _Missing(packages)
    sys.meta_path.insert(0, missing)
    try:
        yield
    finally:
        sys.meta_path.remove(missing)
