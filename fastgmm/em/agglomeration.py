"""Clusters by agglomeration: those are merged whose Gaussian likelihood loses least by it."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from fastgmm._records import FloatArray
from fastgmm.data.source import WeightedRows
from fastgmm.system.memory import check_memory

# Numbers in those scatter matrices whose determinants are taken at a time.
AT_ONCE = 2**18
# Numbers for each pair of rows that are in memory at a time.
PAIRS_AT_ONCE = 5


def agglomerated(rows: WeightedRows, n_clusters: int) -> np.ndarray:
    """Labels (n,) of rows that are merged, pair by pair, until so many clusters are left.

    Each is to have a mean and a covariance of its own. Merged are the two clusters that raise

    Σₖ nₖ log(|Wₖ / nₖ| + (tr Wₖ + tr W / (n d)) / nₖ)

    least, where Wₖ is the scatter of nₖ points about their mean and W that of all. The traces let
    clusters of few points be compared, whose determinant is 0. Equal rows are one from the start,
    and weights, all of them positive, are multiplicities. Memory grows with the square of the
    number of rows, and time nearly so.

    References
    ----------
    Fraley, Algorithms for model-based Gaussian hierarchical clustering, SIAM Journal on Scientific
    Computing 20 (1998).
    """
    X, weight = rows
    n, d = X.shape
    if n_clusters == 1:
        return np.zeros(n, np.intp)
    n_bytes = 8 * (PAIRS_AT_ONCE * n * n + (n // 2 * d * d if n > d else 0))
    check_memory(n_bytes, "The hierarchical start", "use init_params='kmeans', or fewer features")
    points, of_row = np.unique(X, axis=0, return_inverse=True)
    if len(points) < n_clusters:  # equal rows cannot all be one
        points, of_row = X, np.arange(n)
    clusters = _Clusters(points, _sizes(of_row.ravel(), weight))
    for _ in range(len(points) - n_clusters):
        clusters.merge()
    return np.asarray(np.unique(clusters.labels, return_inverse=True)[1][of_row.ravel()])


def _sizes(of_row: np.ndarray, weight: FloatArray | None) -> FloatArray:
    """Multiplicities of points; weights that are less than 1 in the mean are proportions."""
    if weight is None:
        return np.bincount(of_row).astype(np.float64)
    sizes = np.bincount(of_row, weight)
    return np.asarray(sizes / min(1.0, weight.mean(dtype=np.float64)))


class _Clusters:
    """Clusters, each under the number of its first point, and what merging any two would cost."""

    def __init__(self, X: FloatArray, sizes: FloatArray) -> None:
        n, d = X.shape
        self.sizes = sizes.astype(np.float64)
        self.n_points, self.labels = np.ones(n, np.intp), np.arange(n)
        self.means, self.traces = X.astype(np.float64), np.zeros(n)
        # Of clusters of several points, each in a place of its own; place 0 is that of all others.
        # No determinant is ever taken of fewer points than features.
        self.scatters = np.zeros((n // 2 + 1 if n > d else 1, d, d))
        self.places, self.free = np.zeros(n, np.intp), list(range(n // 2, 0, -1))
        spread = self.means - np.average(self.means, axis=0, weights=self.sizes)
        total = float(self.sizes @ np.sum(spread**2, axis=1))
        self.least = max(total / (d * self.sizes.sum()), np.finfo(np.float64).tiny)
        self.terms = self.sizes * np.log(self.least / self.sizes)
        self.costs = self._costs_of_pairs()
        self.nearest = self.costs.argmin(axis=1)
        self.lowest = self.costs.min(axis=1)

    def merge(self) -> None:
        """Merge the two clusters that cost least."""
        i = int(self.lowest.argmin())
        i, j = sorted((i, int(self.nearest[i])))
        self.terms[i] += self.costs[i, j] + self.terms[j]
        self._unite(i, j)
        self.costs[j] = self.costs[:, j] = self.lowest[j] = np.inf
        left = np.flatnonzero(self.sizes)
        others = left[left != i]
        costs = np.full(len(self.sizes), np.inf)
        costs[others] = self._terms_with(i, others) - self.terms[i] - self.terms[others]
        self.costs[i] = self.costs[:, i] = costs
        lost = others[(self.nearest[others] == i) | (self.nearest[others] == j)]
        closer = others[costs[others] < self.lowest[others]]
        self.nearest[closer], self.lowest[closer] = i, costs[closer]
        for row in (i, *lost):
            self.nearest[row] = self.costs[row].argmin()
            self.lowest[row] = self.costs[row, self.nearest[row]]

    def _unite(self, i: int, j: int) -> None:
        """Let i be the union of both, and j nothing."""
        size = self.sizes[i] + self.sizes[j]
        apart = self.means[j] - self.means[i]
        between = self.sizes[i] * self.sizes[j] / size
        self.traces[i] += self.traces[j] + between * apart @ apart
        if len(self.scatters) > 1:
            self._unite_scatters(i, j, np.sqrt(between) * apart)
        self.means[i] += self.sizes[j] / size * apart
        self.sizes[i], self.sizes[j] = size, 0.0
        self.n_points[i] += self.n_points[j]
        self.labels[self.labels == j] = i

    def _unite_scatters(self, i: int, j: int, apart: FloatArray) -> None:
        place = self.places[i] or self.places[j] or self.free.pop()
        scatter = self.scatters[self.places[i]] + self.scatters[self.places[j]]
        self.scatters[place] = scatter + np.outer(apart, apart)
        if self.places[i] and self.places[j]:
            self.free.append(int(self.places[j]))
        self.places[i], self.places[j] = place, 0

    def _costs_of_pairs(self) -> FloatArray:
        """(n, n), as long as each point is a cluster."""
        sizes = self.sizes[:, None] + self.sizes
        between = self.sizes[:, None] * self.sizes / sizes
        traces = between * cdist(self.means, self.means, "sqeuclidean")
        determinants = traces if self.means.shape[1] == 1 else 0.0
        costs = sizes * np.log((traces + determinants + self.least) / sizes)
        costs -= self.terms[:, None] + self.terms
        np.fill_diagonal(costs, np.inf)
        return np.asarray(costs)

    def _terms_with(self, i: int, others: np.ndarray) -> FloatArray:
        """What the union of cluster i with each of some others would add to the sum."""
        d = self.means.shape[1]
        sizes = self.sizes[i] + self.sizes[others]
        apart = self.means[others] - self.means[i]
        between = self.sizes[i] * self.sizes[others] / sizes
        traces = self.traces[i] + self.traces[others] + between * np.sum(apart**2, axis=1)
        logs = np.log((traces + self.least) / sizes)
        step = max(1, AT_ONCE // d**2)
        full = np.flatnonzero(self.n_points[i] + self.n_points[others] > d)
        for start in range(0, len(full), step):
            some = full[start : start + step]
            scaled = np.sqrt(between[some])[:, None] * apart[some]
            scatters = self.scatters[self.places[others[some]]] + self.scatters[self.places[i]]
            scatters += scaled[:, :, None] * scaled[:, None, :]
            determinants = np.linalg.slogdet(scatters)[1] - d * np.log(sizes[some])
            logs[some] = np.logaddexp(logs[some], determinants)
        return np.asarray(sizes * logs)
