"""Clusters to start from, which several fits may share."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from fastgmm._records import CovarianceType, FloatArray
from fastgmm.data.source import WeightedRows
from fastgmm.kernels.covariances import weighted_moments
from fastgmm.system.lazy import lazy

ClusterMoments: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]  # counts, means, covariances


class Clusters:
    """Labels (n,) of rows, from 0 to `n_clusters` - 1, and the moments of the clusters.

    They are the same as others that differ in the numbers of the clusters alone. From the moments
    of a pass for matrices, once they have been taken, those for all other passes follow.
    """

    def __init__(self, labels: np.ndarray, n_clusters: int) -> None:
        self.labels, self.n_clusters = labels, n_clusters
        self._full: ClusterMoments | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clusters) and self._partition == other._partition

    def __hash__(self) -> int:
        return hash(self._partition)

    def moments(self, rows: WeightedRows, pass_type: CovarianceType) -> ClusterMoments:
        """Counts, means and covariances, for a pass, of the rows that the labels are of."""
        if self._full is not None:
            return _reduced(*self._full, pass_type)
        X, sample_weight = rows
        shares = (self.labels[:, None] == np.arange(self.n_clusters)).astype(X.dtype)
        if sample_weight is not None:
            shares *= sample_weight[:, None]
        moments = weighted_moments(X, shares, pass_type)
        if pass_type != "full":
            return moments
        self._full = moments
        return _reduced(*moments, pass_type)

    @lazy
    def _partition(self) -> bytes:
        """The labels, if clusters are numbered in the order in which they come."""
        numbers = list(dict.fromkeys(self.labels.tolist()))
        ranks = np.empty(self.n_clusters, np.int32)
        ranks[numbers] = np.arange(len(numbers))
        return ranks[self.labels].tobytes()


def _reduced(
    counts: FloatArray, means: FloatArray, matrices: FloatArray, pass_type: CovarianceType
) -> ClusterMoments:
    """What a pass of any type would have found, in arrays of its own."""
    match pass_type:
        case "tied":
            covariances = np.tensordot(counts / counts.sum(), matrices, 1)
        case "diag":
            covariances = np.diagonal(matrices, axis1=1, axis2=2).copy()
        case "spherical":
            covariances = np.trace(matrices, axis1=1, axis2=2) / means.shape[1]
        case _:
            covariances = matrices.copy()
    return counts, means, covariances
