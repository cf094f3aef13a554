"""requirements.txt pins what pyproject.toml allows: exactly, completely, and without naming a host."""

import itertools
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from conftest import PROJECT

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
PROJECTS = PYPROJECT["project"]["dependencies"] + [text for extra in EXTRAS.values() for text in extra]
WANTED = [Requirement(text) for text in PROJECTS + PYPROJECT["dependency-groups"]["dev"]]


def pins() -> dict[str, list[Requirement]]:
    """Canonical name -> its pins; more than one where Python versions or platforms need different releases."""
    text = (PROJECT / "requirements.txt").read_text()
    found = defaultdict(list)
    for head in re.findall(r"^(?!#)(\S[^\n]*?) \\\n    --hash=sha256:", text, re.MULTILINE):
        pin = Requirement(head)
        found[canonicalize_name(pin.name)].append(pin)
    return found


@pytest.mark.parametrize("wanted", WANTED, ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_within_its_bounds(wanted: Requirement) -> None:
    found = pins()[canonicalize_name(wanted.name)]
    assert found, f"{wanted} has no pin: export requirements.txt anew"
    for pin in found:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert wanted.specifier.contains(exact.version), f"{pin} is outside {wanted}: export requirements.txt anew"


def test_what_the_dependencies_need_is_pinned_too() -> None:
    pinned, seen = pins(), set()
    open_names = [canonicalize_name(requirement.name) for requirement in WANTED]
    while open_names:
        name = open_names.pop()
        assert name in pinned, f"{name} is missing: export requirements.txt anew"
        if name in seen:
            continue
        seen.add(name)
        try:
            if not any(pin.specifier.contains(version(name)) for pin in pinned[name]):
                continue  # a later release is installed here, and may need other things
            needs = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:  # a pin for another platform or Python
            continue
        extras = {extra for wanted in WANTED if canonicalize_name(wanted.name) == name for extra in wanted.extras} | {
            ""
        }
        open_names += [
            canonicalize_name(need.name)
            for need in needs
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    assert len(seen) > len(WANTED)


def test_every_line_is_a_pin_with_hashes_and_none_names_a_host() -> None:
    text = (PROJECT / "requirements.txt").read_text()
    assert "://" not in text
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert sum(not line.startswith("    --hash=sha256:") for line in lines) == sum(map(len, pins().values())) > 50


def test_a_clean_resolution_gives_the_pinned_versions(tmp_path: Path) -> None:
    """What `uv run` does on a machine that has nothing of ours, on whatever day."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        pytest.skip("there is no uv here: the packages came with pip, from requirements.txt")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, tmp_path)
    own = {name: value for name, value in os.environ.items() if name not in ("UV_EXCLUDE_NEWER", "VIRTUAL_ENV")}
    options = ["--format", "requirements-txt", "--no-emit-project", "--no-annotate", "--no-header"]
    done = subprocess.run([uv, "export", "-q", *options], cwd=tmp_path, env=own, capture_output=True, text=True)
    if done.returncode and "CI" not in os.environ:
        pytest.skip(f"the package index cannot be reached: {done.stderr}")
    assert done.returncode == 0, done.stderr
    pinned = re.sub(r"^#.*\n", "", (PROJECT / "requirements.txt").read_text(), flags=re.MULTILINE)
    assert done.stdout == pinned, "export requirements.txt anew, as its second line says"


@given(names=st.lists(st.text("abc", min_size=1), unique=True, min_size=1), data=st.data())
def test_newest_names_the_one_package_that_breaks_the_tests(
    names: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    culprit = data.draw(st.sampled_from(names))
    newest = runpy.run_path(str(PROJECT / "scripts/newest.py"))
    upgraded: list[str] = []

    def resolve(target: Path, *options: str) -> None:
        upgraded[:] = [options[i + 1] for i, word in enumerate(options) if word == "--upgrade-package"]

    spoilt = {"resolve": resolve, "install": lambda pins: None, "failing": lambda tests: tests * (culprit in upgraded)}
    culprits = newest["culprits"]
    culprits.__globals__.update(spoilt)
    assert culprits(names, ["test"], PROJECT / "requirements.txt", tmp_path_factory.getbasetemp()) == [culprit]


@pytest.mark.parametrize(
    ("newest", "listed", "words"),
    [
        ([], None, "the tests pass with the newest releases of these 2 packages"),
        (["t"], [], "fail with the newest releases: t\nbecause of b 1 -> 2"),
        (["t"], ["t"], "so no newer release breaks anything"),
        (None, [], "the tests did not run with the newest releases\nbecause of b 1 -> 2"),
        (None, ["t"], "the tests did not run with the newest releases\nbecause of b 1 -> 2"),
        (None, None, "the tests did not run with the listed releases either, see above"),
    ],
)
def test_that_tests_did_not_run_is_another_answer_than_that_they_fail(
    newest: list[str] | None, listed: list[str] | None, words: str, monkeypatch, capsys
) -> None:
    """The release of b is what makes the difference."""
    script = runpy.run_path(str(PROJECT / "scripts/newest.py"))
    is_new = False

    def resolve(target: Path, *options: str) -> dict[str, str]:
        target.touch()
        upgraded = [options[i + 1] for i, word in enumerate(options) if word == "--upgrade-package"]
        nonlocal is_new
        is_new = "b" in upgraded or target.name == "newest.txt"
        return dict.fromkeys("ab", "2" if target.name == "newest.txt" else "1")

    def install(pins: Path) -> None:
        nonlocal is_new
        is_new = is_new if pins.name == "some.txt" else pins.name == "newest.txt"

    spoilt = {"resolve": resolve, "install": install, "failing": lambda _: newest if is_new else listed}
    script["main"].__globals__.update(spoilt | {"PYTHON": Path(sys.executable)})
    monkeypatch.setattr(sys, "argv", ["newest.py"])
    script["main"]()
    assert words in capsys.readouterr().out


def test_a_pytest_that_cannot_begin_has_run_no_test(tmp_path: Path, monkeypatch) -> None:
    failing = runpy.run_path(str(PROJECT / "scripts/newest.py"))["failing"]
    failing.__globals__.update(PYTHON=Path(sys.executable), PROJECT=tmp_path)
    (tmp_path / "test_it.py").write_text("def test_it():\n    assert False\n")
    assert failing(["test_it.py", "-p", "no:cacheprovider"]) == ["test_it.py::test_it"]
    assert failing(["test_it.py", "-p", "there_is_no_such_plugin"]) is None


def test_every_dependency_has_a_lower_bound_and_a_reason_beside_it() -> None:
    text = (PROJECT / "pyproject.toml").read_text()
    lines = text.splitlines()
    for requirement in WANTED:
        numbers = [i for i, line in enumerate(lines) if re.match(rf'  "{requirement.name}\b(?!-)', line)]
        assert numbers
        for number in numbers:
            assert lines[number - 1].lstrip().startswith("#"), f"{requirement.name}: no reason beside its bound"
        assert any(spec.operator == ">=" for spec in requirement.specifier), requirement


# The first release that no advisory known to us on 2026-11-22 is about, and the newest advisory. pip-audit would know
# more, where its database can be reached; without it, it passes everything.
ADVISORIES = {
    "torch": ("2.13.0", "CVE-2025-3000"),
    "lightning": ("2.6.6", "CVE-2026-58659"),
    "hydra-core": ("1.3.7", "CVE-2026-106439"),
    "pillow": ("13.0.0", "CVE-2026-112403"),
    "tqdm": ("4.66.3", "CVE-2024-34062"),
    "filelock": ("4.2.1", "CVE-2026-112909"),
    "pytest": ("9.0.3", "CVE-2025-71176"),
    "aiohttp": ("3.14.4", "CVE-2026-111748"),
    "certifi": ("2024.7.4", "CVE-2024-39689"),
    "cryptography": ("46.0.5", "CVE-2026-26007"),
    "fonttools": ("4.60.2", "CVE-2025-66034"),
    "fsspec": ("2026.6.0", "CVE-2026-104851"),
    "gitpython": ("3.1.41", "CVE-2024-22190"),
    "grpcio": ("1.65.4", "CVE-2024-7246"),
    "h11": ("0.16", "CVE-2025-43859"),
    "idna": ("3.15", "CVE-2026-45409"),
    "jinja2": ("3.1.6", "CVE-2025-27516"),
    "joblib": ("1.5", "CVE-2024-34997"),
    "mako": ("1.2.2", "CVE-2022-40023"),
    "markdown": ("3.8.1", "CVE-2025-69534"),
    "protobuf": ("6.33.5", "CVE-2026-0994"),
    "pyasn1": ("0.6.2", "CVE-2026-23490"),
    "pygments": ("2.20.0", "CVE-2026-4539"),
    "requests": ("2.33.0", "CVE-2026-25645"),
    "setuptools": ("83.0.0", "CVE-2026-59890"),
    "sqlparse": ("0.5", "CVE-2024-4340"),
    "starlette": ("0.49.1", "CVE-2025-62727"),
    "urllib3": ("2.6.3", "CVE-2026-21441"),
    "zipp": ("3.19.1", "CVE-2024-5569"),
    "werkzeug": ("3.1.6", "CVE-2026-27199"),
}
CONSTRAINTS = [Requirement(text) for text in PYPROJECT["tool"]["uv"]["constraint-dependencies"]]


@pytest.mark.parametrize("name", ADVISORIES)
def test_uv_resolves_no_release_with_a_known_vulnerability(name: str) -> None:
    safe, advisory = ADVISORIES[name]
    (bound,) = [requirement for requirement in WANTED + CONSTRAINTS if requirement.name == name]
    (lowest,) = [Version(spec.version) for spec in bound.specifier if spec.operator == ">="]
    assert lowest >= Version(safe), f"{bound} lets releases with {advisory} in"
    assert all(Version(next(iter(pin.specifier)).version) >= Version(safe) for pin in pins()[canonicalize_name(name)])
    lines = (PROJECT / "pyproject.toml").read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines) if re.match(rf'  "{name}\b(?!-)', line)]
    beside = "\n".join(itertools.takewhile(lambda line: line.lstrip().startswith("#"), reversed(lines[:number])))
    assert advisory in beside


def test_every_constraint_on_what_comes_along_names_its_advisory() -> None:
    assert {constraint.name for constraint in CONSTRAINTS} <= ADVISORIES.keys()


@pytest.mark.parametrize("bad", ["2.6.2", "2.6.3", "2.6.5"])
def test_lightning_releases_that_are_malicious_or_run_code_from_checkpoints_cannot_be_resolved(bad: str) -> None:
    (lightning,) = [requirement for requirement in WANTED if requirement.name == "lightning"]
    assert not lightning.specifier.contains(bad)


def test_the_readmes_test_command_is_what_decides() -> None:
    """Here and on the systems of those who publish the project."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^    (python3 -m pip install .*)$", readme, re.MULTILINE)
    assert first.endswith("scripts/train.py")
    assert (PROJECT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1] == second
    workflow = (PROJECT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    assert first in workflow
    assert second in workflow


def test_each_system_is_held_against_the_releases_that_it_should_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "scripts"))
    resolve = runpy.run_path(str(PROJECT / "scripts/resolve.py"))
    text = (
        "a==1 ; python_version < '3.12' \\\n    --hash=x\na==2 ; python_version >= '3.12'\n"
        "b==1 ; sys_platform == 'win32'\n"
    )
    assert resolve["tested"](text, "Linux, x86-64", "3.11") == {"a": "1"}
    assert resolve["tested"](text, "Windows, x86-64", "3.13") == {"a": "2", "b": "1"}
    assert resolve["verdict"]({"a": "1", "b": "1"}, {"a": "1"}) == ""
    assert resolve["verdict"]({"a": "1"}, {"a": "2", "c": "3"}) == "a 2, tested 1, c 3, tested None"
