"""Log-sum-exp of a tile over components."""

from __future__ import annotations

import numpy as np

from fastgmm.kernels.codegen.logarithm import log
from fastgmm.kernels.codegen.tiles import exponentials
from fastgmm.kernels.jit.settings import reduction, worker
from fastgmm.kernels.jit.target import VECTOR_BYTES


@worker
def normalize_tile(tile, m):
    """Turn log-densities into exponentials: components[k, p] = exp(aₖ - maxₖ aₖ).

    Their largest goes to `peak`, and the sum of the exponentials, within [1, K], to `total`.
    """
    exponentials(tile.components, m, tile.peak, tile.total, VECTOR_BYTES)
    n_impossible = 0
    for p in range(m):
        n_impossible += not tile.total[p] > 0  # zero density under every component
    if n_impossible > 0:
        for p in range(m):
            if not tile.total[p] > 0:
                tile.total[p] = tile.components.shape[0]
                tile.components[:, p] = 1


@worker
def log_density_of(tile, p):
    """Log-density of the mixture at a point of a tile that is normalized."""
    return tile.peak[p] + log(tile.total[p])


@worker
def scale_tile(tile, sample_weight, start, m, padded):
    """scale = sample weight over the sum of exponentials, 0 for the padding; return Σ w log p."""
    if sample_weight.size > 0:
        log_likelihood = 0.0
        for p in range(m):
            log_density = log_density_of(tile, p)
            w = sample_weight[start + p]
            if w > 0:  # 0 · -inf
                log_likelihood += w * np.float64(log_density)
            tile.scale[p] = w / tile.total[p]
    else:
        log_likelihood = sum_of(tile.peak, m)
        log_likelihood += log_of_product(tile.total, tile.components.shape[0], m)
        for p in range(m):
            tile.scale[p] = 1 / tile.total[p]
    for p in range(m, padded):
        tile.scale[p] = 0
    return log_likelihood


@reduction
def sum_of(values, length):
    """Σ values, in double precision."""
    result = 0.0
    for p in range(length):
        result += np.float64(values[p])
    return result


@reduction
def log_of_product(values, largest, length):
    """log Π values, each in [1, largest]: one logarithm for as many as cannot overflow."""
    run = int(700 / log(1.0 + largest))
    result = 0.0
    for start in range(0, length, run):
        part = values[start : min(start + run, length)]
        product = 1.0
        for p in range(part.shape[0]):  # from 0: an index that may be negative is not vectorized
            product *= np.float64(part[p])
        result += log(product)
    return result
