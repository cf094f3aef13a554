"""Strangers' files within bounds, in our words whatever a library would say."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from lenet.runs import safe_io
from lenet.runs.safe_io import TOO_DEEP, check_yaml, open_file, parse_json, read_bytes

DEEP = {
    "lists": "tags: " + "[" * 30_000 + "]" * 30_000,
    "lists without end": "tags: " + "[" * 30_000,
    "mappings": "{a: " * 3000,
    "both": "[{a: " * 3000,
    "dashes": "- " * 3000,
    "indents": "\n".join(" " * depth + "a:" for depth in range(300)),
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP.keys())
def test_what_is_too_deep_is_refused_in_our_words(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=TOO_DEEP):
        check_yaml(text)
    monkeypatch.setattr(safe_io, "YAML_LOADER", yaml.SafeLoader)  # where the one written in C is not there
    with pytest.raises(ValueError, match=TOO_DEEP):
        check_yaml(text)


def test_so_is_what_the_parser_finds_too_deep_before_it_says_that_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(text: str, loader: Any) -> Any:  # as from PyYAML 6.0.4 on
        yield yaml.StreamStartEvent()
        place = yaml.Mark("<unicode string>", 1006, 0, 1006, text, 1006)
        raise yaml.scanner.ScannerError("while increasing flow level", None, "exceeded maximum nesting depth", place)

    monkeypatch.setattr(yaml, "parse", parse)
    with pytest.raises(ValueError, match=TOO_DEEP):
        check_yaml(DEEP["lists"])
    with pytest.raises(yaml.YAMLError):  # which is about something else
        check_yaml("a: b" * 1000)


def test_brackets_within_words_are_no_depth() -> None:
    assert check_yaml("tags: ['" + "[" * 50 + "']")


def test_what_is_no_yaml_is_called_that() -> None:
    with pytest.raises(yaml.YAMLError):
        check_yaml("model: [")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_json_that_is_too_deep_is_refused_in_the_same_words(text: str) -> None:
    with pytest.raises(ValueError, match=TOO_DEEP):
        parse_json(text)


def test_a_file_with_more_bytes_than_any_of_ours_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.truncate(tmp_path / "file", 2**42)  # of which the disk holds nothing
    with pytest.raises(ValueError, match="more than 1,000 bytes"):
        open_file(tmp_path / "file", 1000)
    with pytest.raises(ValueError, match="bytes"):
        read_bytes(tmp_path / "file")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "file")
    with pytest.raises(ValueError, match="no regular file"):
        open_file(tmp_path / "file")
