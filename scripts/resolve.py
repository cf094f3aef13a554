"""Does each system with each Python get the releases that the tests ran with? Asks the package index; by hand.

    uv run scripts/resolve.py

requirements.txt lists them. Exit status 1 where some system gets another release, or none.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from newest import PROJECT, UV, Pins, changed, pins
from packaging.requirements import Requirement

# What uv calls each, and what Python says of it.
SYSTEMS = {
    "Linux, x86-64": ("x86_64-manylinux_2_28", "linux", "x86_64"),
    "Linux, ARM": ("aarch64-manylinux_2_28", "linux", "aarch64"),
    "macOS 14, Apple silicon": ("aarch64-apple-darwin", "darwin", "arm64"),
    "Windows, x86-64": ("x86_64-pc-windows-msvc", "win32", "AMD64"),
    "macOS 14, Intel": ("x86_64-apple-darwin", "darwin", "x86_64"),
}
OUT_OF_REACH = ("macOS 14, Intel",)  # torch is no longer built for it
PYTHONS = ("3.11", "3.12", "3.13")


def tested(text: str, system: str, python: str) -> Pins:
    """The releases of a requirements.txt for a system and a Python: some have a line for each."""
    _, platform, machine = SYSTEMS[system]
    here = {"sys_platform": platform, "platform_machine": machine, "python_version": python,
            "python_full_version": f"{python}.0", "os_name": "nt" if platform == "win32" else "posix",
            "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[platform]}  # fmt: skip
    found = {}
    for line in text.splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            one = Requirement(line.rstrip("\\ "))
            if one.marker is None or one.marker.evaluate(here):
                found[one.name] = str(one.specifier).removeprefix("==")
    return found


def verdict(known: Pins, got: Pins) -> str:
    """What differs from the tested releases, of the packages that a system needs; "" if nothing does."""
    return ", ".join(f"{name} {got[name]}, tested {known.get(name)}" for name in changed(known, got) if name in got)


def get(platform: str, python: str, target: Path) -> str:
    """Resolve into `target` for a system; what uv complains of, or "" where it found releases."""
    command = [UV, "pip", "compile", "-q", "pyproject.toml", "--all-extras", "--group", "dev", "--no-header",
               "--no-annotate", "--only-binary", ":all:", "--no-binary", "antlr4-python3-runtime",
               "--python-platform", platform, "--python-version", python, "-o", str(target)]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"},  # where uv takes 13 as long as nobody says
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    return " ".join(done.stderr.split()) if done.returncode else ""


def main() -> None:
    listed, failed = (PROJECT / "requirements.txt").read_text(encoding="utf-8"), False
    with tempfile.TemporaryDirectory() as folder:
        for system, (platform, *_) in SYSTEMS.items():
            for python in PYTHONS:
                target = Path(folder) / f"{platform}-{python}.txt"
                complaint = get(platform, python, target)
                found = {} if complaint else pins(target)
                differs = complaint or verdict(tested(listed, system, python), found)
                if system in OUT_OF_REACH:
                    said, bad = (f"out of reach, as expected ({differs[:200]})", False) if differs else ("works", True)
                else:
                    said, bad = differs or f"the {len(found)} tested releases", bool(differs)
                failed |= bad
                print(f"{system}, Python {python}: {said}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
