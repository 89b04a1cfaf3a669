"""Blocks of tiles, and the drivers that run them on all threads.

A block is a run of tiles with its own partial result. The number of blocks depends on the shape
of the problem alone, and partial results are added in block order, so that results do not depend
on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.kernels.density import tile_distances, tile_log_density
from fastgmm.kernels.jit.drivers import Driver
from fastgmm.kernels.jit.settings import element
from fastgmm.kernels.layouts import Model
from fastgmm.kernels.moments import tile_moments
from fastgmm.kernels.normalization import log_density_of, normalize_tile, scale_tile
from fastgmm.kernels.strided import Strided
from fastgmm.kernels.tiles import (
    assign_tile,
    load_responsibilities,
    load_tile,
    tile_of_thread,
    tiles_of_block,
)
from fastgmm.kernels.workspace import Moments, Tile


class Points(NamedTuple):
    """What is read of the data: n points in tiles of `length`.

    Without weights or given responsibilities their arrays are empty.
    """

    rows: Strided  # (n, d)
    responsibilities: Strided  # (n, K), given rather than computed
    sample_weight: FloatArray  # (n,)
    n: int
    length: int


class ExpectationTask(NamedTuple):
    """Points and a model, a workspace for each thread, and moments of each block to be filled."""

    points: Points
    model: Model
    tiles: Tile
    moments: Moments


class Outputs(NamedTuple):
    """What is predicted of each point; arrays without rows are not asked for."""

    log_density: FloatArray  # (n, K): of each component
    mixture: FloatArray  # (n,): log-density of the mixture
    responsibilities: FloatArray  # (n, K)
    labels: np.ndarray  # (n,)


class PredictionTask(NamedTuple):
    """Points and a model, a workspace for each thread, and outputs to be filled."""

    points: Points
    model: Model
    tiles: Tile
    outputs: Outputs


def expectation_of_block(index, thread, n_blocks, task):
    """Accumulate the moments of a block, with given responsibilities if there are any.

    Where there is no room for moments it accumulates the log-likelihood alone.
    """
    points, model = task.points, task.model
    tile, moments = tile_of_thread(task.tiles, thread), element(task.moments, index)
    first, stop = tiles_of_block(index, n_blocks, points.n, points.length)
    for number in range(first, stop):
        start = number * points.length
        m = min(points.length, points.n - start)
        are_given = points.responsibilities.flat.size > 0
        padded = load_tile(points.rows, start, m, tile, are_given)
        if are_given:
            tile_distances(model, tile, m)
            load_responsibilities(points.responsibilities, start, m, padded, tile)
        else:
            tile_log_density(model, tile, m)
            normalize_tile(tile, m)
            moments.log_likelihood[0] += scale_tile(tile, points.sample_weight, start, m, padded)
        if moments.counts.size > 0:
            tile_moments(model, tile, m, moments)


def prediction_of_block(index, thread, n_blocks, task):
    """Fill whichever outputs have rows, for the points of a block."""
    points, outputs = task.points, task.outputs
    tile = tile_of_thread(task.tiles, thread)
    first, stop = tiles_of_block(index, n_blocks, points.n, points.length)
    for number in range(first, stop):
        start = number * points.length
        m = min(points.length, points.n - start)
        load_tile(points.rows, start, m, tile, False)
        tile_log_density(task.model, tile, m)
        if outputs.log_density.shape[0] > 0:
            for p in range(m):
                for k in range(outputs.log_density.shape[1]):
                    outputs.log_density[start + p, k] = tile.components[k, p]
        if outputs.labels.shape[0] > 0:
            assign_tile(tile, m, outputs.labels, start)
        if outputs.mixture.shape[0] > 0:
            normalize_tile(tile, m)
            for p in range(min(m, outputs.responsibilities.shape[0])):
                scale = 1 / tile.total[p]
                for k in range(outputs.responsibilities.shape[1]):
                    outputs.responsibilities[start + p, k] = tile.components[k, p] * scale
            for p in range(m):
                outputs.mixture[start + p] = log_density_of(tile, p)


expectation_blocks = Driver(expectation_of_block)
prediction_blocks = Driver(prediction_of_block)
