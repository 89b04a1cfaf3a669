"""The records that move between the rooms: parameters and statistics, and their types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

CovarianceType: TypeAlias = Literal["full", "tied", "diag", "spherical"]
COVARIANCE_TYPES: tuple[CovarianceType, ...] = ("full", "tied", "diag", "spherical")

FloatArray: TypeAlias = NDArray[np.floating]

InitMethod: TypeAlias = Literal["kmeans", "k-means++", "random", "random_from_data", "random_means"]
INIT_METHODS: tuple[InitMethod, ...] = get_args(InitMethod)
# (rows, number of components, random state) → responsibilities
InitFunction: TypeAlias = Callable[[FloatArray, int, np.random.RandomState], FloatArray]


class Parameters(NamedTuple):
    """The parameters of a Gaussian mixture, in scikit-learn's shapes.

    Attributes
    ----------
    weights : (K,) array
        Mixing proportions, summing to 1.
    means : (K, d) array
    covariances : array
        ``'full'`` (K, d, d), ``'tied'`` (d, d), ``'diag'`` (K, d), ``'spherical'`` (K,).
    precisions_cholesky : array
        The shape of `covariances`: upper triangular U with Σ⁻¹ = U Uᵀ for ``'full'`` and
        ``'tied'``, inverse standard deviations for the others.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    precisions_cholesky: FloatArray
    covariance_type: str

    @property
    def arguments(self) -> tuple[FloatArray, FloatArray, FloatArray, str]:
        """What the kernels want to know after the points."""
        return self.weights, self.means, self.precisions_cholesky, self.covariance_type

    def astype(self, dtype: DTypeLike) -> Parameters:
        """Return the parameters with arrays of `dtype`, uncopied where they have it already."""
        with np.errstate(over="ignore"):  # the largest float32 is soon met by a float64 square
            return self._replace(
                weights=np.asarray(self.weights, dtype=dtype),
                means=np.asarray(self.means, dtype=dtype),
                covariances=np.asarray(self.covariances, dtype=dtype),
                precisions_cholesky=np.asarray(self.precisions_cholesky, dtype=dtype),
            )


class InitialValues(NamedTuple):
    """Starting values that the user has given; None where they are to be estimated."""

    weights: FloatArray | None = None
    means: FloatArray | None = None
    precisions: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one pass over the data leaves behind; records of several chunks add up.

    With responsibilities rᵢₖ (times the sample weights) and cᵢₖ = xᵢ - `reference`ₖ:

    Attributes
    ----------
    log_likelihood : float
        Σᵢ log p(xᵢ), each point times its sample weight.
    counts : (K,) float64 array
        Σᵢ rᵢₖ.
    first : (K, d) float64 array
        Σᵢ rᵢₖ cᵢₖ.
    second : float64 array
        ``'full'`` Σᵢ rᵢₖ cᵢₖ cᵢₖᵀ, (K, d, d); ``'tied'`` the sum of these over k, (d, d);
        ``'diag'`` their diagonals, (K, d); ``'spherical'`` their traces, (K,).
    reference : (K, d) float64 array
        The points the moments are about: the means of the pass that made them.
    """

    log_likelihood: float
    counts: FloatArray
    first: FloatArray
    second: FloatArray
    reference: FloatArray

    def __add__(self, other: Statistics) -> Statistics:
        """Return the statistics of both sets of points together.

        Raises
        ------
        ValueError
            If the two are about different reference points, so come from different parameters.
        """
        if not isinstance(other, Statistics):
            return NotImplemented
        if not np.array_equal(self.reference, other.reference):
            raise ValueError(
                "Statistics about different reference points cannot be added; "
                "compute both with the same means."
            )
        return Statistics(
            self.log_likelihood + other.log_likelihood,
            self.counts + other.counts,
            self.first + other.first,
            self.second + other.second,
            self.reference,
        )
