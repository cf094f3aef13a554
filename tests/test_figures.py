"""The headline figures are those of the runs whose rows are kept: uv run pytest tests/test_figures.py --write-docs"""

import re
from typing import NamedTuple

import pandas as pd
import pytest
from scipy import stats

from conftest import PROJECT
from lenet.tables import as_markdown, mean_and_spread

PAGE, HEADING = PROJECT / "docs/results.md", "## Every headline figure, and how sure it is\n"
INTRODUCTION = """
Test accuracy in per cent, and the 95 % confidence interval of its mean (Student's, over seeds: what a mean of many more
seeds would be, on the same test images). Made from the rows of the runs by
`uv run pytest tests/test_figures.py --write-docs`; a test holds README's figures against them too.
"""


class Claim(NamedTuple):
    """A headline figure: what README calls it, and which rows of which file it is made of."""

    file: str
    rows: dict[str, str]
    column: str = "test/acc"


CLAIMS: dict[str, Claim | None] = {
    "the book's: all 60,000 images, last weights": Claim("seeds.csv", {"sweep": "book"}),
    "the default: 48,000 images, best epoch by validation": Claim("seeds.csv", {"sweep": "split"}),
    "a small improved net": Claim("records.csv", {"sweep": "small", "parameters": "58338"}, "percent"),
    "the improved net": Claim("records.csv", {"sweep": "improved"}, "percent"),
    "its counterpart": Claim("records.csv", {"sweep": "improved_mnist"}, "percent"),
    "a blog's recipe": Claim("seeds.csv", {"sweep": "blog"}),
    "the notebook's net with ReLU, without its weight decay": Claim(
        "seeds.csv", {"setting": "notebook_fair model=modern"}
    ),
    "the book's with tanh and learned pooling": None,  # its rows were not kept; docs/results.md has mean and spread
    "a slim net: 5.00 s after the imports (4.52 to 6.30)": Claim("seeds.csv", {"sweep": "speedrun"}),
    "LeNet-5 as published in 1998": Claim("seeds.csv", {"sweep": "lenet5_1998_figures"}),
}


def readme() -> dict[str, list[str]]:
    """The rows of README's table of results, by their first cell."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8").split("## Results")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows[2:]}


def values(claim: Claim) -> pd.Series:
    """The test accuracy of each seed, in per cent."""
    table = pd.read_csv(PROJECT / "docs" / claim.file, dtype=str)
    for column, value in claim.rows.items():
        table = table[table[column] == value]
    assert table.seed.is_unique, claim
    found = table[claim.column].astype(float)
    return found if claim.column == "percent" else 100 * found


def record() -> str:
    """The table of docs/results.md."""
    rows = []
    for title, row in readme().items():
        if (claim := CLAIMS[title]) is None:
            rows.append([title, row[0], row[3], row[2].strip("*"), "not known", row[4], "not kept"])
            continue
        found = values(claim)
        mean, n = float(found.mean()), len(found)
        half = float(stats.t.ppf(0.975, n - 1) * found.std() / n**0.5)
        spread = mean_and_spread(mean, float(found.std()), 2)
        told = title.split(": 5.00 s")[0]
        link = f"[{claim.file}]({claim.file})"
        rows.append([told, row[0], str(n), spread, f"{mean - half:.2f} to {mean + half:.2f}", row[4], link])
    header = [
        "net and recipe",
        "data",
        "n",
        "mean ± standard deviation",
        "95 % interval of the mean",
        "command",
        "rows",
    ]
    return "\n".join([INTRODUCTION, *as_markdown(header, rows)]) + "\n"


def test_each_figure_of_the_readme_is_that_of_its_runs() -> None:
    assert list(readme()) == list(CLAIMS)
    for title, row in readme().items():
        if (claim := CLAIMS[title]) is None:
            continue
        found = values(claim)
        mean, sd = float(found.mean()), float(found.std())
        if row[2].startswith("error"):
            told = f"error **{100 - mean:.2f} ± {sd:.2f} %**"
        else:
            figure = re.fullmatch(r"\*\*0\.(\d+) ± .*\*\*", row[2])
            assert figure, row[2]
            told = f"**{mean_and_spread(mean / 100, sd / 100, len(figure[1]))}**"
        assert [row[2], row[3]] == [told, str(len(found))], title


def test_the_page_of_record_is_made_of_the_same_rows(request: pytest.FixtureRequest) -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(HEADING)
    section, mark, after = rest.partition("\n## ")
    if request.config.getoption("--write-docs"):
        PAGE.write_text(before + HEADING + record() + mark + after, encoding="utf-8")
        return
    assert section == record(), "docs/results.md says something else: --write-docs makes that table anew"


def test_what_the_search_found_is_what_its_confirming_runs_had() -> None:
    page = (PROJECT / "docs/search.md").read_text(encoding="utf-8")
    runs = pd.read_csv(PROJECT / "docs/search/confirmed.csv")
    said = {}
    for setting, rows in runs.groupby("setting"):
        assert len(rows) == len(rows[["split_seed", "seed"]].drop_duplicates()) == 10
        said[setting] = mean_and_spread(float(rows["val/acc"].mean()), float(rows["val/acc"].std()))
    best = runs[runs.setting == "trial 057"]
    tested = mean_and_spread(float(best["test/acc"].mean()), float(best["test/acc"].std()))
    assert f"| what the search found, trial 057 | 10 | 40,530 | 10 | {said['trial 057']} | {tested} |" in page
    assert f"reach {tested} on the test set" in page
    assert f"a test accuracy of {tested} (n = 10)" in (PROJECT / "README.md").read_text(encoding="utf-8")
    assert f"| 61,706 | 10 | {said['baseline']} |" in page
    assert f"031 and 025, had {said['trial 031']} and {said['trial 025']}" in page
    trials = pd.read_csv(PROJECT / "docs/search/trials.csv")
    given_up = int((trials.state == "pruned").sum())
    assert f"spent {int(trials.epochs.sum())} epochs. It gave {given_up} of them up" in page


def test_what_is_said_of_ways_to_search_is_what_their_repetitions_had() -> None:
    page = (PROJECT / "docs/search.md").read_text(encoding="utf-8")
    table = pd.read_csv(PROJECT / "docs/search/searches.csv")
    at = [f"after_{epoch}" for epoch in (30, 60, 120, 180)]
    for (confirmed, way), rows in table.groupby(["confirmed", "way"]):
        assert len(rows) == 10
        told = [mean_and_spread(float(rows[column].mean()), float(rows[column].std())) for column in at]
        name = way.replace("optuna by hand", "Optuna by hand, in a bare loop").replace("one at a", "one change at a")
        if confirmed == 3:
            assert f"| {name} | {' | '.join(told)} |" in page
        elif way in ("search: tpe, hyperband", "search: random", "optuna by hand"):
            assert told[-1] in page.replace("\n  ", " "), way
