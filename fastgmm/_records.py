"""The records that move between the rooms: parameters, statistics, the result of a fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = [
    "COVARIANCE_TYPES",
    "INIT_METHODS",
    "CovarianceType",
    "EMResult",
    "FloatArray",
    "InitFunction",
    "InitMethod",
    "InitialValues",
    "Iteration",
    "Parameters",
    "Repair",
    "RepairAction",
    "Statistics",
    "Status",
    "check_covariance_type",
]

CovarianceType: TypeAlias = Literal["full", "tied", "diag", "spherical"]
COVARIANCE_TYPES: tuple[CovarianceType, ...] = ("full", "tied", "diag", "spherical")

FloatArray: TypeAlias = NDArray[np.floating]

InitMethod: TypeAlias = Literal["kmeans", "k-means++", "random", "random_from_data", "random_means"]
RepairAction: TypeAlias = Literal["reset", "drop", "floor"]
INIT_METHODS: tuple[InitMethod, ...] = get_args(InitMethod)
# (rows, number of components, random state) → responsibilities
InitFunction: TypeAlias = Callable[[FloatArray, int, np.random.RandomState], FloatArray]


def check_covariance_type(covariance_type: CovarianceType) -> None:
    """Raise ValueError if there is no such type."""
    if covariance_type not in COVARIANCE_TYPES:
        raise ValueError(
            f"Unknown covariance_type {covariance_type!r}; choose one of {COVARIANCE_TYPES}."
        )


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
    covariance_type: CovarianceType

    @property
    def arguments(self) -> tuple[FloatArray, FloatArray, FloatArray, CovarianceType]:
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


class Status(Enum):
    """How a run of EM ended."""

    CONVERGED = "the lower bound changed by less than tol"
    MAX_ITER = "max_iter iterations were done before the lower bound settled"
    STOPPED = "a callback asked to stop"
    INTERRUPTED = "the user interrupted it"
    INITIALIZED = "max_iter is 0: the parameters are those of the start"


class Repair(NamedTuple):
    """What was done about components that had degenerated.

    Attributes
    ----------
    n_iter : int
        The iteration, 0 for the start.
    components : tuple of int
        Their numbers, as they were at that time.
    action : {'reset', 'drop', 'floor'}
    """

    n_iter: int
    components: tuple[int, ...]
    action: RepairAction


class Iteration(NamedTuple):
    """What is known after each iteration of EM.

    Attributes
    ----------
    n_iter : int
        Iterations done so far, from 1.
    lower_bound : float
        Mean log-likelihood per unit of weight under the parameters before the maximization.
    change : float
        `lower_bound` minus that of the previous iteration, infinite in the first.
    parameters : Parameters
        Those after the maximization.
    """

    n_iter: int
    lower_bound: float
    change: float
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class EMResult:
    """The outcome of one run of EM from one start.

    Attributes
    ----------
    parameters : Parameters
        Those of the last maximization.
    status : Status
    lower_bounds : list of float
        Mean log-likelihood per unit of weight under the parameters *before* each maximization,
        one per iteration, as in scikit-learn.
    change : float
        How much the last lower bound differs from the one before it.
    history : list of Parameters
        The start and the parameters after each iteration, if they were to be kept.
    repairs : list of Repair
    largest_fall : float
        The most that the lower bound fell from one iteration to the next, repairs apart; 0 if it
        never did.
    statistics : Statistics or None
        Those of the last maximization, until it is known what has degenerated.
    degenerate : int array
        Components that are empty or have collapsed.
    """

    parameters: Parameters
    status: Status
    lower_bounds: list[float] = field(default_factory=list)
    change: float = np.inf
    history: list[Parameters] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    largest_fall: float = 0.0
    statistics: Statistics | None = None
    degenerate: np.ndarray = field(default_factory=lambda: np.empty(0, np.intp))

    @property
    def n_iter(self) -> int:
        """Number of iterations done."""
        return len(self.lower_bounds)

    @property
    def converged(self) -> bool:
        """Whether the lower bound settled."""
        return self.status is Status.CONVERGED

    @property
    def lower_bound(self) -> float:
        """The last lower bound, -inf before the first iteration."""
        return self.lower_bounds[-1] if self.lower_bounds else -np.inf
