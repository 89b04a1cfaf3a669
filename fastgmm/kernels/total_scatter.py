"""Second moments of a tied model from the scatter of all the points, which EM does not change.

Of points with weights w and mean m, T = Σ w (x - m)(x - m)ᵀ. Responsibilities add up to the
weights, so that with δₖ = μₖ - m, counts Nₖ and first moments fₖ about the μₖ

    Σₖ Σ Rₖ (x - μₖ)(x - μₖ)ᵀ = T - Σₖ (gₖ δₖᵀ + δₖ gₖᵀ),   gₖ = fₖ + ½ Nₖ δₖ

(the parallel axis theorem), and a pass takes first moments alone. The difference is rounded by
units of T, and cancels where the components lie far apart for their width.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.kernels.layouts import TiedModel

# How many times the variance within components that of all the points may be, in each feature, by
# the size of a number: so many units of rounding can the difference be off.
MOST_CANCELLATION = {4: 2**4, 8: 2**8}


class TotalScatter(NamedTuple):
    """Where all the points lie, and how far they extend."""

    weight: float
    mean: FloatArray  # (d,)
    scatter: FloatArray  # (d, d): Σ w (x - mean)(x - mean)ᵀ

    @property
    def noticeable(self) -> FloatArray:
        """T's diagonal (d,), 0 where rounding alone keeps points from being the same."""
        squares, mean = np.diagonal(self.scatter), np.finfo(np.float64).eps * self.mean
        with np.errstate(all="ignore"):
            return np.where(squares <= 64 * self.weight * mean**2, 0.0, squares)


def expected_to_cancel(total: TotalScatter, model: TiedModel) -> bool:
    """Whether too much would cancel if the model's weights and means were those of a fixed point.

    A cheap guess, which `cancels` judges afterwards: at a fixed point Σ πₖ δₖ δₖᵀ is the
    covariance between components.
    """
    with np.errstate(all="ignore"):
        constants = np.asarray(model.log_constants, np.float64)
        weights = np.exp(constants - constants.max())
        between = weights / weights.sum() @ (model.means - total.mean) ** 2 * total.weight
        within = total.noticeable - between
    return _cancels(total, within, model.means.itemsize)


def second_moments(
    total: TotalScatter, means: FloatArray, counts: FloatArray, first: FloatArray
) -> FloatArray:
    """Σₖ Σ Rₖ (x - μₖ)(x - μₖ)ᵀ, (d, d)."""
    with np.errstate(all="ignore"):  # what overflows is judged afterwards
        apart = means - total.mean
        half = (first + 0.5 * counts[:, None] * apart).T @ apart
        return total.scatter - (half + half.T)


def cancels(total: TotalScatter, second: FloatArray, itemsize: int) -> bool:
    """Whether rounding of the total may show in `second_moments`."""
    return _cancels(total, np.diagonal(second), itemsize)


def _cancels(total: TotalScatter, within: FloatArray, itemsize: int) -> bool:
    # What is not a number cancels too, and what is no finite one.
    squares = total.noticeable
    with np.errstate(all="ignore"):
        small = squares <= MOST_CANCELLATION[itemsize] * within
    return not np.all((squares == 0) | (np.isfinite(squares) & small))
