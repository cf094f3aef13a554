"""requirements.txt pins what pyproject.toml allows: exactly, completely, and without naming a host."""

import re
import tomllib
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, requires, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import PROJECT

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
WANTED = [Requirement(text) for text in PYPROJECT["project"]["dependencies"] + PYPROJECT["dependency-groups"]["dev"]]


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


def test_every_dependency_has_a_lower_bound_and_a_reason_beside_it() -> None:
    text = (PROJECT / "pyproject.toml").read_text()
    lines = text.splitlines()
    for requirement in WANTED:
        (number,) = [i for i, line in enumerate(lines) if re.match(rf'  "{requirement.name}\b(?!-)', line)]
        assert lines[number - 1].lstrip().startswith("#"), f"{requirement.name}: no reason beside its bound"
        assert any(spec.operator == ">=" for spec in requirement.specifier), requirement


@pytest.mark.parametrize("bad", ["2.6.2", "2.6.3", "2.6.5"])
def test_lightning_releases_that_are_malicious_or_run_code_from_checkpoints_cannot_be_resolved(bad: str) -> None:
    (lightning,) = [requirement for requirement in WANTED if requirement.name == "lightning"]
    assert not lightning.specifier.contains(bad)
