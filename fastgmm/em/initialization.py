"""Data → starting Parameters, with scikit-learn's own k-means and its use of the random state."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from numpy.random import RandomState
from numpy.typing import DTypeLike
from sklearn.cluster import KMeans, kmeans_plusplus

from fastgmm._records import FloatArray, InitFunction, InitialValues, InitMethod, Parameters
from fastgmm.data.isometry import isometric_rows
from fastgmm.data.moments import DataMoments, moments_of
from fastgmm.data.source import FEW_FEATURES, ArraySource, Source, WeightedRows
from fastgmm.em.agglomeration import agglomerated
from fastgmm.em.clusters import ClusterMoments, Clusters
from fastgmm.em.degeneracy import NO_REPAIRS, Repairing, Repairs
from fastgmm.em.factor_start import moments_with_loadings
from fastgmm.kernels.covariances import weighted_moments
from fastgmm.model.factors import covariances_from_cholesky, precisions_cholesky_from_precisions
from fastgmm.model.families import Family, family_of
from fastgmm.model.maximization import (
    Estimate,
    MaximumLikelihood,
    Moments,
    count_floor,
    squares_of_shift,
)
from fastgmm.system.threads import openmp_where_it_pays

SINGLE_POINTS = ("k-means++", "random_from_data")
SEE_WHITENED = ("kmeans", "k-means++", "hierarchical")
# Rows that are agglomerated, as in mclust: time and memory grow with their square.
FOR_HIERARCHY = 2000
# Bytes of data, and features for each row, from which on k-means sees them in fewer dimensions.
LARGE, WIDE = 2**26, 4
KMEANS_TOL: float = KMeans().tol
# Rows, features and clusters multiplied from which on k-means gains by a second thread.
WORTH_THREADS = 2**17
# Part of `reg_covar` that adding to it does not change.
INVISIBLE = 2.0**-54


class Initialization(NamedTuple):
    """How a start is to be found.

    `init_params` is the name of a method, clusters, responsibilities (n, K), or a function that
    gives these of the rows to start from, K and the random state. Where all values are given,
    nothing is estimated and no random number drawn. Of more than `init_size` rows, or of more than
    can be agglomerated, a random subset is used, but not where responsibilities are given. With
    `whiten`, methods that measure distances see whitened data. K-means ends where the centres move
    less than `kmeans_tol`, in parts of the mean variance of a feature.
    """

    init_params: InitMethod | InitFunction | FloatArray | Clusters = "kmeans"
    initial_values: InitialValues = InitialValues()
    init_size: int | None = None
    whiten: bool = False
    kmeans_tol: float = KMEANS_TOL


def initial_parameters(
    source: Source,
    n_components: int,
    maximization: MaximumLikelihood,
    how: Initialization,
    random_state: RandomState,
    repairing: Repairing | None = None,
) -> tuple[Parameters, Repairs]:
    """Starting parameters, estimated from the data except where they are given; and repairs.

    The random state is advanced as scikit-learn advances it, as long as there are at most
    `init_size` rows. Estimates from single points are never repaired: their covariances are nothing
    but `reg_covar`.
    """
    weights, means, precisions = how.initial_values
    family = family_of(maximization.covariance_type)
    method = how.init_params if isinstance(how.init_params, str) else None
    covariances: FloatArray
    if weights is None or means is None or precisions is None:
        rows = _rows_to_start_from(source, n_components, how, random_state)
        counts, centres, covariances = _moments_of_start(
            source, rows, n_components, maximization, how, random_state
        )
        floored = counts + _floor(counts, method, source.dtype)
        if weights is None:
            X, row_weight = rows
            total = len(X) if row_weight is None else row_weight.sum(dtype=np.float64)
            weights = floored / total
        if means is None:  # an empty component is at the origin, as in scikit-learn
            before, centres = centres, centres * (counts / floored)[:, None]
            if method != "random_means" and not family.has_loadings:
                shift = centres.astype(source.dtype) - before
                shift[shift**2 <= INVISIBLE * maximization.reg_covar] = 0.0
                covariances = covariances + squares_of_shift(
                    shift, counts, floored, family.pass_type
                )
        if maximization.takes_the_rest and method is not None:  # which it leaves by chance
            weights = weights / weights.sum()
        found = maximization.of_moments(Moments(floored, weights, centres, covariances))
        means = found.means if means is None else means
        covariances = found.covariances
    if precisions is None:
        estimate = Estimate(weights, means, covariances)
        if repairing is not None and method not in SINGLE_POINTS:
            return repairing.repair(estimate, 0, NO_REPAIRS)
        return maximization.regularize(estimate), NO_REPAIRS
    cholesky = precisions_cholesky_from_precisions(precisions, maximization.covariance_type)
    covariances = covariances_from_cholesky(cholesky, maximization.covariance_type)
    start = Parameters(weights, means, covariances, cholesky, maximization.covariance_type)
    return maximization.started(start.astype(source.dtype)), NO_REPAIRS


def is_the_same_each_time(how: Initialization, source: Source) -> bool:
    """Whether a start draws nothing at random, so that several are one."""
    if not (isinstance(how.init_params, str) and how.init_params == "hierarchical"):
        return False
    return source.n_weighted <= min(FOR_HIERARCHY, how.init_size or FOR_HIERARCHY)


def shares_of_labels(
    source: Source, labels: np.ndarray, K: int, how: Initialization, random_state: RandomState
) -> FloatArray:
    """Responsibilities (n, K) to start from, where some labels are known and others are -1.

    K-means begins at the means of those that are known; other components begin at rows far from
    these and from each other, drawn as k-means++ draws them.
    """
    X, weight = _seen(source, (source.X, source.sample_weight), how)
    mass = np.ones(len(X)) if weight is None else weight.astype(np.float64)
    centres, without = np.empty((K, X.shape[1])), []
    nearest = np.full(len(X), np.inf)
    for k in range(K):
        own = (labels == k) & (mass > 0)
        if not own.any():
            without.append(k)
            continue
        centres[k] = np.average(X[own], axis=0, weights=mass[own])
        nearest = np.minimum(nearest, np.sum((X - centres[k]) ** 2, axis=1))
    for k in without:
        chances = mass * (nearest if np.isfinite(nearest).all() else 1.0)
        chances = chances if chances.any() else mass
        row = random_state.choice(len(X), p=chances / chances.sum())
        centres[k] = X[row]
        nearest = np.minimum(nearest, np.sum((X - centres[k]) ** 2, axis=1))
    with openmp_where_it_pays(X.size * K > WORTH_THREADS):
        kmeans = KMeans(K, init=centres.astype(X.dtype), n_init=1)
        found = kmeans.fit(X, sample_weight=weight).labels_
    found = np.where(labels >= 0, labels, found)
    return (found[:, None] == np.arange(K)).astype(X.dtype)


def _rows_to_start_from(
    source: Source, n_components: int, how: Initialization, random_state: RandomState
) -> WeightedRows:
    """All the rows of an array where responsibilities are given, else those of the source."""
    if isinstance(how.init_params, np.ndarray):
        array = cast(ArraySource, source)
        return array.X, array.sample_weight
    size = how.init_size
    if isinstance(how.init_params, str) and how.init_params == "hierarchical":
        size = FOR_HIERARCHY if size is None else min(size, FOR_HIERARCHY)
    return source.rows(None if size is None else max(size, n_components), random_state)


def _moments_of_start(
    source: Source,
    rows: WeightedRows,
    K: int,
    maximization: MaximumLikelihood,
    how: Initialization,
    random_state: RandomState,
) -> ClusterMoments:
    """Counts, means and covariances, for the pass, of what a method finds among rows."""
    family = family_of(maximization.covariance_type)
    method, seen = how.init_params, _seen(source, rows, how)
    if family.has_loadings:
        return _with_loadings(rows, seen, K, maximization.rank, how, random_state)
    if isinstance(method, str) and method == "hierarchical":
        method = Clusters(agglomerated(seen, K), K)
    if isinstance(method, Clusters):
        return method.moments(rows, family.pass_type)
    if not isinstance(method, str) or method not in (*SINGLE_POINTS, "random_means"):
        return weighted_moments(rows[0], _share(seen, K, how, random_state), family.pass_type)
    chosen = _choose(seen, K, method, random_state)
    if method == "random_means":
        moments = _moments_of(source, rows, matrix=family.is_matrix)
        return _equal_clouds(rows, chosen, family, moments)
    return _single_points(rows, chosen, family)


def _with_loadings(
    rows: WeightedRows,
    seen: WeightedRows,
    K: int,
    rank: int,
    how: Initialization,
    random_state: RandomState,
) -> ClusterMoments:
    """Counts, means, and loadings with variances; about single points, those of all the rows."""
    (X, weight), method = rows, how.init_params
    if isinstance(method, str) and method in (*SINGLE_POINTS, "random_means"):
        chosen = _choose(seen, K, method, random_state)
        share = np.ones((len(X), 1)) if weight is None else weight[:, None]
        counts, _, one = moments_with_loadings(rows, share, rank, random_state)
        means = X[chosen].astype(np.float64)
        return np.repeat(counts / K, K), means, np.repeat(one, K, axis=0)
    if isinstance(method, str) and method == "hierarchical":
        method = Clusters(agglomerated(seen, K), K)
    if isinstance(method, Clusters):
        method = (method.labels[:, None] == np.arange(K)).astype(X.dtype)
    shares = _share(seen, K, how._replace(init_params=method), random_state)
    return moments_with_loadings(rows, shares, rank, random_state)


def _seen(source: Source, rows: WeightedRows, how: Initialization) -> WeightedRows:
    """The rows as a method that measures distances sees them, with their weights.

    A hierarchy weighs traces against determinants, which depends on units, so that it sees features
    of unit variance.
    """
    X, weight = rows
    method = how.init_params if isinstance(how.init_params, str) else None
    if how.whiten and method in SEE_WHITENED:
        moments = _moments_of(source, rows, matrix=True)
        return (X - moments.mean.astype(X.dtype)) @ moments.whitening.astype(X.dtype), weight
    if method == "hierarchical":
        moments = _moments_of(source, rows, matrix=False)
        deviations = np.sqrt(np.where(moments.variances > 0, moments.variances, 1.0))
        return (X - moments.mean.astype(X.dtype)) / deviations.astype(X.dtype), weight
    return rows


def _moments_of(source: Source, rows: WeightedRows, *, matrix: bool) -> DataMoments:
    """Moments of rows, of which a source remembers those of all."""
    X, weight = rows
    if X is getattr(source, "X", None):
        return source.moments(matrix=matrix)
    return moments_of(X, weight, matrix=matrix or source.n_features <= FEW_FEATURES)


def _share(
    rows: WeightedRows, K: int, how: Initialization, random_state: RandomState
) -> FloatArray:
    """Responsibilities (n, K) as `how.init_params` gives them, times the weights."""
    X, sample_weight = rows
    match how.init_params:
        case np.ndarray():
            shares = how.init_params.copy()
        case "kmeans":
            labels = labels_of_kmeans(X, K, random_state, sample_weight, how.kmeans_tol)
            shares = (labels[:, None] == np.arange(K)).astype(X.dtype)
        case "random":
            shares = random_state.uniform(size=(len(X), K)).astype(X.dtype)
            shares /= shares.sum(axis=1, keepdims=True)
        case function:
            shares = cast(InitFunction, function)(X, K, random_state)
    if sample_weight is not None:
        shares *= sample_weight[:, None]
    return shares


def labels_of_kmeans(
    X: FloatArray,
    K: int,
    random_state: RandomState,
    sample_weight: FloatArray | None,
    tol: float = KMEANS_TOL,
) -> np.ndarray:
    """Scikit-learn's labels; it holds two copies of the data, which must not be large."""
    if K == 1:
        random_state.random_sample()  # as if it had chosen the first centre
        return np.zeros(len(X), np.int32)
    rows = X
    if X.nbytes > LARGE and WIDE * len(X) < X.shape[1]:
        rows = isometric_rows(X)
        tol *= rows.shape[1] / X.shape[1]  # in parts of the mean variance of a feature
    options = {"n_init": 1, "tol": tol, "random_state": random_state}
    kmeans = KMeans(K, **options, copy_x=rows is X)
    with openmp_where_it_pays(rows.size * K > WORTH_THREADS):
        labels: np.ndarray = kmeans.fit(rows, sample_weight=sample_weight).labels_
    return labels


def _choose(rows: WeightedRows, K: int, method: str, random_state: RandomState) -> np.ndarray:
    """Indices (K,) of single points to start from."""
    X, sample_weight = rows
    if method == "k-means++":
        return kmeans_plusplus(X, K, sample_weight=sample_weight, random_state=random_state)[1]
    shares = None
    if sample_weight is not None:
        shares = sample_weight / sample_weight.sum(dtype=np.float64)
    return random_state.choice(len(X), size=K, replace=False, p=shares)


def _floor(counts: FloatArray, method: InitMethod | None, dtype: DTypeLike) -> float:
    """Added to the counts; with single points, that of scikit-learn, for what it leaves of them."""
    return count_floor(counts, dtype if method in SINGLE_POINTS else np.float64)


def _single_points(rows: WeightedRows, chosen: np.ndarray, family: Family) -> ClusterMoments:
    """Counts, means and covariances of components that have a single point each.

    The variances should all be 0, but scikit-learn's E[x²] - E[x]² leaves a trace of x²
    in the diagonal types, as the data's own precision has it, and the second moment of all other
    points about the origin in ``'tied'``. Where it starts matters for where it goes, so these are
    reproduced.
    """
    X, sample_weight = rows
    means, d = X[chosen].astype(np.float64), X.shape[1]
    weight = np.ones(len(X)) if sample_weight is None else sample_weight.astype(np.float64)
    counts = weight[chosen]
    match family.pass_type:
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
            if family.pass_type == "spherical":
                covariances = covariances.mean(axis=1)
    return counts, means, covariances


def _equal_clouds(
    rows: WeightedRows, chosen: np.ndarray, family: Family, moments: DataMoments
) -> ClusterMoments:
    """Counts, means and covariances of components about single points, each as wide as the data."""
    X, sample_weight = rows
    K = len(chosen)
    total = len(X) if sample_weight is None else sample_weight.sum(dtype=np.float64)
    covariances = moments.covariances(K, family_of(family.pass_type))
    return np.full(K, total / K), X[chosen], covariances
