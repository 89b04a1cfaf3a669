"""Data → starting Parameters, with scikit-learn's own k-means and its use of the random state."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import DTypeLike
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.utils.random import sample_without_replacement

from fastgmm._records import (
    CovarianceType,
    FloatArray,
    InitFunction,
    InitialValues,
    InitMethod,
    Parameters,
)
from fastgmm.data.isometry import isometric_rows
from fastgmm.data.moments import spread_of
from fastgmm.kernels.passes import weighted_moments
from fastgmm.model.maximization import (
    Completion,
    Estimate,
    complete,
    count_floor,
    covariances_from_cholesky,
    precisions_cholesky_from_precisions,
)
from fastgmm.system.threads import openmp_survives_fork

__all__ = ["initial_parameters"]

SINGLE_POINTS = ("k-means++", "random_from_data")
# Bytes of data, and features for each row, from which on k-means sees them in fewer dimensions.
LARGE, WIDE = 2**26, 4
# Part of `reg_covar` that adding to it does not change.
INVISIBLE = 2.0**-54


def initial_parameters(
    X: FloatArray,
    n_components: int,
    covariance_type: CovarianceType,
    *,
    init_params: InitMethod | InitFunction | FloatArray,
    given: InitialValues,
    reg_covar: float | FloatArray,
    repair: Completion | None = None,
    init_size: int | None,
    random_state: np.random.RandomState,
    sample_weight: FloatArray | None = None,
    whiten: bool = False,
) -> Parameters:
    """Starting parameters, estimated from the data except where they are given.

    Parameters
    ----------
    X : (n, d) array of float32 or float64
    n_components : int
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
    init_params : InitMethod, (n, K) array of responsibilities, or a function that gives them
        The function takes the rows to start from, their weights having no part in it, K and the
        random state.
    given : InitialValues
        Where all are given, nothing is estimated and no random number is drawn.
    reg_covar : float or (d,) array
        Added to the variances.
    repair : Completion, optional
        Completes estimates from responsibilities. Those of single points, whose covariances are
        nothing but `reg_covar`, are none of its business.
    init_size : int or None
        The largest number of rows to estimate from; of more, a random subset is drawn, but not
        where responsibilities are given.
    random_state : RandomState
        Advanced as scikit-learn advances it, as long as there are at most `init_size` rows.
    sample_weight : (n,) array, optional
    whiten : bool
        Whether k-means and k-means++ measure distances in whitened data.

    Returns
    -------
    start : Parameters
        Of X's dtype.
    """
    weights, means, precisions = given
    method = init_params if isinstance(init_params, str) else None
    if weights is None or means is None or precisions is None:
        if isinstance(init_params, np.ndarray):
            rows, row_weight = X, sample_weight
        else:
            size = None if init_size is None else max(init_size, n_components)
            rows, row_weight = _rows_to_start_from(X, sample_weight, size, random_state)
        seen = rows
        if whiten and method in ("kmeans", "k-means++"):
            spread = spread_of(rows, row_weight)
            seen = (rows - spread.mean.astype(X.dtype)) @ spread.whitening.astype(X.dtype)
        if method in (*SINGLE_POINTS, "random_means"):
            chosen = _choose(seen, n_components, method, random_state, row_weight)
            moments_of = _equal_clouds if method == "random_means" else _single_points
            counts, centres, covariances = moments_of(rows, chosen, covariance_type, row_weight)
        else:
            shares = _share(seen, n_components, init_params, random_state, row_weight)
            counts, centres, covariances = weighted_moments(rows, shares, covariance_type)
        floored = counts + _floor(counts, method, X.dtype)
        if weights is None:
            total = len(rows) if row_weight is None else row_weight.sum(dtype=np.float64)
            weights = floored / total
        if means is None:  # an empty component is at the origin, as in scikit-learn
            means = centres * (counts / floored)[:, None]
            if method != "random_means":
                shift = means.astype(X.dtype) - centres
                shift[shift**2 <= INVISIBLE * reg_covar] = 0.0
                covariances += _squares(shift, counts, floored, covariance_type)
    if precisions is None:
        estimate = Estimate(weights, means, covariances)
        if repair is not None and method not in SINGLE_POINTS:
            return repair(estimate, 0)[0]
        return complete(estimate, covariance_type, reg_covar, X.dtype)
    cholesky = precisions_cholesky_from_precisions(precisions, covariance_type)
    covariances = covariances_from_cholesky(cholesky, covariance_type)
    return Parameters(weights, means, covariances, cholesky, covariance_type).astype(X.dtype)


def _rows_to_start_from(
    X: FloatArray,
    sample_weight: FloatArray | None,
    size: int | None,
    random_state: np.random.RandomState,
) -> tuple[FloatArray, FloatArray | None]:
    """Return the rows that have weight, or `size` of them drawn at random where there are more."""
    n_present = len(X) if sample_weight is None else np.count_nonzero(sample_weight)
    if size is not None and n_present > size:
        rows = np.sort(sample_without_replacement(n_present, size, random_state=random_state))
        if sample_weight is not None and n_present < len(X):
            rows = np.flatnonzero(sample_weight)[rows]
    elif sample_weight is not None and n_present < len(X):
        rows = np.flatnonzero(sample_weight)
    else:
        return X, sample_weight
    return X[rows], None if sample_weight is None else sample_weight[rows]


def _share(
    X: FloatArray,
    n_components: int,
    init_params: InitMethod | InitFunction | FloatArray,
    random_state: np.random.RandomState,
    sample_weight: FloatArray | None,
) -> FloatArray:
    """Responsibilities (n, K) as `init_params` gives them, times the weights."""
    match init_params:
        case np.ndarray():
            shares = init_params.copy()
        case "kmeans":
            labels = _labels_of_kmeans(X, n_components, random_state, sample_weight)
            shares = (labels[:, None] == np.arange(n_components)).astype(X.dtype)
        case "random":
            shares = random_state.uniform(size=(len(X), n_components)).astype(X.dtype)
            shares /= shares.sum(axis=1, keepdims=True)
        case function:
            shares = cast(InitFunction, function)(X, n_components, random_state)
    if sample_weight is not None:
        shares *= sample_weight[:, None]
    return shares


def _labels_of_kmeans(
    X: FloatArray,
    n_components: int,
    random_state: np.random.RandomState,
    sample_weight: FloatArray | None,
) -> np.ndarray:
    """Scikit-learn's labels; it holds two copies of the data, which must not be large."""
    rows, tol = X, KMeans().tol
    if X.nbytes > LARGE and WIDE * len(X) < X.shape[1]:
        rows = isometric_rows(X)
        tol *= rows.shape[1] / X.shape[1]  # in parts of the mean variance of a feature
    options = {"n_init": 1, "tol": tol, "random_state": random_state}
    kmeans = KMeans(n_components, **options, copy_x=rows is X)
    with openmp_survives_fork():
        labels: np.ndarray = kmeans.fit(rows, sample_weight=sample_weight).labels_
    return labels


def _choose(
    X: FloatArray,
    n_components: int,
    init_params: InitMethod,
    random_state: np.random.RandomState,
    sample_weight: FloatArray | None,
) -> np.ndarray:
    """Indices (K,) of single points to start from."""
    if init_params == "k-means++":
        return kmeans_plusplus(
            X, n_components, sample_weight=sample_weight, random_state=random_state
        )[1]
    shares = None
    if sample_weight is not None:
        shares = sample_weight / sample_weight.sum(dtype=np.float64)
    return random_state.choice(len(X), size=n_components, replace=False, p=shares)


def _floor(counts: FloatArray, method: InitMethod | None, dtype: DTypeLike) -> float:
    """Added to the counts; with single points, that of scikit-learn, for what it leaves of them."""
    return count_floor(counts, dtype if method in SINGLE_POINTS else np.float64)


def _squares(
    shift: FloatArray, counts: FloatArray, floored: FloatArray, covariance_type: CovarianceType
) -> FloatArray:
    """What covariances gain by a shift δ (K, d) of the means that they are about, δₖ δₖᵀ.

    Where a component has no extent of its own, this alone keeps its points within its reach.
    """
    if covariance_type == "tied":
        scaled = np.sqrt(counts / floored.sum())[:, None] * shift
        return scaled.T @ scaled
    scaled = np.sqrt(counts / floored)[:, None] * shift
    match covariance_type:
        case "full":
            return scaled[:, :, None] * scaled[:, None, :]
        case "diag":
            return scaled**2
    return np.asarray(np.mean(scaled**2, axis=1))


def _single_points(
    X: FloatArray,
    chosen: np.ndarray,
    covariance_type: CovarianceType,
    sample_weight: FloatArray | None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Counts, means and covariances of components that have a single point each.

    The variances should all be 0, but scikit-learn's E[x²] - E[x]² leaves a trace of x²
    in the diagonal types, as the data's own precision has it, and the second moment of all other
    points about the origin in ``'tied'``. Where it starts matters for where it goes, so these are
    reproduced.
    """
    means, d = X[chosen].astype(np.float64), X.shape[1]
    weight = np.ones(len(X)) if sample_weight is None else sample_weight.astype(np.float64)
    counts = weight[chosen]
    match covariance_type:
        case "full":
            covariances = np.zeros((len(chosen), d, d))
        case "tied":
            others = np.delete(X, chosen, axis=0).astype(np.float64)
            if sample_weight is not None:
                others *= np.sqrt(np.delete(weight, chosen))[:, None]
            covariances = others.T @ others / counts.sum()
        case "diag" | "spherical":
            points, n = X[chosen], counts.astype(X.dtype)[:, None]
            floored = n + count_floor(counts, X.dtype)
            trace = n * points**2 / floored - (n * points / floored) ** 2
            covariances = np.maximum(trace, 0.0).astype(np.float64)  # it may round to less than 0
            if covariance_type == "spherical":
                covariances = covariances.mean(axis=1)
    return counts, means, covariances


def _equal_clouds(
    X: FloatArray,
    chosen: np.ndarray,
    covariance_type: CovarianceType,
    sample_weight: FloatArray | None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Counts, means and covariances of components about single points, each as wide as the data."""
    K = len(chosen)
    total = len(X) if sample_weight is None else sample_weight.sum(dtype=np.float64)
    spread = spread_of(X, sample_weight, covariance_type)
    return np.full(K, total / K), X[chosen], spread.covariances(K, covariance_type)
