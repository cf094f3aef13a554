"""The rooms of the house: which imports which. A room is a folder of src/lenet, or a module beside the folders.

CONTRIBUTING.md shows them: uv run pytest tests/test_house.py --write-docs
"""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from conftest import PROJECT

PAGE = PROJECT / "CONTRIBUTING.md"

# From the ground up: a room imports those before it.
ORDER = (
    *("text", "tables", "errors", "bounds", "folders", "datasets", "config", "system", "runs", "models", "batches"),
    *("rules", "data", "sweeps", "training", "evaluation", "export", "playground", "dashboard"),
    *("extend", "run", "job", "search", "cli", "api"),
)

# Modules beside the folders, which the drawing has in one box.
TOGETHER = (
    ("text", "tables", "errors", "bounds", "folders", "datasets", "config"),
    ("run", "job"),
)

LONGEST = 60  # lines of a function: what a screen shows


def imports(source: Path) -> Iterator[tuple[Path, int, str]]:
    """The file, the line and the full name of each import below a folder, also of those inside functions."""
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, node.lineno, one.name) for one in node.names)
            elif isinstance(node, ast.ImportFrom):
                package = path.relative_to(source).parts[: -node.level] if node.level else ()
                before = [*package, *filter(None, [node.module])]
                yield from ((path, node.lineno, ".".join([*before, one.name])) for one in node.names)


def between_rooms(source: Path) -> Iterator[tuple[str, str, str]]:
    """The room that imports, the room that is imported, and where that stands."""
    for path, line, name in imports(source):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[0] != "lenet" or not name.startswith("lenet.") or parts[1] == "__init__":
            continue
        room, other = parts[1], name.split(".")[1]
        if other != room:
            yield room, other, f"{path.relative_to(source.parent).as_posix()}:{line}"


def upward(source: Path) -> list[str]:
    """What is wrong with the imports between rooms."""
    found = []
    for room, other, where in between_rooms(source):
        for unknown in {room, other} - set(ORDER):
            found.append(f"{where}: {unknown} has no place in the house; give it one in ORDER of tests/test_house.py")
        if {room, other} <= set(ORDER) and ORDER.index(other) > ORDER.index(room):
            found.append(f"{where}: {room} imports {other}, which is above it; move what both need to a room below")
    return found


def circle(source: Path) -> list[str]:
    """Modules that import one another in turn, also from within functions; the first again at the end."""
    paths = {".".join(path.relative_to(source).with_suffix("").parts): path for path in source.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    known = {path: name for name, path in modules.items()}
    below: dict[str, set[str]] = {name: set() for name in modules}
    for path, _, name in imports(source):
        words = name.split(".")
        longest = (".".join(words[:count]) for count in range(len(words), 0, -1))
        other = next((module for module in longest if module in modules), known[path])
        below[known[path]] |= {other} - {known[path]}
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def box(room: str) -> str:
    return next((", ".join(rooms) for rooms in TOGETHER if room in rooms), room)


def drawing(source: Path) -> str:
    """The house as a Mermaid flowchart. An arrow that others lead to as well is left out."""
    boxes = list(dict.fromkeys(box(room) for room in ORDER))
    below: dict[str, set[str]] = {one: set() for one in boxes}
    for room, other, _ in between_rooms(source):
        if box(room) != box(other):
            below[box(room)].add(box(other))

    def reached(one: str) -> set[str]:
        return below[one].union(*(reached(other) for other in below[one]))

    lines = ["```mermaid", "flowchart TD"]
    lines += [f'    {_name(one)}["{one}"]' for one in reversed(boxes)]
    for one in reversed(boxes):
        indirect = set().union(*(reached(other) for other in below[one]))
        lines += [f"    {_name(one)} --> {_name(other)}" for other in boxes if other in below[one] - indirect]
    return "\n".join([*lines, "```"]) + "\n"


def _name(box: str) -> str:
    return box.replace(", ", "_")


def rooms(source: Path) -> str:
    """A table of what each room is for: the first line of what it says of itself."""
    lines = ["| room | |", "| --- | --- |"]
    for room in reversed(ORDER):
        folder = source / "lenet" / room
        path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        meaning = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
        link = path.relative_to(source.parent).as_posix().removesuffix("/__init__.py")
        lines.append(f"| [{room}]({link}) | {meaning} |")
    return "\n".join(lines) + "\n"


def test_no_import_goes_upward() -> None:
    found = upward(PROJECT / "src")
    assert not found, "\n".join(found)


def test_no_module_imports_one_that_imports_it() -> None:
    found = circle(PROJECT / "src")
    assert not found, f"{' -> '.join(found)}: a circle; move what they need of each other to a module of its own"


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("from lenet.models.other import f", "", set()),
        ("from lenet.models.other import f", "from lenet.models import one", {"one", "other"}),
        ("from lenet.models.other import f", "def f():\n    import lenet.models.one", {"one", "other"}),
        ("from . import other", "from .one import f", {"one", "other"}),
        ("import lenet.models.other", "from lenet.models.third import f", {"one", "other", "third"}),
    ],
)
def test_a_circle_of_imports_is_found(tmp_path: Path, one: str, other: str, found: set[str]) -> None:
    folder = tmp_path / "lenet/models"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "one.py").write_text(one)
    (folder / "other.py").write_text(other)
    (folder / "third.py").write_text("def g():\n    from lenet.models.one import f")
    assert {name.rsplit(".", 1)[1] for name in circle(tmp_path)} == found


def test_every_room_has_its_place() -> None:
    there = {path.stem for path in (PROJECT / "src/lenet").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert there - {"__init__", "__pycache__"} == set(ORDER), "ORDER of tests/test_house.py has one entry for each room"


def test_nothing_in_src_imports_the_benchmarks() -> None:
    found = [f"{path}:{line}" for path, line, name in imports(PROJECT / "src") if name.split(".")[0] == "benchmarks"]
    assert not found, f"{', '.join(found)}: benchmarks/ is not in the wheel; move what both need to src/"


def test_a_function_of_src_fits_on_a_screen() -> None:
    found = []
    for path in sorted((PROJECT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno
                if (lines := node.end_lineno - node.lineno + 1) > LONGEST:
                    where = f"{path.relative_to(PROJECT).as_posix()}:{node.lineno}"
                    found.append(f"{where}: {node.name} has {lines} lines; split it, for {LONGEST} at most")
    assert not found, "\n".join(found)


def test_the_page_shows_the_house_as_it_is(request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text(encoding="utf-8")
    now = "## The house\n\n" + drawing(PROJECT / "src") + "\n" + rooms(PROJECT / "src")
    if request.config.getoption("--write-docs"):
        before, _, rest = page.partition("## The house\n")
        after = rest.find("\n## ")
        page = before + now + (rest[after:] if after >= 0 else "")
        PAGE.write_text(page, encoding="utf-8")
    assert now in page, "CONTRIBUTING.md shows another house: --write-docs makes that section anew"


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("from lenet.run import train", "text imports run, which is above it"),
        ("from lenet import run", "text imports run, which is above it"),
        ("import lenet.run", "text imports run, which is above it"),
        ("from .run import train", "text imports run, which is above it"),
        ("def f():\n    from lenet.run import train", "text imports run, which is above it"),
        ("from lenet.attic import box", "attic has no place in the house"),
    ],
)
def test_an_import_upward_is_found_however_it_is_written(words: str, wrong: str, tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / "lenet/training").mkdir(parents=True)
    (source / "lenet/training/module.py").write_text("from lenet.text import counted\nfrom ..config import Config\n")
    (source / "lenet/text.py").write_text("import os\n")
    assert upward(source) == []
    (source / "lenet/text.py").write_text(f"import os\n{words}\n")
    (found,) = upward(source)
    assert wrong in found
    assert found.startswith(f"src/lenet/text.py:{3 if 'def' in words else 2}: ")


def test_an_arrow_that_others_lead_to_is_left_out(tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / "lenet/training").mkdir(parents=True)
    (source / "lenet/cli.py").write_text("import lenet.training.module\nimport lenet.system\nimport lenet.text\n")
    (source / "lenet/training/module.py").write_text("import lenet.system\n")
    (source / "lenet/system.py").write_text("import lenet.text\n")
    arrows = [line.strip() for line in drawing(source).splitlines() if "-->" in line]
    ground = _name(box("text"))
    assert arrows == ["cli --> training", "training --> system", f"system --> {ground}"]


def test_where_words_count_something_one_is_no_plural() -> None:
    """`counted` knows it; a number of our own constants is never 1."""
    counts = re.compile(
        r"\{(?:len\(|[a-z_.]*(?:count|total|done|epochs|jobs)\b)[^{}]*\} (?:jobs|epochs|runs|trials|updates|maps)\b"
    )
    found = [
        f"{path.relative_to(PROJECT)}: {line.strip()}"
        for folder in ("src", "scripts")
        for path in (PROJECT / folder).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if counts.search(line) and "MOST_" not in line
    ]
    assert not found, "\n".join(found)
