"""The figures of a report against textbooks, other libraries' arithmetic, and dice."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lenet.sweeps.results import effects, read_jobs, verdict
from lenet.sweeps.statistics import detectable, difference, holm, share, shares
from test_report import NOISE, make, written


def over(*values: float, first: int = 0) -> pd.Series:
    return pd.Series(values, index=range(first, first + len(values)))


def test_the_same_seeds_are_compared_in_pairs() -> None:
    ours, theirs = over(0.82, 0.80, 0.85, 0.79), over(0.80, 0.79, 0.81, 0.78)
    found, known = difference(ours, theirs), stats.ttest_rel(ours, theirs)
    between = known.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((between.low, between.high, known.pvalue))
    assert (found.value, found.n) == (pytest.approx(0.02), 4)


def test_seeds_that_only_one_setting_has_are_left_out_of_the_pairs() -> None:
    ours, theirs = over(0.82, 0.80, 0.85), over(0.80, 0.79, 0.81, 0.1, 0.2)
    assert difference(ours, theirs) == difference(ours, theirs[:3])


def test_other_seeds_are_compared_as_two_means() -> None:
    ours, theirs = over(0.82, 0.80, 0.85), over(0.80, 0.79, 0.81, first=10)
    found, known = difference(ours, theirs), stats.ttest_ind(ours, theirs, equal_var=False)
    between = known.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((between.low, between.high, known.pvalue))
    assert math.isnan(found.sd)


def test_two_differences_that_are_the_same_say_nothing_and_three_do() -> None:
    for theirs, first in ((over(0.7, 0.8), 0), (over(0.7, 0.7), 10)):
        alike = difference(over(*(theirs + 0.1), first=first), theirs)
        assert alike.value == pytest.approx(0.1)
        assert math.isnan(alike.low)
        assert math.isnan(alike.p)
    assert difference(over(0.8, 0.9, 0.7), over(0.7, 0.8, 0.6)).p < 1e-12
    assert difference(over(0.1, 0.1), over(0.1, 0.1)).p == 1


def test_one_seed_has_no_interval() -> None:
    found = difference(over(0.8), over(0.7))
    assert found.value == pytest.approx(0.1)
    assert all(math.isnan(value) for value in (found.low, found.high, found.p))


accuracies = st.lists(st.integers(0, 10_000).map(lambda hits: hits / 10_000), max_size=6)


@given(accuracies, accuracies, st.booleans())
def test_an_interval_contains_the_difference_and_turns_round_with_it(
    ours: list[float], theirs: list[float], is_paired: bool
) -> None:
    first, second = over(*ours), over(*theirs, first=0 if is_paired else 10)
    found, turned = difference(first, second), difference(second, first)
    if min(len(ours), len(theirs)) < 2 or math.isnan(found.low):
        assert math.isnan(turned.low)
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        return
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_holm_as_worked_by_hand() -> None:
    assert holm([0.01, math.nan, 0.04, 0.03, 0.005]) == pytest.approx([0.03, math.nan, 0.06, 0.06, 0.02], nan_ok=True)
    assert holm([0.6, 0.9]) == [1, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_lies_between_no_correction_and_bonferronis_and_keeps_the_order(p: list[float]) -> None:
    found = holm(p)
    for one, adjusted in zip(p, found, strict=True):
        assert min(1, one) <= adjusted <= min(1, one * len(p)) + 1e-12
    ranked = [found[place] for place in np.argsort(p, kind="stable")]
    assert ranked == sorted(ranked)


def test_wilsons_interval() -> None:
    """Newcombe (1998), Statistics in Medicine 17, table I: 15 of 148, and 0 of 20."""
    assert share(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert share(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


@pytest.mark.parametrize(("n", "comparisons"), [(3, 1), (10, 1), (10, 23)])
def test_a_difference_that_can_be_seen_is_seen_in_four_sweeps_of_five(n: int, comparisons: int) -> None:
    true, draws = detectable(0.01, n, comparisons), 20_000
    pairs = np.random.default_rng(0).normal(true, 0.01, (draws, n))
    seen = float((stats.ttest_1samp(pairs, 0, axis=1).pvalue < 0.05 / comparisons).mean())
    assert seen == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / draws))


def test_of_many_changes_that_do_nothing_none_is_called_better(tmp_path: Path) -> None:
    """Twenty levels that change nothing: some interval leaves out 0, and Holm's correction does not."""
    dice = np.random.default_rng(3)
    sweep = make(
        tmp_path, "one_at_a_time", lambda lr, seed: 0.8 + dice.normal(0, 0.01), range(5), lr=[str(n) for n in range(40)]
    )
    said = [verdict(row) for _, row in effects(sweep, read_jobs(sweep, tmp_path), "val/acc").iterrows()]
    assert {"better", "worse"}.isdisjoint(said)
    assert {"perhaps better", "perhaps worse"} & set(said)
    text = written(tmp_path)
    assert "Holm's correction for all 39" in text
    assert "perhaps" in text


def test_the_report_says_how_small_a_difference_would_have_been_seen(tmp_path: Path) -> None:
    dice = np.random.default_rng(4)
    make(tmp_path, "grid", lambda pool, seed: 0.8 + dice.normal(0, 0.01), range(8), pool=["avg", "max"])
    found = re.search(
        r"With 8 seeds and the usual spread of such a difference \((\S+) points\) a true one of (\S+) ",
        written(tmp_path),
    )
    assert found
    spread, seen = map(float, found.groups())
    assert seen == pytest.approx(100 * detectable(spread / 100, 8), abs=0.2)


def test_the_variance_of_splits_and_seeds_is_found_again() -> None:
    dice, sds = np.random.default_rng(5), (0.03, 0.02, 0.01)
    split, seed, rest = (
        dice.normal(0, sd, size) for sd, size in zip(sds, ((200, 1), (1, 200), (200, 200)), strict=True)
    )
    assert shares(split + seed + rest) == pytest.approx([sd**2 for sd in sds], rel=0.3)


def test_a_report_over_splits_says_how_much_of_the_spread_is_the_splits(tmp_path: Path) -> None:
    by_split = {"0": 0.02, "1": -0.02, "2": 0.0}
    make(
        tmp_path, "grid", lambda net, split_seed, seed: 0.8 + by_split[split_seed] + NOISE[seed],
        net=["book", "other"], split_seed=list(by_split),
    )  # fmt: skip
    text = written(tmp_path)
    assert "The split makes 80 % of the variance of these settings, the seed 20 %" in text
    assert "| net=other | 3 | 3 | 2.00 | 1.00 | 0.00 | 2.24 |" in text


@pytest.mark.parametrize("design", ["grid", "one_at_a_time", "paired"])
def test_another_split_is_no_change_and_gets_no_verdict(tmp_path: Path, design: str) -> None:
    by_split = {"0": 0.02, "1": -0.02, "2": 0.0}
    sweep = make(
        tmp_path, design, lambda split_seed, seed: 0.8 + by_split[split_seed] + NOISE[seed], split_seed=[*by_split]
    )
    assert effects(sweep, read_jobs(sweep, tmp_path), "val/acc").empty
    text = written(tmp_path)
    assert "The split makes 80 % of the variance" in text
    assert not re.search("better|worse", text)


def test_more_than_a_hundred_points_apart_nothing_can_be(tmp_path: Path) -> None:
    make(tmp_path, "grid", lambda pool, seed: {"avg": 0.5, "max": 0.6 + 0.3 * seed}[pool], [0, 1], pool=["avg", "max"])
    assert "no difference is so large that four sweeps of five would show it." in written(tmp_path)
    dice = np.random.default_rng(6)
    levels = [str(number) for number in range(30)]
    make(
        tmp_path / "b", "one_at_a_time", lambda lr, seed: 0.8 + dice.normal(0, 0.02), [0, 1], lr=levels
    )  # two seeds pass Holm's strictest test with nothing
    assert re.search("a true one of .* points is seen .* five, and none after the correction", written(tmp_path / "b"))
