"""The verdict on a soak: whether what was sampled is flat, and whether all is gone at the end."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, linear_regression
from typing import NamedTuple

#: So many more of anything are chance, where there are few.
CHANCE = 20


class Trend(NamedTuple):
    """What a figure did over time: its mean, and how much the line through it rises from the beginning to the end."""

    mean: float
    growth: float

    def is_flat(self, bound: float) -> bool:
        """Whether it has grown by no more than this part of its mean, or by chance."""
        return self.growth <= max(bound * self.mean, CHANCE)


def find_trend(seconds: Sequence[float], values: Sequence[float]) -> Trend:
    """The trend, by the method of least squares."""
    slope = linear_regression(seconds, values).slope
    return Trend(fmean(values), slope * (seconds[-1] - seconds[0]))
