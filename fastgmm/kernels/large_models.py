"""The pass of a large model, in two steps: densities by tiles, then moments by components.

Second moments of many components in many features are large, and a copy for each block of points
would cost more memory and time than the pass itself. So the responsibilities of a run of tiles
are kept, and each component, or a slab of rows of its covariance, takes its moments from all of
them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.drivers import Points
from fastgmm.kernels.jit.drivers import Driver
from fastgmm.kernels.jit.settings import element, worker
from fastgmm.kernels.layouts import FullModel
from fastgmm.kernels.moments_of_full import add_chosen
from fastgmm.kernels.normalization import normalize_tile, scale_tile
from fastgmm.kernels.pruning import pruned_log_density
from fastgmm.kernels.shares import choose_points, scale_and_count, vanishing_part
from fastgmm.kernels.tiles import load_responsibilities, load_tile, tile_in_span
from fastgmm.kernels.workspace import Moments, Span, Tile


class SpanTask(NamedTuple):
    """Points and a model, workspaces, and the span whose tiles are to be filled."""

    points: Points
    first_tile: int  # of the data, in the span
    model: FullModel
    tiles: Tile
    span: Span


class SlabTask(NamedTuple):
    """A span whose tiles are filled, and the moments of each run of tiles to be added to."""

    points: Points
    first_tile: int
    n_tiles: int  # of the span that are filled
    n_slabs: int  # of a covariance
    model: FullModel
    tiles: Tile
    span: Span
    moments: Moments


def responsibilities_of_tile(index, thread, n_tiles, task):
    """Fill one tile of the span, with given responsibilities if there are any."""
    points, model, span = task.points, task.model, task.span
    tile = tile_in_span(task.tiles, thread, span.rows[index], span.components[index])
    start = (task.first_tile + index) * points.length
    m = min(points.length, points.n - start)
    padded = load_tile(points.rows, start, m, tile, False)
    if points.responsibilities.flat.size > 0:
        load_responsibilities(points.responsibilities, start, m, padded, tile)
    else:
        pruned_log_density(model, tile, m)
        normalize_tile(tile, m)
        span.log_likelihood[index] = scale_tile(tile, points.sample_weight, start, m, padded)
    span.vanishing[index] = vanishing_part(model, tile, m)
    n_counting = 0
    for k in range(model.means.shape[0]):
        total, count = scale_and_count(tile.components, k, tile.scale, m)
        span.counts[index, k] = total
        n_counting += count
    span.n_counting[index] = n_counting


@worker
def slab(index, n_slabs, n_rows):
    """First row of a slab of an upper triangle, and the first beyond it, by equal areas."""
    first = n_rows * (1 - np.sqrt(1 - index / n_slabs))
    stop = n_rows * (1 - np.sqrt(1 - (index + 1) / n_slabs))
    return np.int64(first / 16) * 16, np.int64(stop / 16) * 16 if index + 1 < n_slabs else n_rows


def moments_of_slab(index, thread, n_parts, task):
    """Add the moments of a run of the span's tiles for a few components.

    The components go through a tile together, while its rows are in a cache. Of covariances that
    are large, it adds a slab of rows.
    """
    points, model, span, n_slabs = task.points, task.model, task.span, task.n_slabs
    K, n_together = model.means.shape[0], task.tiles.scratch.chosen.shape[1]
    n_groups, n_runs = (K + n_together - 1) // n_together, task.moments.counts.shape[0]
    number, group = index // (n_slabs * n_groups), index // n_slabs % n_groups
    first_component, stop_component = group * n_together, min(K, (group + 1) * n_together)
    moments = element(task.moments, number)
    with_first = index % n_slabs == 0
    first, stop = slab(index % n_slabs, n_slabs, moments.second.shape[1])
    first_of_run, stop_of_run = (
        number * task.n_tiles // n_runs,
        (number + 1) * task.n_tiles // n_runs,
    )
    parts = (with_first, first, stop)
    for t in range(first_of_run, stop_of_run):
        tile = tile_in_span(task.tiles, thread, span.rows[t], span.components[t])
        shares, packed, roots = tile.components, tile.scratch.packed, tile.scratch.packed_roots
        n_chosen = tile.scratch.n_chosen
        start = t * points.length
        m = min(points.length, points.n - task.first_tile * points.length - start)
        for k in range(first_component, stop_component):
            place, total = k - first_component, span.counts[t, k]
            chosen, chosen_shares = tile.scratch.chosen[place], tile.scratch.chosen_shares[place]
            second, count = moments.second[k], n_chosen[place]
            if with_first:
                moments.counts[k] += total
            next_point = 0 if total > 0 else m
            least, unfinished = total / m * span.vanishing[t], True
            while unfinished:
                next_point, count = choose_points(
                    shares, chosen, chosen_shares, count, next_point, m, start, k, least
                )
                unfinished = next_point < m
                if unfinished or t + 1 == stop_of_run:
                    add_chosen(
                        model.padded_means, span.rows, packed, roots, chosen, chosen_shares,
                        count, k, moments, second, parts,
                    )  # fmt: skip
                    count = 0
            n_chosen[place] = count


responsibilities_of_tiles = Driver(responsibilities_of_tile)
moments_of_slabs = Driver(moments_of_slab)
