"""The pass of a large model, in two steps: densities by tiles, then moments by components.

Second moments of many components in many features are large, and a copy for each block of points
would cost more memory and time than the pass itself. So the responsibilities of a run of tiles
are kept, and each component, or a slab of rows of its covariance, takes its moments from all of
them.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgmm.kernels.drivers import load_shares, load_tile, moments_of_block, tile_in_span
from fastgmm.kernels.jit.settings import block, driver, take_number, worker
from fastgmm.kernels.moments import add_chosen, choose_points, scale_share, vanishing_part
from fastgmm.kernels.normalization import normalize_tile, scale_tile
from fastgmm.kernels.pruning import likely_log_density


@block
def responsibilities_of_tile(
    index, thread, n_tiles, source, given, n, first_tile, sample_weight, model, tiles, span
):
    """Fill one tile of the span, with `given` responsibilities if there are any."""
    tile = tile_in_span(tiles, thread, span.rows[index], span.shares[index])
    length = tile.rows.shape[0]
    start = (first_tile + index) * length
    m = min(length, n - start)
    padded = load_tile(source, start, m, tile)
    if given.flat.size > 0:
        load_shares(given, start, m, padded, tile)
    else:
        likely_log_density(model, tile, m)
        normalize_tile(tile, m)
        span.log_likelihood[index] = scale_tile(tile, sample_weight, start, m, padded)
    span.vanishing[index] = vanishing_part(model, tile, m)
    for k in range(model.means.shape[0]):
        span.counts[index, k] = scale_share(tile.shares, k, tile.scale, m)


@driver(of=responsibilities_of_tile)
def responsibilities_of_tiles(
    n_threads, next_tile, n_tiles, source, given, n, first_tile, sample_weight, model, tiles, span
):
    """Fill the span, from tile `first_tile` of the data."""
    for thread in prange(n_threads):
        index = take_number(next_tile)
        while index < n_tiles:
            responsibilities_of_tile(
                index, np.int64(thread), n_tiles,  # numba's index is unsigned (#10641)
                source, given, n, first_tile, sample_weight, model, tiles, span,
            )  # fmt: skip
            index = take_number(next_tile)


@worker
def slab(index, n_slabs, n_rows):
    """First row of a slab of an upper triangle, and the first beyond it, by equal areas."""
    first = n_rows * (1 - np.sqrt(1 - index / n_slabs))
    stop = n_rows * (1 - np.sqrt(1 - (index + 1) / n_slabs))
    return np.int64(first / 16) * 16, np.int64(stop / 16) * 16 if index + 1 < n_slabs else n_rows


@block
def moments_of_slab(
    index, thread, n_parts, n, first_tile, n_tiles, n_slabs, model, tiles, span, partial
):
    """Add the moments of a run of the span's tiles for a few components.

    The components go through a tile together, while its rows are in a cache. Of covariances that
    are large, it adds a slab of rows.
    """
    K, n_together = model.means.shape[0], tiles.places.shape[1]
    n_groups, n_runs = (K + n_together - 1) // n_together, partial.counts.shape[0]
    number, group = index // (n_slabs * n_groups), index // n_slabs % n_groups
    first_component, stop_component = group * n_together, min(K, (group + 1) * n_together)
    moments = moments_of_block(partial, number)
    with_first = index % n_slabs == 0
    first, stop = slab(index % n_slabs, n_slabs, moments.second.shape[1])
    first_of_run, stop_of_run = number * n_tiles // n_runs, (number + 1) * n_tiles // n_runs
    for t in range(first_of_run, stop_of_run):
        tile = tile_in_span(tiles, thread, span.rows[t], span.shares[t])
        start = t * length_of(span)
        m = min(length_of(span), n - first_tile * length_of(span) - start)
        for k in range(first_component, stop_component):
            place, total = k - first_component, span.counts[t, k]
            if with_first:
                moments.counts[k] += total
            next_point = 0 if total > 0 else m
            least, unfinished = total / m * span.vanishing[t], True
            while unfinished:
                next_point = choose_points(tile, next_point, m, start, k, least, place)
                unfinished = next_point < m
                if unfinished or t + 1 == stop_of_run:
                    add_chosen(model, span.rows, tile, place, k, moments, with_first, first, stop)


@worker
def length_of(span):
    """Points of a tile."""
    return span.rows.shape[1]


@driver(of=moments_of_slab)
def moments_of_slabs(
    n_threads, next_part, n_parts, n, first_tile, n_tiles, n_slabs, model, tiles, span, partial
):
    """Add the moments of all components of a span to `partial`, a run of tiles each."""
    for thread in prange(n_threads):
        index = take_number(next_part)
        while index < n_parts:
            moments_of_slab(
                index, np.int64(thread), n_parts,
                n, first_tile, n_tiles, n_slabs, model, tiles, span, partial,
            )  # fmt: skip
            index = take_number(next_part)
