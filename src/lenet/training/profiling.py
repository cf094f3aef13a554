"""What takes how long, as Lightning's profilers measure it."""

import logging
import os

import torch
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from lenet.config import Config
from lenet.runs.directory import RunDirectory
from lenet.system.ranks import is_first

log = logging.getLogger(__name__)

# Those values of trainer.profiler that need no more than a place.
PROFILERS: dict[str, type[SimpleProfiler | AdvancedProfiler]] = {"simple": SimpleProfiler, "advanced": AdvancedProfiler}


def build_profiler(config: Config, run: RunDirectory) -> Profiler | None:
    """The profiler that the config names; it writes into the folder `profile` of the run, a file for fit and for test.

    None without one, and in all processes but the first of those that train one net.
    """
    kind = config.trainer.profiler
    if not kind or not is_first():
        return None
    log.info("what takes how long: %s", run.profile)
    if kind != "pytorch":
        return PROFILERS[kind](dirpath=run.profile, filename=kind)
    if not torch.cuda.is_available():
        # Kineto, which torch measures with, else says when it begins, and that there is no GPU.
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    return PyTorchProfiler(dirpath=run.profile, filename=kind, acc_events=True)  # validation beside training
