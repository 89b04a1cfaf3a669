"""The public functions of the contract: the compiled twins of `fastgmm.reference`.

Each checks and lays out its arguments and runs blocks of tiles.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastgmm._contract import are_far, far_responsibilities, may_be_far
from fastgmm._records import CovarianceType, FloatArray, Statistics
from fastgmm.kernels import low_rank
from fastgmm.kernels.accumulation import Accumulator, Passes, as_points
from fastgmm.kernels.layouts import Mixture, Model, moments_model
from fastgmm.kernels.prediction import checked, checked_weight, model_of, normalized, predict
from fastgmm.kernels.small_problems import SmallProblem, is_small
from fastgmm.system.lazy import lazy


def log_gaussian_density(
    X: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
) -> FloatArray:
    """Log-density of every point under every component.

    log N(x; μ, Σ) = -½ (d log 2π + ‖Uᵀ(x - μ)‖²) + log det U   with Σ⁻¹ = U Uᵀ

    Parameters
    ----------
    X : (n, d) array of float32 or float64
        In any order, with any strides.
    means : (K, d) array
    precisions_cholesky : array
        U per component: ``'full'`` (K, d, d), ``'tied'`` (d, d), both upper triangular;
        ``'diag'`` (K, d), ``'spherical'`` (K,). For ``'low_rank'`` (K, d, r + 1): loadings in
        standard deviations, L, and inverse deviations s, with Σ = S⁻¹ (I + L Lᵀ) S⁻¹.
    covariance_type : {'full', 'tied', 'diag', 'spherical', 'low_rank'}

    Returns
    -------
    (n, K) array of X's dtype

    Raises
    ------
    ValueError
        If shapes disagree, or a factor is not upper triangular.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import kernels
    >>> kernels.log_gaussian_density(np.zeros((1, 2)), np.zeros((1, 2)), np.ones(1), 'spherical')
    array([[-1.83787707]])
    """
    X = as_points(X)
    mixture = checked(X, np.ones(len(means)), means, precisions_cholesky, covariance_type)
    if covariance_type == "low_rank":
        return low_rank.log_gaussian_density(X, mixture)
    if _is_small(X, mixture):
        return SmallProblem(X).log_gaussian_density(mixture)
    components = np.empty((len(X), len(mixture.means)), X.dtype)
    predict(X, model_of(mixture, X.dtype), log_density=components)
    return components


def normalize_responsibilities(weighted_log_density: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mixture log-density and responsibilities from log πₖ + log N(xᵢ; μₖ, Σₖ).

    log p(x) = m + log Σₖ exp(aₖ - m),   rₖ = exp(aₖ - log p(x)),   m = maxₖ aₖ

    Parameters
    ----------
    weighted_log_density : (n, K) array of float32 or float64

    Returns
    -------
    log_density : (n,) array of the input's dtype
    responsibilities : (n, K) array of the input's dtype
        A point of zero density under every component belongs to all of them in equal parts.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import kernels
    >>> kernels.normalize_responsibilities(np.log([[0.1, 0.3]]))
    (array([-0.91629073]), array([[0.25, 0.75]]))
    """
    a = as_points(weighted_log_density)
    n, K = a.shape
    if is_small(n, K, 1, "spherical"):
        return SmallProblem(a).normalized(None)
    return normalized(a)


def expectation(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    sample_weight: FloatArray | None = None,
    log_constants: FloatArray | None = None,
) -> Statistics:
    """Expected sufficient statistics of the points under the mixture: the E step of EM.

    Responsibilities are computed a tile at a time and never stored.

    Parameters
    ----------
    X : (n, d) array of float32 or float64
    weights : (K,) array
    means : (K, d) array
    precisions_cholesky : array
        See `log_gaussian_density`.
    covariance_type : {'full', 'tied', 'diag', 'spherical', 'low_rank'}
    sample_weight : (n,) array, optional
    log_constants : (K,) array, optional
        Added to the log-density of each component.

    Returns
    -------
    Statistics
        Moments about `means` (rounded to X's dtype), in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import kernels
    >>> X = np.array([[0.0], [2.0]])
    >>> s = kernels.expectation(X, np.ones(1), np.zeros((1, 1)), np.ones(1), 'spherical')
    >>> s.counts, s.first, s.second
    (array([2.]), array([[2.]]), array([4.]))
    """
    points = Pass(X, sample_weight, n_passes="one")
    mixture = weights, means, precisions_cholesky, covariance_type, log_constants
    return points.expectation(*checked(points.X, *mixture))


def log_density(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    log_constants: FloatArray | None = None,
) -> FloatArray:
    """Log p(xᵢ) = log Σₖ πₖ N(xᵢ; μₖ, Σₖ), an (n,) array of X's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import kernels
    >>> kernels.log_density(
    ...     np.zeros((1, 1)), np.ones(1), np.zeros((1, 1)), np.ones(1), 'spherical')
    array([-0.91893853])
    """
    X = as_points(X)
    arguments = weights, means, precisions_cholesky, covariance_type, log_constants
    mixture = checked(X, *arguments)
    if covariance_type == "low_rank":
        return low_rank.log_density(X, mixture)
    if _is_small(X, mixture):
        return SmallProblem(X).normalized(mixture)[0]
    density = np.empty(len(X), X.dtype)
    predict(X, model_of(mixture, X.dtype), mixture=density)
    return density


def responsibilities(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    log_constants: FloatArray | None = None,
) -> FloatArray:
    """Posterior probability of each component for each point, (n, K) of X's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import kernels
    >>> X, means = np.array([[0.0]]), np.array([[-1.0], [1.0]])
    >>> kernels.responsibilities(X, np.array([0.25, 0.75]), means, np.ones(2), 'spherical')
    array([[0.25, 0.75]])
    """
    X = as_points(X)
    arguments = weights, means, precisions_cholesky, covariance_type, log_constants
    mixture = checked(X, *arguments)
    if covariance_type == "low_rank":
        return low_rank.posterior(X, mixture)[1]
    if _is_small(X, mixture):
        density, posterior = SmallProblem(X).normalized(mixture)
    else:
        density, posterior = np.empty(len(X), X.dtype), np.empty((len(X), len(means)), X.dtype)
        model = model_of(mixture, X.dtype)
        predict(X, model, mixture=density, responsibilities=posterior)
    far = are_far(density)
    if np.any(far):
        posterior[far] = far_responsibilities(X[far], *mixture)
    return posterior


def assign(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    log_constants: FloatArray | None = None,
) -> np.ndarray:
    """Index of the most probable component of each point, (n,) of intp; the first among equals.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import kernels
    >>> X, means = np.array([[0.0]]), np.array([[-1.0], [1.0]])
    >>> kernels.assign(X, np.array([0.25, 0.75]), means, np.ones(2), 'spherical')
    array([1])
    """
    X = as_points(X)
    arguments = weights, means, precisions_cholesky, covariance_type, log_constants
    mixture = checked(X, *arguments)
    if covariance_type == "low_rank":
        return low_rank.assign(X, mixture)
    if _is_small(X, mixture):
        labels = SmallProblem(X).assign(mixture)
    else:
        labels = np.empty(len(X), np.intp)
        predict(X, model_of(mixture, X.dtype), labels=labels)
    far = labels < 0
    if np.any(far):
        labels[far] = far_responsibilities(X[far], *mixture).argmax(axis=1)
    return labels


# --- what they share ------------------------------------------------------------------------
class Pass:
    """Points and weights, checked once, for passes that reuse their workspaces.

    Mixtures are those of a fit, whose shapes and factors need not be checked. Many passes are worth
    some work once for all, as `Accumulator` does it; a single one is not.
    """

    def __init__(
        self, X: FloatArray, sample_weight: FloatArray | None = None, *, n_passes: Passes = "many"
    ):
        self.X, self._n_passes = as_points(X), n_passes
        self._weight = checked_weight(self.X, sample_weight)
        self._asked: tuple[object, bool] = None, False  # the last shape, and whether it is small

    def expectation(self, *arguments: Any) -> Statistics:
        """Return what the function `expectation` does, of tied models but for rounding."""
        X, mixture = self.X, Mixture(*arguments)
        if mixture.covariance_type == "low_rank":
            return low_rank.expectation(X, self._weight, mixture)
        if self._is_small(mixture):
            statistics = self._small_problem.statistics(mixture)
        else:
            model = model_of(mixture, X.dtype)
            statistics = self._accumulator.statistics(model, mixture.covariance_type)
        total = self._total_weight
        if total > 0 and may_be_far(statistics.log_likelihood / total, X.dtype):
            model, density = model_of(mixture, X.dtype), np.empty(len(X), X.dtype)
            predict(X, model, mixture=density)
            far = are_far(density)
            if np.any(far):
                return self._with_far_points(model, mixture, far, statistics)
        return statistics

    def log_likelihood(self, *arguments: Any) -> float:
        """Σᵢ wᵢ log p(xᵢ): the `log_likelihood` of `expectation`, to the last bit."""
        mixture = Mixture(*arguments)
        if mixture.covariance_type == "low_rank":
            return low_rank.log_likelihood(self.X, self._weight, mixture)
        if self._is_small(mixture):
            return self._small_problem.log_likelihood(mixture)
        return self._accumulator.log_likelihood(model_of(mixture, self.X.dtype))

    def _is_small(self, mixture: Mixture) -> bool:
        shape = mixture.means.shape, mixture.covariance_type
        if self._asked[0] != shape:
            self._asked = shape, _is_small(self.X, mixture)
        return self._asked[1]

    @lazy
    def _total_weight(self) -> float:
        return float(self._weight.sum(dtype=np.float64)) if len(self._weight) else len(self.X)

    @lazy
    def _small_problem(self) -> SmallProblem:
        return SmallProblem(self.X, self._weight if len(self._weight) else None)

    @lazy
    def _accumulator(self) -> Accumulator:
        return Accumulator(self.X, self._weight, self._n_passes)

    def _with_far_points(
        self, model: Model, mixture: Mixture, far: np.ndarray, statistics: Statistics
    ) -> Statistics:
        """The moments of near points, and those of far ones under their true responsibilities."""
        X, covariance_type = self.X, mixture.covariance_type
        weight = self._weight if len(self._weight) else np.ones(len(X), X.dtype)
        near_weight = np.where(far, weight.dtype.type(0), weight)
        near = Accumulator(X, near_weight, "one").statistics(model, covariance_type)
        shares = far_responsibilities(X[far], *mixture) * weight[far, None]
        about = moments_model(model.means, covariance_type, X.dtype)
        far_points = Accumulator(X[far], np.empty(0, X.dtype), "one")
        rest = far_points.statistics(about, covariance_type, shares.astype(X.dtype))
        return replace(near + rest, log_likelihood=statistics.log_likelihood)


def _is_small(X: FloatArray, mixture: Mixture) -> bool:
    K, d = np.shape(mixture.means)
    return is_small(len(X), K, d, mixture.covariance_type)
