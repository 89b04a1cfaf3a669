"""The records that move between the rooms: parameters and statistics, and their types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

# What passes know; scikit-learn has the first four.
CovarianceType: TypeAlias = Literal["full", "tied", "diag", "spherical", "low_rank"]
COVARIANCE_TYPES: tuple[CovarianceType, ...] = ("full", "tied", "diag", "spherical")

FloatArray: TypeAlias = NDArray[np.floating]

Criterion: TypeAlias = Literal["bic", "aic", "icl", "held-out", "stability"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

InitMethod: TypeAlias = Literal[
    "kmeans", "k-means++", "random", "random_from_data", "random_means", "hierarchical"
]
INIT_METHODS: tuple[InitMethod, ...] = get_args(InitMethod)
OWN_METHODS: tuple[InitMethod, ...] = ("random_means", "hierarchical")  # unknown to scikit-learn
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
        kinds = {array.dtype for array in self[:4]}
        if kinds == {np.dtype(dtype)}:
            return self
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
    """What one pass over the data leaves behind: it adds up, scales, and moves.

    With responsibilities rᵢₖ (times the sample weights) and cᵢₖ = xᵢ - referenceₖ:

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
        ``'diag'`` their diagonals, (K, d); ``'spherical'`` their traces, (K,); ``'low_rank'`` their
        products with r directions vₖ, and their diagonals, (K, d, r + 1).
    reference : (K, d) float64 array
        The points the moments are about: the means of the pass that made them.
    covariance_type : {'full', 'tied', 'diag', 'spherical', 'low_rank'} or None
        What `second` is for; only `about` asks, where the shape does not tell.
    directions : (K, d, r) float64 array or None
        Of ``'low_rank'``: along which second moments were taken.
    """

    log_likelihood: float
    counts: FloatArray
    first: FloatArray
    second: FloatArray
    reference: FloatArray
    covariance_type: CovarianceType | None = None
    directions: FloatArray | None = None

    def __add__(self, other: Statistics) -> Statistics:
        """Return the statistics of both sets of points together.

        Raises
        ------
        ValueError
            If the two are about different reference points.
        """
        if not isinstance(other, Statistics):
            return NotImplemented
        if not np.array_equal(self.reference, other.reference):
            raise ValueError(
                "Statistics about different reference points cannot be added; compute both with "
                "the same means, or move one with about()."
            )
        own, theirs = (np.asarray(one.directions, np.float64) for one in (self, other))
        if self.directions is not None and not np.array_equal(own, theirs):
            raise ValueError(
                "Statistics along different directions cannot be added; compute both with the same "
                "parameters."
            )
        return Statistics(
            self.log_likelihood + other.log_likelihood,
            self.counts + other.counts,
            self.first + other.first,
            self.second + other.second,
            self.reference,
            self.covariance_type or other.covariance_type,
            self.directions,
        )

    def __radd__(self, other: object) -> Statistics:
        """Return itself for 0, which is what `sum` begins with."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def scaled(self, factor: float) -> Statistics:
        """Return the statistics of points that weigh so many times as much.

        Examples
        --------
        >>> one = Statistics(-1.0, np.ones(1), np.zeros((1, 1)), np.ones(1), np.zeros((1, 1)))
        >>> one.scaled(0.5).counts
        array([0.5])
        """
        return replace(
            self,
            log_likelihood=factor * self.log_likelihood,
            counts=factor * self.counts,
            first=factor * self.first,
            second=factor * self.second,
        )

    def about(self, reference: FloatArray) -> Statistics:
        """Return the statistics of the same points, with moments about other points (K, d).

        Σ r (c + δ)(c + δ)ᵀ = Σ r c cᵀ + Σ r c δᵀ + δ Σ r cᵀ + Σ r δ δᵀ with δ = old - new.

        Raises
        ------
        ValueError
            If `reference` has another shape, or it is not known what `second` is for.

        Examples
        --------
        >>> s = Statistics(-1.0, np.ones(1), np.zeros((1, 1)), np.ones(1), np.zeros((1, 1)))
        >>> s.about(np.array([[2.0]])).second
        array([5.])
        """
        new = np.asarray(reference, np.float64)
        if new.shape != self.reference.shape:
            raise ValueError(f"reference has shape {new.shape}; expected {self.reference.shape}.")
        delta = self.reference - new
        first = self.first + self.counts[:, None] * delta
        added: FloatArray
        match self._type_of_second():
            case "full":
                cross = self.first[:, :, None] * delta[:, None, :]
                added = cross + cross.swapaxes(1, 2)
                added += self.counts[:, None, None] * delta[:, :, None] * delta[:, None, :]
            case "tied":
                cross = self.first.T @ delta
                added = cross + cross.T + (self.counts[:, None] * delta).T @ delta
            case "diag":
                added = (2 * self.first + self.counts[:, None] * delta) * delta
            case "spherical":
                added = np.sum((2 * self.first + self.counts[:, None] * delta) * delta, axis=1)
            case "low_rank":
                added = self._low_rank_shift(delta)
        return replace(self, first=first, second=self.second + added, reference=new)

    def _low_rank_shift(self, delta: FloatArray) -> FloatArray:
        """What moments along directions V, and variances, gain: Σ r (c δᵀ + δ cᵀ + δ δᵀ) V."""
        V: Any = self.directions
        along = np.einsum("kd,kdr->kr", delta, V)
        first_along = np.einsum("kd,kdr->kr", self.first, V)
        counts = self.counts[:, None]
        products = self.first[:, :, None] * along[:, None, :]
        products += delta[:, :, None] * (first_along + counts * along)[:, None, :]
        squares = (2 * self.first + counts * delta) * delta
        return np.concatenate([products, squares[:, :, None]], axis=2)

    def _type_of_second(self) -> CovarianceType:
        K, d = self.reference.shape
        if self.covariance_type is not None:
            return self.covariance_type
        if self.second.ndim == 2 and d == K:
            raise ValueError(
                f"Second moments of shape {(K, d)} may be for 'tied' or for 'diag'; say which as "
                "covariance_type."
            )
        shapes: dict[tuple[int, ...], CovarianceType] = {
            (K, d, d): "full", (d, d): "tied", (K, d): "diag", (K,): "spherical",
        }  # fmt: skip
        return shapes[self.second.shape]
