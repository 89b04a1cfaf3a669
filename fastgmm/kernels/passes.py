"""The public functions of the contract: the compiled twins of `fastgmm.reference`.

Each checks and lays out its arguments and runs blocks of tiles.
"""

from __future__ import annotations

import numpy as np

from fastgmm._contract import (
    are_far,
    check_covariance_type,
    check_upper_factors,
    far_responsibilities,
    may_be_far,
)
from fastgmm._records import CovarianceType, FloatArray, Statistics
from fastgmm.kernels import drivers
from fastgmm.kernels.accumulation import MOST_BLOCKS, accumulate, log_likelihood
from fastgmm.kernels.layouts import (
    LogDensityModel,
    Model,
    allocate_tiles,
    as_rows,
    moments_model,
    prepare_model,
    tile_length,
)
from fastgmm.system.threads import max_threads


def log_gaussian_density(
    X: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
) -> FloatArray:
    """Log-density of every point under every component.

    log N(x; μ, Σ) = -½ (d log 2π + ‖Uᵀ(x - μ)‖²) + log |U|   with Σ⁻¹ = U Uᵀ

    Parameters
    ----------
    X : (n, d) array of float32 or float64
        In any order, with any strides.
    means : (K, d) array
    precisions_cholesky : array
        U per component: ``'full'`` (K, d, d), ``'tied'`` (d, d), both upper triangular;
        ``'diag'`` (K, d), ``'spherical'`` (K,).
    covariance_type : {'full', 'tied', 'diag', 'spherical'}

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
    X = _points(X)
    weights = np.ones(len(means))
    model = _model(X, weights, means, precisions_cholesky, covariance_type)
    components = np.empty((len(X), len(means)), X.dtype)
    _predict(X, model, components=components)
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
    a = _points(weighted_log_density)
    n, K = a.shape
    no_means = np.broadcast_to(a.dtype.type(0), (K, K))
    model = LogDensityModel(no_means, np.empty(0, a.dtype))
    density, posterior = np.empty(n, a.dtype), np.empty((n, K), a.dtype)
    _predict(a, model, density=density, posterior=posterior)
    return density, posterior


def weighted_covariances(
    X: FloatArray,
    responsibilities: FloatArray,
    covariance_type: CovarianceType,
    reg_covar: float = 0.0,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Maximum-likelihood means and covariances under given responsibilities.

    Nₖ = Σᵢ rᵢₖ,   μₖ = Σᵢ rᵢₖ xᵢ / Nₖ,   Σₖ = Σᵢ rᵢₖ (xᵢ - μₖ)(xᵢ - μₖ)ᵀ / Nₖ

    ``'tied'`` averages Σₖ with weights Nₖ, ``'diag'`` keeps the diagonals, ``'spherical'`` their
    mean. A component without points gets the mean of all the points and zero covariance (plus
    `reg_covar`).

    Parameters
    ----------
    X : (n, d) array of float32 or float64
    responsibilities : (n, K) array
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
    reg_covar : float
        Added to the variances.

    Returns
    -------
    counts : (K,) array
    means : (K, d) array
    covariances : array
        ``'full'`` (K, d, d), ``'tied'`` (d, d), ``'diag'`` (K, d), ``'spherical'`` (K,). All
        three have X's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import kernels
    >>> X = np.array([[0.0], [2.0]])
    >>> kernels.weighted_covariances(X, np.ones((2, 1)), 'diag')
    (array([2.]), array([[1.]]), array([[1.]]))
    """
    X = _points(X)
    counts, means, covariances = weighted_moments(X, responsibilities, covariance_type)
    if covariance_type in ("full", "tied"):
        np.einsum("...ii->...i", covariances)[...] += reg_covar
    else:
        covariances += reg_covar
    return counts.astype(X.dtype), means.astype(X.dtype), covariances.astype(X.dtype)


def weighted_moments(
    X: FloatArray, responsibilities: FloatArray, covariance_type: CovarianceType
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return counts, means and covariances as `weighted_covariances` does, but in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm.kernels.passes import weighted_moments
    >>> X = np.array([[0.0], [2.0]], np.float32)
    >>> weighted_moments(X, np.ones((2, 1)), 'diag')
    (array([2.]), array([[1.]]), array([[1.]]))
    """
    X = _points(X)
    n, d = X.shape
    r = np.asarray(responsibilities, X.dtype)
    if r.ndim != 2 or len(r) != n:
        raise ValueError(f"responsibilities have shape {r.shape}; expected ({n}, n_components).")
    check_covariance_type(covariance_type)
    # The first pass finds the means, the second takes the moments about them: nothing cancels.
    means = np.tile(X.mean(axis=0, dtype=np.float64), (r.shape[1], 1))
    for _ in range(2):
        exact = _given_moments(X, r, means, covariance_type)
        means = exact.reference + _per_count(exact.first, exact.counts)
    counts, second = exact.counts, exact.second
    shift = _per_count(exact.first, counts)
    weighted = counts[:, None] * shift
    match covariance_type:
        case "full":
            for matrix, one, other in zip(second, weighted, shift, strict=True):
                matrix -= one[:, None] * other
            covariances = _per_count(second, counts)
        case "tied":
            corrections = np.zeros_like(second)
            for one, other in zip(weighted, shift, strict=True):
                corrections += one[:, None] * other
            total = counts.sum(keepdims=True)
            covariances = _per_count((second - corrections)[None], total)[0]
        case "diag":
            covariances = _per_count(second - weighted * shift, counts)
        case "spherical":
            covariances = _per_count(second - np.sum(weighted * shift, axis=1), counts * d)
    return counts, means, covariances


def expectation(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    sample_weight: FloatArray | None = None,
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
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
    sample_weight : (n,) array, optional

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
    X = _points(X)
    arguments = weights, means, precisions_cholesky, covariance_type
    model, weight = _model(X, *arguments), _weight(X, sample_weight)
    given = np.empty((0, 0), X.dtype)
    statistics = accumulate(X, given, weight, model, covariance_type)
    total = float(statistics.counts.sum())
    if total > 0 and may_be_far(statistics.log_likelihood / total, X.dtype):
        density = np.empty(len(X), X.dtype)
        _predict(X, model, density=density)
        far = are_far(density)
        if np.any(far):
            return _with_far_points(X, weight, model, arguments, far, statistics)
    return statistics


def total_log_likelihood(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    sample_weight: FloatArray | None = None,
) -> float:
    """Σᵢ wᵢ log p(xᵢ): the `log_likelihood` of `expectation`, to the last bit, sooner.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm.kernels.passes import total_log_likelihood
    >>> round(total_log_likelihood(
    ...     np.zeros((2, 1)), np.ones(1), np.zeros((1, 1)), np.ones(1), 'spherical'), 8)
    -1.83787707
    """
    X = _points(X)
    model = _model(X, weights, means, precisions_cholesky, covariance_type)
    return log_likelihood(X, _weight(X, sample_weight), model)


def log_density(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
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
    X = _points(X)
    model = _model(X, weights, means, precisions_cholesky, covariance_type)
    density = np.empty(len(X), X.dtype)
    _predict(X, model, density=density)
    return density


def responsibilities(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
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
    X = _points(X)
    arguments = weights, means, precisions_cholesky, covariance_type
    density, posterior = np.empty(len(X), X.dtype), np.empty((len(X), len(means)), X.dtype)
    _predict(X, _model(X, *arguments), density=density, posterior=posterior)
    far = are_far(density)
    if np.any(far):
        posterior[far] = _far_responsibilities(X, far, arguments)
    return posterior


def assign(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
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
    X = _points(X)
    arguments = weights, means, precisions_cholesky, covariance_type
    labels = np.empty(len(X), np.intp)
    _predict(X, _model(X, *arguments), labels=labels)
    far = labels < 0
    if np.any(far):
        labels[far] = _far_responsibilities(X, far, arguments).argmax(axis=1)
    return labels


# --- what they share ------------------------------------------------------------------------
Arguments = tuple[FloatArray, FloatArray, FloatArray, CovarianceType]


def _points(X: FloatArray) -> FloatArray:
    X = np.asarray(X)
    if X.ndim != 2:
        raise ValueError(f"Expected a two-dimensional array, got {X.ndim} dimension(s).")
    if X.dtype not in (np.float32, np.float64) or not X.dtype.isnative:
        X = X.astype(np.float64)
    return X


def _weight(X: FloatArray, sample_weight: FloatArray | None) -> FloatArray:
    """The weights of the points, an empty array for none."""
    if sample_weight is None:
        return np.empty(0, X.dtype)
    # Writable, since numba would compile anew for a read-only array.
    sample_weight = np.require(sample_weight, X.dtype, ["C", "W"])
    if sample_weight.shape != (len(X),):
        raise ValueError(f"sample_weight has shape {sample_weight.shape}; expected ({len(X)},).")
    return sample_weight


def _model(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
) -> Model:
    """Check the arguments, since compiled code would read beyond an array's end.

    And it does not read what is below the diagonal of a factor, where a covariance has something.
    """
    check_covariance_type(covariance_type)
    weights, means, factors = (np.asarray(a) for a in (weights, means, precisions_cholesky))
    K, d = len(weights), X.shape[1]
    expected = {"full": (K, d, d), "tied": (d, d), "diag": (K, d), "spherical": (K,)}
    for name, array, shape in [
        ("weights", weights, (K,)),
        ("means", means, (K, d)),
        ("precisions_cholesky", factors, expected[covariance_type]),
    ]:
        if array.shape != shape or 0 in shape:
            raise ValueError(
                f"{name} has shape {array.shape}; expected {shape} for {K} component(s), "
                f"{d} feature(s) and covariance_type={covariance_type!r}."
            )
    check_upper_factors(factors, covariance_type)
    return prepare_model(weights, means, factors, covariance_type, X.dtype)


def _predict(
    X: FloatArray,
    model: Model,
    *,
    components: FloatArray | None = None,
    density: FloatArray | None = None,
    posterior: FloatArray | None = None,
    labels: np.ndarray | None = None,
) -> None:
    """Fill the outputs that are given; the others reach the kernel without rows."""
    length = tile_length(model, X.dtype)
    n_blocks = min(-(-len(X) // length), MOST_BLOCKS)
    tiles = allocate_tiles(model, length, X.dtype, min(n_blocks, max_threads()))
    empty_rows, empty = np.empty((0, 0), X.dtype), np.empty(0, X.dtype)
    if n_blocks:
        drivers.prediction_blocks(
            n_blocks,
            as_rows(X),
            len(X),
            length,
            model,
            tiles,
            empty_rows if components is None else components,
            empty if density is None else density,
            empty_rows if posterior is None else posterior,
            np.empty(0, np.intp) if labels is None else labels,
        )


def _far_responsibilities(X: FloatArray, far: np.ndarray, arguments: Arguments) -> FloatArray:
    weights, means, factors = (np.asarray(array) for array in arguments[:3])
    return far_responsibilities(X[far], weights, means, factors, arguments[-1])


def _with_far_points(
    X: FloatArray,
    weight: FloatArray,
    model: Model,
    arguments: Arguments,
    far: np.ndarray,
    statistics: Statistics,
) -> Statistics:
    """The moments of near points, and those of far ones under their true responsibilities."""
    covariance_type, nothing = arguments[-1], np.empty(0, X.dtype)
    weight = weight if len(weight) else np.ones(len(X), X.dtype)
    given = np.empty((0, 0), X.dtype)
    near_weight = np.where(far, weight.dtype.type(0), weight)
    near = accumulate(X, given, near_weight, model, covariance_type)
    shares = _far_responsibilities(X, far, arguments) * weight[far, None]
    about = moments_model(model.means, covariance_type, X.dtype)
    rest = accumulate(X[far], shares.astype(X.dtype), nothing, about, covariance_type)
    return Statistics(
        statistics.log_likelihood,
        near.counts + rest.counts,
        near.first + rest.first,
        near.second + rest.second,
        near.reference,
    )


def _given_moments(
    X: FloatArray, r: FloatArray, means: FloatArray, covariance_type: CovarianceType
) -> Statistics:
    """Moments about `means` under given responsibilities."""
    model = moments_model(means, covariance_type, X.dtype)
    return accumulate(X, r, np.empty(0, X.dtype), model, covariance_type)


def _per_count(moments: FloatArray, counts: FloatArray) -> FloatArray:
    """moments / counts along the first axis, 0 where nothing was counted."""
    counts = counts.reshape(-1, *[1] * (moments.ndim - 1))
    return np.divide(moments, counts, out=np.zeros_like(moments), where=counts > 0)
