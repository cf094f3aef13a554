"""docs/keys.md is what lenet.config says of every key: uv run pytest tests/test_keys.py --write-docs"""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from math import isinf

import pytest

from conftest import PROJECT
from lenet import config
from lenet.bounds import Bound
from lenet.cli.usage import _written
from lenet.config import Config, limits, schema, value_of
from lenet.rules.model import INIT_CHOICES

PAGE = PROJECT / "docs/keys.md"
HEAD = """# Every key

Made from [config.py](../src/lenet/config.py) by `uv run pytest tests/test_keys.py --write-docs`. A key is set on the
command line by `key=value`; `null` is no value, and a list is written `"[6,16]"`. What may not stand together is said
when it is tried. The files of `conf/` set several keys at once, such as `optimizer=adam`.
"""

KINDS = {int: "an integer", float: "a number", bool: "true or false", str: "text", list[int]: "integers",
         list[float]: "numbers", list[str]: "words"}  # fmt: skip


def comments() -> dict[tuple[str, str], str]:
    """What config.py says of each field, above it and behind it, by class and name."""
    source = inspect.getsource(config)
    lines, found = source.splitlines(), {}
    for node in ast.parse(source).body:
        for field in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.end_lineno:
                above = []
                for line in reversed(lines[: field.lineno - 1]):
                    if not line.strip().startswith("# "):
                        break
                    above.insert(0, line.strip()[2:])
                behind = re.search(r"  # (.*)", lines[field.end_lineno - 1][field.end_col_offset or 0 :])
                found[node.name, field.target.id] = " ".join([*above, *([behind[1]] if behind else [])])  # type: ignore[union-attr]
    return found


def may_be(key: str) -> str:
    """The type, the bounds or the choices of a key."""
    kind, limit = schema()[key], limits().get(key)
    if key == "model.init":
        return "; ".join(f"{net}: {', '.join(known)}" for net, known in INIT_CHOICES.items())
    null = " or null" if "None" in str(kind) else ""
    if isinstance(limit, Bound):
        words = limit.remedy.removeprefix("give ").removesuffix(", or null")
        return words + ("" if "null" in words else null)
    if limit:
        return ", ".join(limit) + null
    plain = [name for known, name in KINDS.items() if kind == known or str(known.__name__) in str(kind).split(" | ")]
    return " or ".join(plain) + null


def page() -> Iterator[str]:
    said, usual = comments(), Config()
    groups: dict[str, list[str]] = {}
    for key, kind in schema().items():
        if not is_dataclass(kind):
            groups.setdefault(key.rpartition(".")[0], []).append(key)
    yield HEAD
    for group, keys in groups.items():
        owner = type(value_of(usual, group)) if group else Config
        about = inspect.getdoc(owner) or ""
        yield f"## {group or 'The run'}\n"
        if group and not about.startswith(owner.__name__ + "("):  # which a dataclass has by itself
            yield f"{about}\n"
        silent = "as Lightning's Trainer has it" if group == "trainer" else ""
        yield "| key | default | may be | meaning |\n| --- | --- | --- | --- |"
        for key in keys:
            meaning = said[owner.__name__, key.rpartition(".")[2]] or silent
            cells = [f"`{key}`", f"`{_written(value_of(usual, key))}`", may_be(key), meaning]
            yield f"| {' | '.join(cell.replace('|', 'or').replace('<', '&lt;') for cell in cells)} |"
        yield ""


def test_the_page_of_keys_is_what_the_config_says(request: pytest.FixtureRequest, monkeypatch) -> None:
    monkeypatch.delenv("LENET_DATA", raising=False)
    made = "\n".join(page())
    if request.config.getoption("--write-docs"):
        PAGE.write_text(made, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == made, "another docs/keys.md: --write-docs makes it anew"


def test_every_key_is_on_the_page_with_its_meaning() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for key, kind in schema().items():
        if not is_dataclass(kind):
            (row,) = re.findall(rf"^\| `{re.escape(key)}` \|.*", text, re.M)
            default, may, meaning = row.strip("| ").split(" | ")[1:]
            assert default, key
            assert may, key
            assert len(meaning) > 3, key


def test_no_bound_of_the_page_is_infinite() -> None:
    assert not re.search(r"\binf\b", PAGE.read_text(encoding="utf-8"))
    assert any(isinf(limit.largest) for limit in limits().values() if isinstance(limit, Bound))
