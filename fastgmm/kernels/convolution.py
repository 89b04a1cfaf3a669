"""Points with errors of measurement: each row's density is that of components it is convolved with.

Every row has a covariance of its own to factorize for each component, so that there is nothing that
rows share: blocks of rows, each with its own moments, and all in float64.

References
----------
Bovy, Hogg and Roweis, Extreme deconvolution: inferring complete distribution functions from noisy,
heterogeneous and incomplete observations, Annals of Applied Statistics 5 (2011).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastgmm._records import FloatArray, Statistics
from fastgmm.kernels.jit.drivers import Driver
from fastgmm.kernels.jit.settings import worker
from fastgmm.system.threads import max_threads

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
# Rows of a block at least, and most blocks: so that results do not depend on the threads.
ROWS, MOST_BLOCKS = 64, 64


class UncertainRows(NamedTuple):
    """Points, their errors as variances (n, d) or covariances (n, d²), and weights or none."""

    X: FloatArray
    errors: FloatArray
    sample_weight: FloatArray


class Components(NamedTuple):
    """What rows are compared with."""

    log_weights: FloatArray  # (K,)
    means: FloatArray  # (K, d)
    covariances: FloatArray  # (K, d, d)


class Scratch(NamedTuple):
    """Of each thread."""

    joint: FloatArray  # (threads, K)
    factors: FloatArray  # (threads, K, d, d): Cholesky factors of Σₖ + S
    solved: FloatArray  # (threads, K, d): L⁻¹ (x - μₖ)
    columns: FloatArray  # (threads, d, d)
    shift: FloatArray  # (threads, d)


class Sums(NamedTuple):
    """Of each block; arrays without components are not asked for."""

    log_likelihood: FloatArray  # (blocks,)
    counts: FloatArray  # (blocks, K)
    first: FloatArray  # (blocks, K, d)
    second: FloatArray  # (blocks, K, d, d), their lower triangles


class ConvolutionTask(NamedTuple):
    """Everything that is read and written."""

    rows: UncertainRows
    components: Components
    scratch: Scratch
    sums: Sums
    log_density: FloatArray  # (n,)
    responsibilities: FloatArray  # (n, K), or without rows if they are not asked for


def convolution_of_block(index, thread, n_blocks, task):
    """Densities and responsibilities of the rows of a block, and their moments if asked for."""
    rows, components, scratch, sums = task.rows, task.components, task.scratch, task.sums
    n, K = rows.X.shape[0], components.means.shape[0]
    joint = scratch.joint[thread]
    for i in range(index * n // n_blocks, (index + 1) * n // n_blocks):
        peak = -np.inf
        for k in range(K):
            joint[k] = components.log_weights[k] + convolved(
                rows, components, i, k, scratch.factors[thread, k], scratch.solved[thread, k]
            )
            peak = max(peak, joint[k])
        total = 0.0
        for k in range(K):  # a point too far from all components belongs to them in equal parts
            joint[k] = np.exp(joint[k] - peak) if peak > -np.inf else 1.0
            total += joint[k]
        task.log_density[i] = peak + np.log(total)
        weight = rows.sample_weight[i] if rows.sample_weight.size > 0 else 1.0
        sums.log_likelihood[index] += weight * task.log_density[i]
        for k in range(K):
            share = joint[k] / total
            if task.responsibilities.shape[0] > 0:
                task.responsibilities[i, k] = share
            if sums.counts.shape[1] > 0 and share * weight > 0.0:
                add_moments(components, k, share * weight, scratch, thread, sums, index)


@worker
def convolved(rows, components, i, k, factor, solved):
    """log N(xᵢ; μₖ, Σₖ + Sᵢ); leaves the Cholesky factor L of that, and L⁻¹ (xᵢ - μₖ)."""
    d = rows.X.shape[1]
    log_density = -d * HALF_LOG_TWO_PI
    for j in range(d):
        for l in range(j + 1):
            value = components.covariances[k, j, l]
            if rows.errors.shape[1] > d:
                value += rows.errors[i, j * d + l]
            elif j == l:
                value += rows.errors[i, j]
            for m in range(l):
                value -= factor[j, m] * factor[l, m]
            factor[j, l] = value / factor[l, l] if l < j else np.sqrt(value)
        value = rows.X[i, j] - components.means[k, j]
        for m in range(j):
            value -= factor[j, m] * solved[m]
        solved[j] = value / factor[j, j]
        log_density -= np.log(factor[j, j]) + 0.5 * solved[j] * solved[j]
    return log_density


@worker
def add_moments(components, k, share, scratch, thread, sums, index):
    """Add what a row is expected to be, with G = L⁻¹ Σ: b = Gᵀ L⁻¹ (x - μ), B = Σ - Gᵀ G."""
    factor, solved = scratch.factors[thread, k], scratch.solved[thread, k]
    columns, shift = scratch.columns[thread], scratch.shift[thread]
    covariance, d = components.covariances[k], components.means.shape[1]
    for j in range(d):
        for l in range(d):
            columns[j, l] = covariance[j, l]
        for m in range(j):
            for l in range(d):
                columns[j, l] -= factor[j, m] * columns[m, l]
        for l in range(d):
            columns[j, l] /= factor[j, j]
    for l in range(d):
        shift[l] = 0.0
    for j in range(d):
        for l in range(d):
            shift[l] += columns[j, l] * solved[j]
    sums.counts[index, k] += share
    for j in range(d):
        sums.first[index, k, j] += share * shift[j]
        for l in range(j + 1):
            value = covariance[j, l] + shift[j] * shift[l]
            for m in range(d):
                value -= columns[m, j] * columns[m, l]
            sums.second[index, k, j, l] += share * value


convolution_blocks = Driver(convolution_of_block)


def convolved_expectation(
    X: FloatArray,
    errors: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    covariances: FloatArray,
    sample_weight: FloatArray | None = None,
) -> Statistics:
    """Expected statistics of the values behind the points, in the type ``'full'``."""
    return Convolution(X, errors, sample_weight).expectation(weights, means, covariances)


class Convolution:
    """Points with errors, checked, for passes over them."""

    def __init__(
        self, X: FloatArray, errors: FloatArray, sample_weight: FloatArray | None = None
    ) -> None:
        n = len(X)
        weight = np.empty(0) if sample_weight is None else sample_weight
        self._rows = UncertainRows(
            np.ascontiguousarray(X, np.float64),
            np.ascontiguousarray(errors, np.float64).reshape(n, -1),
            np.ascontiguousarray(weight, np.float64),
        )

    def expectation(
        self, weights: FloatArray, means: FloatArray, covariances: FloatArray
    ) -> Statistics:
        """Expected statistics of the values behind the points, in the type ``'full'``."""
        task = self._run(weights, means, covariances, moments=True)
        sums = task.sums
        second = sums.second.sum(axis=0)
        second += np.tril(second, -1).swapaxes(1, 2)
        return Statistics(
            float(sums.log_likelihood.sum()),
            sums.counts.sum(axis=0),
            sums.first.sum(axis=0),
            second,
            task.components.means,
            "full",
        )

    def log_density(
        self, weights: FloatArray, means: FloatArray, covariances: FloatArray
    ) -> FloatArray:
        """Log-density (n,) of the mixture, convolved with each row's errors."""
        return self._run(weights, means, covariances).log_density

    def responsibilities(
        self, weights: FloatArray, means: FloatArray, covariances: FloatArray
    ) -> FloatArray:
        """Responsibilities (n, K)."""
        return self._run(weights, means, covariances, shares=True).responsibilities

    def _run(
        self,
        weights: FloatArray,
        means: FloatArray,
        covariances: FloatArray,
        *,
        moments: bool = False,
        shares: bool = False,
    ) -> ConvolutionTask:
        n, d = self._rows.X.shape
        with np.errstate(divide="ignore"):
            log_weights = np.log(np.asarray(weights, np.float64))
        means = np.array(means, np.float64)
        components = Components(log_weights, means, np.array(covariances, np.float64))
        K, threads = len(means), max_threads()
        n_blocks = max(1, min(MOST_BLOCKS, n // ROWS))
        M = K if moments else 0
        scratch = Scratch(
            np.empty((threads, K)), np.empty((threads, K, d, d)), np.empty((threads, K, d)),
            np.empty((threads, d, d)), np.empty((threads, d)),
        )  # fmt: skip
        sums = Sums(
            np.zeros(n_blocks), np.zeros((n_blocks, M)), np.zeros((n_blocks, M, d)),
            np.zeros((n_blocks, M, d, d)),
        )  # fmt: skip
        task = ConvolutionTask(
            self._rows, components, scratch, sums, np.empty(n), np.empty((n if shares else 0, K))
        )
        convolution_blocks(n_blocks, task)
        return task
