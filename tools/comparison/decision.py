"""From ratios of times to a verdict.

The unit is the pair of processes, one of each side: where a process's memory lies, and which
clock its core has, bias all its rounds alike, by 5 to 10 %, so that more rounds in the same two
processes would only make a wrong number precise. Of a pair there remains one number, the median
over its rounds of the ratio of neighbouring times. Pairs are independent of each other, so order
statistics of their numbers bound the median over all pairs that there could be, whatever the
distribution: it lies below the smallest of n with a probability of 2⁻ⁿ.

A benchmark is suspected when the median of the first pairs is above the threshold, and is then
measured again with twice as many new pairs. It is slower if the whole interval of that second
measurement is above the threshold too: of ten pairs nine, which chance alone does with a
probability of 11 / 1024 where the true ratio is the threshold itself, and hardly ever where it
is 1. Hence no correction for the number of benchmarks is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import comb
from statistics import median

THRESHOLD = 1.1  # a smaller slowdown is not reported
PAIRS = 5  # of processes in the first measurement
AGAIN = 2  # times as many in the second
LEFT_OUT = 10  # so many pairs may disagree by one

# Seconds of base and of head, next to each other in time.
Round = tuple[float, float]


class Verdict(Enum):
    """What is said of a benchmark."""

    SAME = "same"
    FASTER = "faster"
    UNCONFIRMED = "not confirmed"
    SLOWER = "SLOWER"


@dataclass(frozen=True, slots=True)
class RatioEstimate:
    """The ratio head / base over pairs of processes.

    Attributes
    ----------
    ratio : float
        Median over the pairs.
    low, high : float
        Interval for it.
    confidence : float
        Of the interval.
    """

    ratio: float
    low: float
    high: float
    confidence: float


def ratio_of_pair(rounds: Sequence[Round]) -> float:
    """Median of the ratios of neighbouring times."""
    return median(head / base for base, head in rounds)


def estimate(ratios: Sequence[float]) -> RatioEstimate:
    """Median of the pairs' ratios and its interval: their range, but for one of every ten."""
    ordered, n = sorted(ratios), len(ratios)
    out = n // LEFT_OUT
    beyond = sum(comb(n, k) for k in range(out + 1)) / 2**n  # on one side
    return RatioEstimate(median(ordered), ordered[out], ordered[-1 - out], max(0.0, 1 - 2 * beyond))


def is_suspected(first: RatioEstimate, threshold: float = THRESHOLD) -> bool:
    """Whether there is a reason to measure again."""
    return first.ratio > threshold


def verdict(
    first: RatioEstimate, second: RatioEstimate | None = None, threshold: float = THRESHOLD
) -> Verdict:
    """What both measurements say; without the second nothing is slower."""
    if is_suspected(first, threshold):
        confirmed = second is not None and second.low > threshold
        return Verdict.SLOWER if confirmed else Verdict.UNCONFIRMED
    return Verdict.FASTER if first.high < 1 / threshold else Verdict.SAME
