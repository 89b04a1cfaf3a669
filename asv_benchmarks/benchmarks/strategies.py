"""Whole passes with one of their strategies and without it."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest import mock

import numpy as np

from fastgmm import kernels
from fastgmm.kernels import large_models, layouts, partition, workspace
from fastgmm.kernels.accumulation import Accumulator
from fastgmm.kernels.jit import drivers
from fastgmm.kernels.jit.drivers import Driver

from .common import TINY, Case, _Gain, assert_agree


class VanishingShares(_Gain):
    """Points left out where their share vanishes: clusters far apart, against overlapping ones."""

    params = (["full", "tied", "diag"], ["moments", "expectation"], [16, 32, 64])
    param_names = ("covariance_type", "step", "d")

    def setup(self, covariance_type, step, d):
        n, K = (64, 3) if TINY else (6000, 64)  # too many points to be a small problem
        near = Case(covariance_type, "float64", n, d, K).make()
        labels = kernels.assign(near.X, *near.mixture, covariance_type)
        far = near._replace(X=near.X + 9 * near.means[labels], means=10 * near.means)
        self.calls = [self.call(covariance_type, step, *one[:4]) for one in (near, far)]

    def call(self, covariance_type, step, X, weights, means, factors):
        mixture = weights, means, factors, covariance_type
        shares = kernels.responsibilities(X, *mixture)
        if step == "moments":
            call = partial(kernels.weighted_covariances, X, shares, covariance_type)
            counts = call()[0]
        else:
            call = partial(kernels.expectation, X, *mixture)
            counts = call().counts
        assert_agree(counts, shares.sum(axis=0), "float64")
        return call


class CellsSideBySide(_Gain):
    """Fits of a selection in threads of their own, against one after another; on all threads."""

    params = (["bic", "held-out", "stability"],)
    param_names = ("criterion",)
    n_threads = None

    def setup(self, criterion):
        n, sizes = (120, [1, 2]) if TINY else (30_000, [2, 3, 4])
        X = np.random.default_rng(0).standard_normal((n, 6))
        X[: n // 2] += 3
        self.calls = [self.call(most, X, sizes, criterion=criterion) for most in (math.inf, 0)]
        in_turn, side_by_side = (call().table.value for call in self.calls)
        assert_agree(side_by_side, in_turn, "float64")

    def call(self, most_in_turn, X, sizes, **options):
        """Starts are of each covariance type in both, however few rows there are."""
        from fastgmm.selection import cells, select  # earlier commits have all but this

        with_workers = mock.patch.object(select, "MOST_ROWS_SHARED", most_in_turn)
        own_starts = mock.patch.object(cells, "MOST_ROWS_SHARED", 0)
        choose = partial(select.select_mixture, X, sizes, n_init=2, random_state=0, **options)
        return with_workers(own_starts(choose))


class MomentsByComponents(_Gain):
    """Moments of a large model by components, against by blocks of points; on all threads."""

    params = ([16, 64],)
    param_names = ("K",)
    n_threads = None

    def setup(self, K):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((64 if TINY else 2000, 128))
        shares = rng.dirichlet(np.ones(K), len(X))
        model = layouts.moments_model(rng.standard_normal((K, 128)), "full", X.dtype)
        points = Accumulator(X, np.empty(0))
        by_components = partial(points.statistics, model, "full", shares)
        points = Accumulator(X, np.empty(0))
        by_blocks = mock.patch.object(partition, "SHARED_BYTES", math.inf)(
            partial(points.statistics, model, "full", shares)
        )
        for field in ("counts", "first", "second"):
            expected, actual = getattr(by_blocks(), field), getattr(by_components(), field)
            assert_agree(actual, expected, "float64")
        self.calls = by_blocks, by_components


class CommonCentre(_Gain):
    """Moments of a large model about one centre, against by components; on all threads."""

    params = (["float64", "float32"], [(50_000, 44, 16), (30_000, 64, 16), (30_000, 96, 12)])
    param_names = ("dtype", "n_d_K")
    n_threads = None

    def setup(self, dtype, n_d_K):
        from fastgmm.kernels import common_centre  # which earlier commits do not have

        n, d, K = (64, 44, 8) if TINY else n_d_K
        X, _, means, _, _ = Case("full", dtype, n, d, K).make()
        shares = np.random.default_rng(0).dirichlet(np.ones(K), n).astype(dtype)
        model = layouts.moments_model(means, "full", X.dtype)
        by_components, about_centre = (
            partial(Accumulator(X, np.empty(0, dtype)).statistics, model, "full", shares)
            for _ in range(2)  # each with its workspaces
        )
        by_components = mock.patch.object(common_centre, "LEAST_COUNTING", 2.0)(by_components)
        for field in ("counts", "second"):
            actual, expected = getattr(about_centre(), field), getattr(by_components(), field)
            assert_agree(actual, expected, dtype)
        self.calls = by_components, about_centre


class PairsOfComponents(_Gain):
    """Tied moments from a product for each pair of components, against from the nearest one."""

    params = ([16, 48],)
    param_names = ("d",)

    def setup(self, d):
        case = Case("tied", "float64", *((64, d, 20) if TINY else (20_000, d, 64)))
        problem = case.make()
        shares = kernels.responsibilities(problem.X, *problem.mixture, "tied")
        model = layouts.moments_model(problem.means, "tied", problem.X.dtype)
        by_pairs, by_either = (
            partial(Accumulator(problem.X, np.empty(0)).statistics, model, "tied", shares)
            for _ in range(2)  # each with its workspaces
        )
        by_nearest = mock.patch.object(workspace, "MOST_PAIRED", 0)(by_either)
        for field in ("counts", "second"):
            actual, expected = getattr(by_pairs(), field), getattr(by_nearest(), field)
            assert_agree(actual, expected, "float64")
        self.calls = by_nearest, by_pairs


class TotalScatter(_Gain):
    """Tied second moments from the scatter of all the points, against those of the components."""

    params = ([(50_000, 16, 16), (20_000, 64, 32)],)
    param_names = ("n_d_K",)
    n_threads = None

    def setup(self, n_d_K):
        case = Case("tied", "float64", *((64, n_d_K[1], 5) if TINY else n_d_K))
        problem = case.make()
        model = layouts.prepare_model(*problem.mixture, "tied", problem.X.dtype)
        in_parts, by_total = (
            partial(Accumulator(problem.X, np.empty(0), n_passes).statistics, model, "tied")
            for n_passes in ("one", "many")
        )
        for field in ("counts", "first", "second"):
            assert_agree(getattr(by_total(), field), getattr(in_parts(), field), "float64")
        self.calls = in_parts, by_total


class Tied(_Gain):
    """The tied pass, which whitens points once, against the full one with as many covariances."""

    def setup(self):
        case = Case("tied", "float64", 64 if TINY else 4000, 32, 3 if TINY else 32)
        X, weights, means, factor, _ = case.make()
        factors = np.tile(factor, (case.K, 1, 1))
        full = partial(kernels.expectation, X, weights, means, factors, "full")
        tied = partial(kernels.expectation, X, weights, means, factor, "tied")
        assert_agree(tied().counts, full().counts, "float64")
        assert_agree(tied().second, full().second.sum(axis=0), "float64")
        self.calls = full, tied


def next_to_a_cache_line(shape, dtype):
    """Zeros where numpy may put them: a quarter of a cache line beyond its start."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + 2 * workspace.CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % workspace.CACHE_LINE + workspace.CACHE_LINE // 4
    return memory[start : start + size].view(dtype).reshape(shape)


class AlignedWorkspaces(_Gain):
    """Workspaces from the start of a cache line, against where numpy may put them."""

    params = (["full", "diag"],)
    param_names = ("covariance_type",)

    def setup(self, covariance_type):
        case = Case(covariance_type, "float64", 64 if TINY else 4000, 16, 3 if TINY else 16)
        X, *mixture, _ = case.make()
        aligned = partial(kernels.expectation, X, *mixture, covariance_type)
        name = "aligned_zeros" if hasattr(workspace, "aligned_zeros") else "_aligned_zeros"
        shifted = mock.patch.object(workspace, name, next_to_a_cache_line)(aligned)  # or earlier
        assert_agree(aligned().counts, shifted().counts, "float64")
        self.calls = shifted, aligned


class HalvesDriver(Driver):
    """Runs the blocks on two threads, each of which has its half from the start."""

    def __call__(self, n_blocks, task):
        if self._block is None:
            super().__call__(n_blocks, task)
            return
        # The blocks of this driver do not ask how many there are.
        calls = [self.described(stop, task) for stop in (n_blocks // 2, n_blocks)]
        calls[1][[drivers.NEXT_NUMBER, drivers.ARRAY]] = n_blocks // 2, 1
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(drivers.run, calls))


moments_of_halves = HalvesDriver(large_models.moments_of_slab)


class BlocksInTurn(_Gain):
    """Threads that take the next block, against a half of them each: components differ in size."""

    n_threads = None

    def setup(self):
        rng = np.random.default_rng(0)
        n, K, d = 64 if TINY else 4000, 16, 64
        X = rng.standard_normal((n, d))
        shares = np.eye(K)[rng.choice(K, n, p=rng.dirichlet(np.ones(K)))]
        model = layouts.moments_model(rng.standard_normal((K, d)), "full", X.dtype)
        in_turn = partial(Accumulator(X, np.empty(0)).statistics, model, "full", shares)
        shared = mock.patch.object(large_models, "moments_of_slabs", moments_of_halves)(in_turn)
        assert partition.is_large(model), "it does not run the driver in question"
        for field in ("counts", "first", "second"):
            assert_agree(getattr(in_turn(), field), getattr(shared(), field), "float64")
        self.calls = shared, in_turn


class Spherical(_Gain):
    """The spherical pass, which keeps distances for the moments, against the diagonal one."""

    params = ([8, 64],)
    param_names = ("d",)

    def setup(self, d):
        case = Case("spherical", "float64", 64 if TINY else 4000, d, 3 if TINY else 32)
        X, weights, means, factors, _ = case.make()
        diagonals = np.tile(factors[:, None], d)
        diag = partial(kernels.expectation, X, weights, means, diagonals, "diag")
        spherical = partial(kernels.expectation, X, weights, means, factors, "spherical")
        assert_agree(spherical().counts, diag().counts, "float64")
        assert_agree(spherical().second, diag().second.sum(axis=1), "float64")
        self.calls = diag, spherical
