"""Memory that a batch frees is there for the next one."""

import platform
import subprocess
import sys

import pytest

# Three layers of 64 MB, freed and asked for again: left to itself, glibc never keeps a block of more than 32 MB.
BATCHES = """
import resource
import torch
from lenet.system.allocator import keep_freed_memory

{call}
def batch():
    layers = [torch.ones(16_000_000) for _ in range(3)]
    return sum(layer[0] for layer in layers)

for _ in range(5):
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    batch()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 20)
"""


def pages_per_batch(call: str) -> int:
    done = subprocess.run([sys.executable, "-c", BATCHES.format(call=call)], capture_output=True, text=True, check=True)
    return int(done.stdout)


GLIBC = platform.libc_ver()[0] == "glibc" and tuple(map(int, platform.libc_ver()[1].split("."))) >= (2, 35)


@pytest.mark.skipif(not GLIBC, reason="another C library has other means, and an older one keeps smaller blocks alone")
def test_a_batch_asks_the_system_for_no_page_that_the_one_before_has_freed() -> None:
    assert pages_per_batch("keep_freed_memory()") < pages_per_batch("") / 10  # a page or two are somebody else's
