"""Wide data in as few dimensions as they have rows."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpstrf

from fastgmm._records import FloatArray

# Numbers of a slice of the features that are in memory at a time.
SLICE = 2**20


def isometric_rows(X: FloatArray) -> FloatArray:
    """Rows (n, r) with r ≤ n that have the distances of the rows of X (n, d), to rounding.

    A pivoted Cholesky decomposition of the inner products about the mean, C Cᵀ = L Lᵀ. It takes
    twice the memory of the inner products, and never a copy of X.
    """
    n, d = X.shape
    products = np.zeros((n, n))
    for start in range(0, d, max(1, SLICE // n)):
        some = X[:, start : start + max(1, SLICE // n)].astype(np.float64)
        some -= some.mean(axis=0)
        products += some @ some.T
    # In place: a symmetric matrix is its own transpose, in Fortran's order.
    factor, pivots, rank, _ = dpstrf(products.T, lower=1, overwrite_a=1)
    for i in range(n):
        factor[i, i + 1 :] = 0.0
    rows = np.empty((n, max(1, rank)), X.dtype)
    rows[pivots - 1] = factor[:, : max(1, rank)]
    return rows
