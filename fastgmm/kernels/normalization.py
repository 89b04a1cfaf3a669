"""Log-sum-exp of a tile over components."""

from __future__ import annotations

import numpy as np

from fastgmm.kernels._jit import worker
from fastgmm.kernels._vector_math import exp, log


@worker
def normalize_tile(tile, m):
    """Turn log-densities into exponentials with sums `scale`, and the mixture's log-density.

    shares[k, p] becomes exp(aₖ - maxₖ aₖ), so that a sum lies in [1, K].
    """
    K = tile.shares.shape[0]
    shares, peak, total = tile.shares, tile.log_density, tile.scale
    for p in range(m):
        peak[p] = shares[0, p]
        total[p] = 0
    for k in range(1, K):
        for p in range(m):
            a = shares[k, p]
            peak[p] = a if a > peak[p] else peak[p]
    for k in range(K):
        for p in range(m):
            share = exp(shares[k, p] - peak[p])
            shares[k, p] = share
            total[p] += share
    for p in range(m):
        if not total[p] > 0:  # zero density under every component
            total[p] = K
            shares[:, p] = 1
    for p in range(m):
        peak[p] += log(total[p])


@worker
def scale_tile(tile, sample_weight, start, m, padded):
    """scale = sample weight over the sum of exponentials, 0 for the padding; return Σ w log p."""
    log_likelihood = 0.0
    if sample_weight.size > 0:
        for p in range(m):
            w = sample_weight[start + p]
            if w > 0:  # 0 · -inf
                log_likelihood += w * np.float64(tile.log_density[p])
            tile.scale[p] = w / tile.scale[p]
    else:
        for p in range(m):
            log_likelihood += np.float64(tile.log_density[p])
            tile.scale[p] = 1 / tile.scale[p]
    for p in range(m, padded):
        tile.scale[p] = 0
    return log_likelihood
