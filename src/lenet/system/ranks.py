"""Several processes that train one net together, one for each device: which of them this is. Imports no torch."""

import os

# Of torchrun, Slurm and Lightning; each is 0 in the process that speaks for all, and one is not in every other.
NUMBERS = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")


def is_first() -> bool:
    """Whether this is the process that makes the run directory, writes and prints; alone, a process is the first."""
    return all(os.environ.get(name, "0") == "0" for name in NUMBERS)
