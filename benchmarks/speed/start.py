"""A command of ours up to its first update, and a script by hand: each prints the processor's seconds and ends there.

Run as `python -m benchmarks.speed.start SCRIPT [WORD ...]`. Without a script it is the one by hand, which imports torch
and makes an update of a small net. Python's own end, which takes more than a second with torch, is not counted.
"""

import os
import runpy
import sys
from importlib.abc import MetaPathFinder
from typing import Any


def _end(*_: Any) -> None:
    used = os.times()
    print(used.user + used.system, flush=True)
    os._exit(0)


class _FirstUpdate(MetaPathFinder):
    """Ends the process at its first update. Torch is not imported for that: only when somebody has done so."""

    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname == "torch.optim.sgd":  # what it is made of has been imported by then
            from torch.optim.optimizer import register_optimizer_step_post_hook

            register_optimizer_step_post_hook(_end)


def by_hand() -> None:
    """The book's net, and a batch of noise."""
    import torch
    from torch import nn

    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, 2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2, 2), nn.Flatten(),
        nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.9)
    nn.functional.cross_entropy(net(torch.rand(256, 1, 28, 28)), torch.zeros(256, dtype=torch.long)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    _end()


def main() -> None:
    if not sys.argv[1:]:
        by_hand()
    sys.meta_path.insert(0, _FirstUpdate())
    sys.argv[:] = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
