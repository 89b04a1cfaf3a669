"""Loadings to start from: the principal axes of the points of each component."""

from __future__ import annotations

import numpy as np
from numpy.random import RandomState
from sklearn.utils.extmath import randomized_svd

from fastgmm._records import FloatArray
from fastgmm.data.source import WeightedRows
from fastgmm.em.clusters import ClusterMoments

# Parts of its variance that a feature keeps for itself: EM never leaves 0.
LEAST_OWN = 0.05
# Loadings, in standard deviations, where there are fewer points than axes: EM never leaves 0.
SMALL = 0.1
# Power iterations: EM goes on from there.
POWERS = 2


def moments_with_loadings(
    rows: WeightedRows, shares: FloatArray, rank: int, random_state: RandomState
) -> ClusterMoments:
    """Counts, means, and loadings with variances, of responsibilities (n, K) times weights.

    Along the principal axes of a component's points, loadings have what their variances exceed the
    mean of the others by: probabilistic principal components.

    References
    ----------
    Tipping and Bishop, Mixtures of probabilistic principal component analyzers, Neural Computation
    11 (1999).
    """
    X, _ = rows
    K, d = shares.shape[1], X.shape[1]
    counts = shares.sum(axis=0, dtype=np.float64)
    means, covariances = np.empty((K, d)), np.empty((K, d, rank + 1))
    everything = X.mean(axis=0, dtype=np.float64)
    for k in range(K):
        own = np.flatnonzero(shares[:, k] > 0)
        if not len(own):
            means[k], covariances[k] = everything, 0.0
            continue
        share = shares[own, k].astype(np.float64) / counts[k]
        means[k] = share @ X[own]
        centred = (X[own] - means[k]) * np.sqrt(share)[:, None]
        covariances[k] = _principal(centred, rank, random_state)
    return counts, means, covariances


def _principal(centred: FloatArray, rank: int, random_state: RandomState) -> FloatArray:
    """Loadings and variances (d, r + 1) of rows whose squares add up to the covariance."""
    d = centred.shape[1]
    variances = np.einsum("nd,nd->d", centred, centred)
    n_axes = min(rank, len(centred))
    _, sizes, axes = randomized_svd(centred, n_axes, n_iter=POWERS, random_state=random_state)
    rest = max(variances.sum() - float(np.sum(sizes**2)), 0.0) / (d - n_axes)
    loadings = SMALL * np.sqrt(variances)[:, None] * random_state.standard_normal((d, rank))
    loadings[:, :n_axes] = axes.T * np.sqrt(np.maximum(sizes**2 - rest, 0.0))
    # Axes that are no longer than the others would stay without loadings.
    loadings[:, :n_axes] += 1e-3 * np.sqrt(variances)[:, None]
    own = np.maximum(variances - np.sum(loadings**2, axis=1), LEAST_OWN * variances)
    return np.concatenate([loadings, own[:, None]], axis=1)
