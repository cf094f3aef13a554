"""What would break with the newest releases? Tries them in an environment of its own, .venv-newest.

    uv run scripts/newest.py [ARGUMENTS OF PYTEST ...]

`uv run` and requirements.txt give the releases of one day (`exclude-newer` in pyproject.toml). This takes the newest
ones within the bounds instead, lists what differs, and runs the tests with them. Where tests fail that pass with the
listed releases, it upgrades half of the packages at a time, and half of that half, and says which one breaks them.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
ENVIRONMENT = PROJECT / ".venv-newest"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
UV = os.environ.get("UV", "uv")  # `uv run` says which uv it is

NOW = ["--exclude-newer", (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")]

Pins = dict[str, str]  # package: version


def uv(*arguments: str) -> None:
    """Run uv.

    Raises:
        SystemExit: it failed; it has said why.
    """
    if subprocess.run([UV, *arguments], cwd=PROJECT, check=False).returncode:
        sys.exit(f"error: uv {' '.join(arguments)}: failed, see above")


def resolve(target: Path, *options: str) -> Pins:
    """Resolve pyproject.toml for this machine into `target`, whose present pins are kept where `options` allow."""
    uv("pip", "compile", "-q", "pyproject.toml", "--all-extras", "--group", "dev", "--no-header", "--no-annotate",
       "-o", str(target), *options)  # fmt: skip
    return pins(target)


def pins(file: Path) -> Pins:
    """The releases that a file of requirements gives."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", file.read_text(encoding="utf-8"), re.MULTILINE))


def install(pins: Path) -> None:
    """Make the environment hold exactly these packages, and this project."""
    # Whatever their day: pyproject.toml has another.
    uv("pip", "sync", "-q", *NOW, "--python", str(PYTHON), str(pins))
    uv("pip", "install", "-q", "--python", str(PYTHON), "--no-deps", "-e", ".")


def failing(arguments: Sequence[str]) -> list[str] | None:
    """Run the tests; the names of those that fail, or None where they did not run, as pytest itself did not."""
    command = [str(PYTHON), "-m", "pytest", "-q", "-rfE", *arguments]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode == 0:
        return []
    found = [match[1] for line in lines if (match := re.match(r"(?:FAILED|ERROR) (.+?)(?: - .*)?$", line))]
    return found or None


def changed(old: Pins, new: Pins) -> list[str]:
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def culprits(
    names: Sequence[str], tests: Sequence[str], tested: Path, folder: Path, only_to_run: bool = False
) -> list[str]:
    """Which of the packages break the tests, found by halves: a half that breaks nothing has no culprit in it.

    Several that break them only together are given together.

    Args:
        only_to_run: tests that run are not broken, whether they pass or not.
    """
    if len(names) == 1:
        return list(names)
    middle = len(names) // 2
    found = []
    for half in (names[:middle], names[middle:]):
        some = folder / "some.txt"
        shutil.copyfile(tested, some)
        resolve(some, *NOW, *(option for name in half for option in ("--upgrade-package", name)))
        install(some)
        fail = failing(tests)
        breaks = fail is None or bool(fail and not only_to_run)
        print(f"\n{', '.join(half)}: {'breaks them' if breaks else 'fine'}\n", flush=True)
        found += culprits(half, tests, tested, folder, only_to_run) if breaks else []
    return found or [" and ".join(names)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs=argparse.REMAINDER, help="arguments of pytest; default: -n 2")
    arguments = parser.parse_args().tests or ["-n", "2"]

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        tested, newest = folder / "tested.txt", folder / "newest.txt"
        old = resolve(tested)
        new = resolve(newest, *NOW)
        names = changed(old, new)
        if not names:
            print("the newest releases are those that the tests ran with")
            return 0
        for name in names:
            print(f"{name}: {old.get(name, 'none')} -> {new.get(name, 'none')}")
        print(flush=True)
        if not PYTHON.exists():
            uv("venv", "-q", "--python", sys.executable, str(ENVIRONMENT))
        install(newest)
        tests = failing(arguments)
        if tests == []:
            print(f"the tests pass with the newest releases of these {len(names)} packages")
            return 0
        install(tested)
        before = failing(tests or arguments)
        if before is None:
            print("the tests did not run with the listed releases either, see above")
            return 1
        if tests and before:
            print(f"{len(before)} of these fail with the listed releases too: {' '.join(before)}")
            tests = [test for test in tests if test not in before]
        if tests == []:
            print("so no newer release breaks anything")
            return 1
        found = culprits(names, tests or arguments, tested, folder, only_to_run=tests is None)
    if tests is None:
        print("\nthe tests did not run with the newest releases")
    else:
        print(f"\nfail with the newest releases: {' '.join(tests)}")
    for name in found:
        print(f"because of {name}" + (f" {old.get(name)} -> {new.get(name)}" if name in names else ""))
    return 1


if __name__ == "__main__":
    sys.exit(main())
