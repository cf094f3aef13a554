"""A sweep as data: its parameters, the jobs that a design makes of them, and what is on disk of each.

`sweep.json` in the directory of a sweep lists the jobs, so that a report knows what is missing; each job is a run
directory beside it. Nothing here imports torch or Hydra.
"""

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from lenet.errors import BadInput
from lenet.runs.files import write_atomically
from lenet.runs.names import made_safe, seen_as
from lenet.runs.safe_io import fits, read_json
from lenet.sweeps.names import short
from lenet.text import did_you_mean, one_line, shortened

DESIGNS = ("grid", "one_at_a_time", "paired")

SEARCH = "search"  # a design of its own kind: `lenet.search` makes one job after another

LONGEST_NAME = 100  # characters of a job's directory: Windows takes 259 for a whole path

LONGEST_LABEL = 500  # characters of a parameter's name or of a value; they stand in tables and pictures

MOST_JOBS = 100_000


@dataclass(frozen=True)
class Level:
    """One value of a parameter: what it is called, and the overrides that set it."""

    label: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """Something that a sweep varies: a key of the config, or several together under a name."""

    name: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    name: str  # of its directory: what it varies, and its seed
    setting: str  # the same without the seed
    levels: dict[str, str]  # the label of every parameter of the sweep, varied by this job or not
    seed: int
    overrides: list[str]  # beside those that all jobs share
    epochs: int
    parameters: int
    macs: int


@dataclass(frozen=True)
class Sweep:
    """All jobs in the order in which they run."""

    design: str
    parameters: dict[str, list[str]]  # the labels of each parameter, in the order given
    baseline: dict[str, str]  # the label of each parameter that the others are held against
    jobs: list[Job] = field(default_factory=list)
    alone: bool = False  # its jobs have run one at a time, ever since the first, so that their seconds say something
    search: dict[str, dict[str, str]] = field(default_factory=dict)  # of a search: its space, and how that is searched

    def write(self, directory: Path) -> None:
        write_atomically(directory / "sweep.json", (json.dumps(asdict(self), indent=1) + "\n").encode())

    @classmethod
    def read(cls, directory: Path, whole: bool = True) -> "Sweep":
        """The sweep that was last started in `directory`.

        Args:
            whole: it is to be reported, and not only to be told from another one.

        Raises:
            BadInput: there is none, or it is not such as we write.
        """
        path = directory / "sweep.json"
        try:
            content = read_json(path)
            sweep = cls(**content | {"jobs": [Job(**job) for job in content["jobs"]]})
            reason = _not_ours(sweep) or (_not_whole(sweep) if whole else "")
        except OSError as error:
            if runs := _single_runs(directory):
                raise BadInput(
                    f"{directory}: no sweep, but {runs}; name the folder of a sweep, or compare runs with "
                    f"scripts/dashboard.py {directory}"
                ) from error
            raise BadInput(
                f"{directory}: no sweep, sweep.json cannot be read ({error.strerror}); name the folder that holds the "
                "jobs of one"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            reason = "it is damaged" if isinstance(error, ValueError) else "it has other keys than those that we write"
        if reason:
            raise BadInput(
                f"{path}: not the list of a sweep's jobs ({reason}); remove it and start the sweep again, which finds "
                "the jobs that are done"
            )
        return sweep


def _single_runs(directory: Path) -> str:
    """Which runs there are in a directory that is no sweep's, in words; nothing if there are none."""
    if (directory / "config.yaml").is_file():
        return "a single run"
    return "single runs" if any(directory.glob("*/config.yaml")) else ""


def _not_ours(sweep: Sweep) -> str:
    """What is wrong with a sweep that was read; nothing if every value is of its kind and can be shown.

    Every job has a directory of its own below. Names and values are a line of text each, of a length that tables and
    pictures bear.
    """
    kinds: dict[type, list[tuple[str, Any]]] = {
        of: [(key, kind) for key, kind in get_type_hints(of).items() if key != "jobs"] for of in (Sweep, Job)
    }
    for part in (sweep, *sweep.jobs):  # of which there may be thousands
        for key, kind in kinds[type(part)]:
            if not fits(vars(part)[key], kind):
                return f"{key} is not of the kind that we write"
    if sweep.design not in (*DESIGNS, SEARCH):
        return f"its design is none of {', '.join((*DESIGNS, SEARCH))}"
    if len(sweep.jobs) > MOST_JOBS:
        return f"it has {len(sweep.jobs):,} jobs, and a sweep has at most {MOST_JOBS:,}"
    texts = {text for labels in sweep.parameters.values() for text in labels} | {*sweep.parameters}
    for levels in (sweep.baseline, *(job.levels for job in sweep.jobs)):
        texts |= {*levels, *levels.values()}
    for part, words in sweep.search.items():
        texts |= {part, *words, *words.values()}
    for text in texts | {job.setting for job in sweep.jobs}:
        if len(text) > LONGEST_LABEL:
            return f"a name or value in it has {len(text):,} characters, and may have {LONGEST_LABEL}"
        if text != one_line(text):  # something that a terminal would obey
            return "a name or value in it has characters that cannot be printed"
    names = set()
    for number, job in enumerate(sweep.jobs, 1):
        if not _names_folder(job.name) or job.name in names:
            return f"the name of job {number} is not that of a directory of its own"
        names.add(job.name)
    return ""


def _names_folder(name: str) -> bool:
    """Whether it is the name of a folder beside this one, on the system where it was made."""
    return bool(re.fullmatch(r"[\w.+=,-]{1,255}", name) and name.strip("."))


def _not_whole(sweep: Sweep) -> str:
    """What in it does not go together; nothing if all jobs vary the parameters of the sweep, and there are some."""
    legal = {name: set(labels) for name, labels in sweep.parameters.items()}
    seen = {"its baseline": sweep.baseline}
    for number, job in enumerate(sweep.jobs, 1):
        if seen.setdefault(job.setting, job.levels) != job.levels:
            return f"job {number} has other values than another one of its setting"
        if not (0 <= job.seed < 2**32 and min(job.epochs, job.parameters) >= 1 and job.macs >= 0):
            return f"the seed, the epochs or the size of job {number} cannot be"
    for whose, levels in seen.items():
        if levels.keys() != legal.keys():
            return f"{shortened(whose)} varies other parameters than the sweep"
        for name, text in levels.items():
            if text not in legal[name]:
                return f"{shortened(whose)} has {shortened(f'{name}={text}')}, which is none of the sweep's values"
    return "" if sweep.jobs else "it has no jobs"


def check_labels(parameters: Sequence[Parameter]) -> None:
    """Whether all names and values can stand in tables and pictures.

    Raises:
        BadInput: one cannot.
    """
    for parameter in parameters:
        for text in (parameter.name, *(level.label for level in parameter.levels)):
            if len(text) > LONGEST_LABEL or text != one_line(text):
                raise BadInput(
                    f"{shortened(text)}: a name or value of {len(text):,} characters, and it is to stand in tables; "
                    f"give it a label of at most {LONGEST_LABEL} that can be printed"
                )


def settings(design: str, parameters: Sequence[Parameter]) -> Iterator[dict[str, Level]]:
    """What each setting of a design varies, a setting being what is repeated for every seed.

    grid: every combination. one_at_a_time: the baseline, which varies nothing, then every level by itself. paired: the
    first levels of all parameters together, then the second ones, and so on.

    Raises:
        BadInput: there is no such design, a parameter has no level, or paired ones have different numbers of them.
    """
    if design not in DESIGNS:
        known = (*DESIGNS, SEARCH)
        raise BadInput(f"hydra.sweeper.design={design}: {did_you_mean(design, known)}choose {', '.join(known)}")
    for parameter in parameters:
        if not parameter.levels:
            raise BadInput(f"{parameter.name}=[]: no value to sweep over; give at least one, or leave the key out")
    names = [parameter.name for parameter in parameters]
    counts = [len(parameter.levels) for parameter in parameters]
    if design == "grid" and math.prod(counts) > MOST_JOBS:
        raise BadInput(
            f"{' x '.join(names)}: {math.prod(counts):,} settings; a sweep has at most {MOST_JOBS:,} jobs, so take "
            "fewer values, or hydra.sweeper.design=one_at_a_time"
        )
    if not parameters:
        yield {}
    elif design == "one_at_a_time":
        yield {}
        for parameter in parameters:
            for level in parameter.levels:
                yield {parameter.name: level}
    elif design == "paired":
        if len(set(counts)) > 1:
            given = ", ".join(f"{name} has {count}" for name, count in zip(names, counts, strict=True))
            raise BadInput(f"hydra.sweeper.design=paired: {given} values; give every parameter the same number")
        for levels in zip(*(parameter.levels for parameter in parameters), strict=True):
            yield dict(zip(names, levels, strict=True))
    else:
        for levels in itertools.product(*(parameter.levels for parameter in parameters)):
            yield dict(zip(names, levels, strict=True))


def baseline_of(sweep: Sweep, known: Callable[[str, str], bool] = lambda name, text: True) -> str:
    """What the other settings are held against, such as model.pool=avg; "" if nothing but the seed varies.

    Args:
        known: whether a parameter with this value is to be told.
    """
    if sweep.design == "paired" and sweep.parameters:
        return sweep.jobs[0].setting
    keys = {text.split("=")[0].lstrip("+") for job in sweep.jobs for text in job.overrides}
    whole = {short(key): key for key in keys}  # model.pool for pool
    told = {whole.get(name, name): text for name, text in sweep.baseline.items() if known(name, text)}
    return ", ".join(f"{key}={text}" for key, text in told.items())


def job_names(jobs: Sequence[tuple[Mapping[str, Level], int | None]], varied: bool = True) -> list[str]:
    """A directory for each job, named after what it varies and its seed: pool=max,seed=3.

    A job that varies nothing is called baseline, unless nothing but the seed is `varied` in the whole sweep. A name
    depends on its job alone, so that a sweep that grows finds its jobs again; where it cannot be kept as it is, it has
    a digest at the end.

    Raises:
        BadInput: two jobs would have the same name.
    """
    names = []
    for levels, seed in jobs:
        parts = [f"{name}={level.label}" for name, level in levels.items()]
        if not parts and (varied or seed is None):
            parts = ["baseline"]
        parts += [f"seed={seed}"] if seed is not None else []
        full = json.dumps([[level.overrides for level in levels.values()], seed])
        names.append(made_safe(",".join(parts), LONGEST_NAME, told_by=full))
    (name, times), *_ = Counter(seen_as(name) for name in names).most_common(1) or [("", 0)]
    if times > 1:
        raise BadInput(f"{name}: {times} jobs of the sweep would have this name; give their values labels of their own")
    return names
