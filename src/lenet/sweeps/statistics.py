"""What a few runs can say: differences over seeds, many comparisons at once, shares, and what would have been seen.

Nothing here imports torch.
"""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, stats

CONFIDENCE = 0.95
RESOLUTION = 1e-9  # of an accuracy: what is less apart is the same, but for rounding


class Difference(NamedTuple):
    """A difference of two means; the interval and p are nan where there are too few values."""

    value: float
    low: float
    high: float
    p: float
    sd: float  # of the differences of the pairs; nan where there are none
    n: int  # pairs, or the values of ours


def difference(ours: pd.Series, theirs: pd.Series) -> Difference:
    """mean(ours) - mean(theirs), of two settings with a value for each seed.

    Runs of one seed see the images in the same order, so where two seeds or more were run at both settings their
    differences are taken seed by seed (a paired t test). Where there are none it is Welch's, of two means.

    Args:
        ours: the values, with the seeds as their index.
        theirs: those of the baseline.
    """
    seeds = ours.index.intersection(theirs.index)
    if len(seeds) < 2:
        low, high, p = _welch(ours.to_numpy(float), theirs.to_numpy(float))
        return Difference(ours.mean() - theirs.mean(), low, high, p, math.nan, len(ours))
    pairs = (ours[seeds] - theirs[seeds]).to_numpy(float)
    mean, sd = float(pairs.mean()), float(pairs.std(ddof=1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(pairs) - 1)) * sd / math.sqrt(len(pairs))
    if sd < RESOLUTION:
        return Difference(mean, *_without_spread(mean, len(pairs)), sd, len(pairs))
    p = 2 * float(stats.t.sf(abs(mean) * math.sqrt(len(pairs)) / sd, len(pairs) - 1))
    return Difference(mean, mean - half, mean + half, p, sd, len(pairs))


def _without_spread(apart: float, n: int) -> tuple[float, float, float]:
    """Interval and p where all values are alike, as where neither setting trains.

    Two of them are alike by chance now and then, as accuracies are counts of images, so two say nothing.
    """
    if abs(apart) < RESOLUTION:
        return apart, apart, 1.0
    return (apart, apart, 0.0) if n > 2 else (math.nan, math.nan, math.nan)


def _welch(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """Welch's confidence interval of mean(ours) - mean(theirs), and its p."""
    if len(ours) < 2 or len(theirs) < 2:
        return math.nan, math.nan, math.nan
    if np.ptp(ours) == 0 and np.ptp(theirs) == 0:
        return _without_spread(float(ours[0] - theirs[0]), min(len(ours), len(theirs)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one of the two may have no spread
        found = stats.ttest_ind(ours, theirs, equal_var=False)
        between = found.confidence_interval(CONFIDENCE)
    return float(between.low), float(between.high), float(found.pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """p of several comparisons, adjusted so that all verdicts together are wrong in one case of twenty (Holm, 1979).

    One that is nan is no comparison, and stays so.
    """
    given = np.asarray(p, float)
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    adjusted = np.full(len(given), math.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(given[order] * factors))
    return [float(value) for value in adjusted]


def share(count: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % confidence interval of the share that `count` of `of` runs shows."""
    found = stats.binomtest(count, of).proportion_ci(CONFIDENCE, "wilson")
    return float(found.low), float(found.high)


def detectable(sd: float, n: int, comparisons: int = 1, power: float = 0.8) -> float:
    """The true difference that `n` pairs show in a share `power` of all sweeps; nan with fewer than two pairs.

    Args:
        sd: the standard deviation of the differences of the pairs.
        comparisons: how many there are. The first of them has to pass Holm's strictest test, 5 % over their number.
    """
    if n < 2 or not sd > 0:
        return math.nan
    needed = float(stats.t.isf((1 - CONFIDENCE) / comparisons / 2, n - 1))
    # The spread that a sweep finds, as a multiple of the true one. scipy's noncentral t gives nan far out.
    spreads = needed * np.sqrt(stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, n - 1) / (n - 1))

    def missing(shift: float) -> float:
        return float((stats.norm.sf(spreads - shift) + stats.norm.cdf(-spreads - shift)).mean()) - power

    return float(optimize.brentq(missing, 0, 10 * needed)) * sd / math.sqrt(n)


class Shares(NamedTuple):
    """Where the spread of a figure comes from, as variances; none is below 0."""

    split: float
    seed: float
    rest: float  # what the two do together, and all else

    @property
    def total(self) -> float:
        return sum(self)


def shares(values: np.ndarray) -> Shares:
    """The variance components of one setting that was run on each split with each seed.

    Two-way random effects without replication: mean squares against their expectations (Searle, 1971, chapter 9). An
    estimate below 0 is 0.

    Args:
        values: (splits, seeds), both at least 2.
    """
    splits, seeds = values.shape
    mean, by_split, by_seed = values.mean(), values.mean(1), values.mean(0)
    left = values - by_split[:, None] - by_seed[None, :] + mean
    rest = float((left**2).sum() / ((splits - 1) * (seeds - 1)))
    return Shares(
        max(0.0, float(by_split.var(ddof=1)) - rest / seeds), max(0.0, float(by_seed.var(ddof=1)) - rest / splits), rest
    )
