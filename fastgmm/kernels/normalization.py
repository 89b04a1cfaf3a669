"""Log-sum-exp of a tile over components."""

from __future__ import annotations

import numpy as np

from fastgmm.kernels.codegen.logarithm import log
from fastgmm.kernels.codegen.tiles import exponentials
from fastgmm.kernels.jit.settings import reduction, worker
from fastgmm.kernels.jit.target import VECTOR_BYTES


@worker
def normalize_tile(tile, m):
    """Turn log-densities into exponentials: shares[k, p] = exp(aₖ - maxₖ aₖ).

    Their largest goes to `log_density`, and the sum of the exponentials, within [1, K], to
    `scale`.
    """
    exponentials(tile.shares, m, tile.log_density, tile.scale, VECTOR_BYTES)
    n_impossible = 0
    for p in range(m):
        n_impossible += not tile.scale[p] > 0  # zero density under every component
    if n_impossible > 0:
        for p in range(m):
            if not tile.scale[p] > 0:
                tile.scale[p] = tile.shares.shape[0]
                tile.shares[:, p] = 1


@worker
def complete_log_density(tile, m):
    """Make `log_density` that of the mixture."""
    for p in range(m):
        tile.log_density[p] += log(tile.scale[p])


@worker
def scale_tile(tile, sample_weight, start, m, padded):
    """scale = sample weight over the sum of exponentials, 0 for the padding; return Σ w log p."""
    if sample_weight.size > 0:
        log_likelihood = 0.0
        complete_log_density(tile, m)
        for p in range(m):
            w = sample_weight[start + p]
            if w > 0:  # 0 · -inf
                log_likelihood += w * np.float64(tile.log_density[p])
            tile.scale[p] = w / tile.scale[p]
    else:
        log_likelihood = total(tile.log_density, m)
        log_likelihood += log_of_product(tile.scale, tile.shares.shape[0], m)
        for p in range(m):
            tile.scale[p] = 1 / tile.scale[p]
    for p in range(m, padded):
        tile.scale[p] = 0
    return log_likelihood


@reduction
def total(values, length):
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
