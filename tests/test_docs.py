"""The pages: what they point at is there, and the front door stays one."""

import re
from pathlib import Path

import pytest

from conftest import PROJECT

PAGES = sorted([PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")])
LINK = re.compile(r"""\]\(([^)\s]+)\)|\bsrc="([^"]+)""")


def links(page: Path) -> list[str]:
    """What a page points at, but for other sites."""
    found = [first or second for first, second in LINK.findall(page.read_text(encoding="utf-8"))]
    return [link for link in found if "://" not in link]


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub makes addresses of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: ({link}) leads nowhere; name a file that is there"
        assert not anchor or anchor in anchors(target), f"{page.name}: ({link}): {target.name} has no such heading"


def test_the_front_door_is_short_and_the_table_of_contents_has_every_page() -> None:
    assert len((PROJECT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
    contents = {(PROJECT / "docs" / link).resolve() for link in links(PROJECT / "docs/README.md")}
    missing = {page for page in PAGES if page.is_relative_to(PROJECT / "docs")} - contents
    assert missing == {PROJECT / "docs/README.md"}, "give each page its line in docs/README.md"
