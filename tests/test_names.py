"""A folder's name is one on every system."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet.runs.names import LONGEST, made_safe, seen_as, trouble


@pytest.mark.parametrize("name", ["lenet", "größe", "pool=max,seed=3", "a.b", ".hidden", "console", "com10", "x.con"])
def test_a_plain_name_is_kept(name: str) -> None:
    assert trouble(name, 100) == ""
    assert made_safe(name, 100) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [("con", "stands for a device"), ("NUL.txt", "stands for a device"), ("lpt¹", "stands for a device"),
     ("relu.", "drops a dot"), ("", "give up to 9"), ("..", "give up to 9"), ("a/b", "give up to 9"),
     ("a b", "give up to 9"), ("a" * 10, "give up to 9")],
)  # fmt: skip
def test_what_some_system_cannot_have_is_said(name: str, reason: str) -> None:
    assert reason in trouble(name, 9)


@given(st.text(min_size=1, max_size=300), st.integers(20, 200))
def test_whatever_a_name_is_made_of_every_system_takes_it(text: str, longest: int) -> None:
    safe = made_safe(text, longest)
    assert trouble(safe, longest + 9) == ""
    assert len(safe.encode()) <= LONGEST
    assert made_safe(text, longest) == safe


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (made_safe(one, 30) == made_safe(other, 30)) == (one == other)


def test_a_system_without_case_sees_one_name() -> None:
    assert seen_as("Größe") == seen_as("GRÖSSE") == seen_as("gro\u0308ße")
    assert seen_as("pool") != seen_as("poll")
