"""What is on disk of a sweep: how far each job is, and whether a directory may be gone on with. Imports no torch."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from lenet.config import Config
from lenet.errors import BadInput
from lenet.runs.directory import INCIDENTAL, RunDirectory
from lenet.runs.safe_io import YAML_LOADER, read_yaml
from lenet.sweeps.design import Sweep, baseline_of
from lenet.sweeps.names import label
from lenet.system.lock import FolderLock
from lenet.tables import aligned
from lenet.text import counted, one_line

FAILED = ".failed"  # is in the directory of a sweep once a job has failed since it was started

LARGEST_FIGURE = 1e12  # seconds, images per second: no run has had as many

MOST_NAMED = 5  # keys that are named where two runs differ


def swept(directory: Path) -> list[str]:
    """The overrides that tell the jobs of a directory's sweep from one another; none if it holds no sweep."""
    try:
        jobs = Sweep.read(directory).jobs
    except BadInput:
        return []
    return list(dict.fromkeys(text for job in jobs for text in job.overrides))


ENDED = ("completed", "failed", "pruned")  # pruned: a search has given it up


def state(run: RunDirectory) -> str:
    """What became of a run: one of `ENDED`, `running`, `cut off` or `not started`."""
    result = run.read_result()
    if result is None:
        return "cut off" if run.begun else "not started"
    if result.get("status") in ENDED:
        return str(result["status"])
    if run.is_locked:
        return "running"
    result = run.read_result() or {}  # it may have ended since it was read
    return str(result["status"]) if result.get("status") in ENDED else "cut off"


def implausible(result: Mapping[str, Any]) -> str:
    """What is wrong with the figures of a result; nothing if they can be true. A loss may be anything, also nan."""
    metrics = result.get("metrics") or {}
    for name, value in metrics.items():
        if name.endswith("/acc") and not 0 <= value <= 1:
            return f"{one_line(name)}={value} is no share of the images"
    for name in ("epochs", "best_epoch", "seconds", "examples_per_sec"):
        if not 0 <= (result.get(name) or 0) < LARGEST_FIGURE:
            return f"{name}={result[name]} cannot be"
    return ""


def check_directory(directory: Path, configs: Mapping[str, Config], sweep: Sweep) -> None:
    """Whether what is there already belongs to this sweep, the config of whose jobs are `configs`, by name.

    Raises:
        BadInput: it is a sweep over something else, or a run has another config; it says what, and the two ways out.
    """
    if (directory / "sweep.json").exists():
        before = Sweep.read(directory, whole=False)
        names = [(one.design if one.parameters else "", list(one.parameters)) for one in (before, sweep)]
        if names[0] != names[1] and before.jobs:
            old, new = (f"{', '.join(one.parameters) or 'seeds alone'} ({one.design})" for one in (before, sweep))
            raise BadInput(
                f"{directory}: holds a sweep over {old}, and this one is over {new}; give name=ANOTHER for a "
                f"directory of its own, or remove {directory / 'sweep.json'} to put this one in its place"
            )
    for name, config in configs.items():
        check_job(directory / name)
        run = RunDirectory(directory / name)
        if not (run.path / "config.yaml").exists():
            continue
        asked = recipe(asdict(config))
        with suppress(yaml.YAMLError, ValueError, OverflowError, OSError):
            if recipe(yaml.load(read_yaml(run.path / "config.yaml"), YAML_LOADER)) == asked:
                continue
        recorded = recipe(asdict(run.read_config()))  # slower, and knows keys that are newer than the run
        if differing := [key for key, value in asked.items() if recorded[key] != value]:
            old, new = (
                ", ".join(f"{key}={label(one[key])}" for key in differing[:MOST_NAMED]) for one in (recorded, asked)
            )
            more = f" (and {len(differing) - MOST_NAMED} more)" if len(differing) > MOST_NAMED else ""
            raise BadInput(
                f"{run.path}: holds a run with {old}, and this sweep has {new}{more}; give name=ANOTHER for a sweep of "
                f"its own, or remove {run.path}"
            )


def check_job(path: Path) -> None:
    """Whether a job's directory is one of the sweep's own, so that what is cleared or written there is the sweep's.

    Raises:
        BadInput: it is a link to another place.
    """
    if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(path.parent)):
        raise BadInput(
            f"{path}: a link to {path.readlink()}, which is no part of the sweep and is not to be changed by it; put a "
            "copy in its place, or remove it"
        )


def recipe(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every key of a config but those that do not make it another run."""
    found: dict[str, Any] = {}
    for key, value in (config if isinstance(config, dict) else {}).items():
        if isinstance(value, dict):
            found |= recipe(value, f"{prefix}{key}.")
        elif prefix + str(key) not in ("name", "resume", "data.classes", *INCIDENTAL):
            found[prefix + str(key)] = value
    return found


def is_at_work(directory: Path) -> bool:
    """Whether a process runs the sweep in `directory`."""
    return FolderLock(directory).is_taken


def plan(sweep: Sweep, directory: Path) -> str:
    """A table of the jobs: what each varies, how large its net is, and whether it is done; and the baseline."""
    rows = [("", "job", "parameters", "MACs", "epochs", "")]
    left = 0
    for number, job in enumerate(sweep.jobs, 1):
        is_state = state(RunDirectory(directory / job.name))
        done = RunDirectory(directory / job.name).epochs if is_state in ("cut off", "running") else 0
        left += job.epochs - done if is_state != "completed" else 0
        rows.append((str(number), job.name, f"{job.parameters:,}", f"{job.macs:,}", str(job.epochs), is_state))
    lines = aligned(rows, right=(0, 2, 3, 4))
    lines += [f"baseline: {words}"] if (words := baseline_of(sweep)) else []
    counts = f"{counted(len(sweep.jobs), 'job')}, {counted(left, 'epoch')}"
    lines.append(f"{counts} to do, in {directory}; nothing was started")
    return "\n".join(lines)
