"""The judgement of a soak: whether the samples are flat, and nothing is left at the
end.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, linear_regression
from typing import NamedTuple

#: An increase by this number may be chance, where there are few.
CHANCE = 20


class Trend(NamedTuple):
    """The course of a figure: its mean, and the rise of its regression line over the
    run.
    """

    mean: float
    growth: float

    def is_flat(self, bound: float) -> bool:
        """Return whether it has grown by no more than this share of its mean, or by
        chance.
        """
        return self.growth <= max(bound * self.mean, CHANCE)


def find_trend(seconds: Sequence[float], values: Sequence[float]) -> Trend:
    """Return the trend, by the method of least squares."""
    slope = linear_regression(seconds, values).slope
    return Trend(fmean(values), slope * (seconds[-1] - seconds[0]))
