"""Models so large that densities and moments are taken in two steps (kernels/large_models.py)."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from axes import each_dtype_by_name
from clusters import (
    FAR,
    NEAR,
    assert_agrees,
    assert_an_empty_component_counts_nothing,
    clusters,
)

from fastgmm import kernels, reference
from fastgmm.kernels import layouts, partition, pruning, workspace
from fastgmm.kernels.accumulation import Accumulator

# The problems are small, and these are tests of the drivers.
pytestmark = pytest.mark.usefixtures("on_drivers")


@pytest.fixture
def two_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Send every full model through the two steps, in short spans; tell how often."""
    calls: list[int] = []
    by_components = Accumulator._run_by_components

    def counted(*arguments):
        calls.append(1)
        return by_components(*arguments)

    monkeypatch.setattr(partition, "SHARED_BYTES", 0)
    monkeypatch.setattr(layouts, "MOST_UNROLLED_MOMENTS", 0)
    monkeypatch.setattr(Accumulator, "_run_by_components", counted)
    monkeypatch.setattr(partition, "RUN_BYTES", 2**17)
    monkeypatch.setattr(partition, "MOST_RUNS", 2)
    monkeypatch.setattr(partition, "EVEN_TILES", 1)
    return calls


@each_dtype_by_name
@pytest.mark.parametrize("apart", [4 * FAR, FAR, NEAR])
@pytest.mark.parametrize(
    ("n", "d", "K"), [(700, 17, 5), (500, 43, 20), (300, 130, 3), (1, 20, 2), (33, 24, 1)]
)
def test_two_steps_agree_with_the_reference(n, d, K, apart, dtype, two_steps):
    problem = clusters(n, d, K, apart, dtype)
    assert_agrees(problem, dtype)
    assert_agrees(problem, dtype, np.random.default_rng(0).random(n).astype(dtype))
    assert len(two_steps) == 2


def test_a_covariance_in_several_slabs_and_runs_of_tiles(two_steps, monkeypatch):
    monkeypatch.setattr(partition, "SLAB_FEATURES", 20)
    monkeypatch.setattr(partition, "FEWEST_PARTS", 64)
    monkeypatch.setattr(partition, "EVEN_TILES", 4)
    assert_agrees(clusters(900, 70, 3, FAR, "float64"), "float64")
    assert two_steps


@each_dtype_by_name
def test_bounds_are_above_the_log_density(dtype, monkeypatch):
    """And the pairs that they leave out are impossible."""
    monkeypatch.setattr(layouts, "MOST_UNROLLED_MOMENTS", 0)
    X, weights, means, factors, _ = clusters(400, 30, 12, 10 * FAR, dtype)
    model = layouts.prepare_model(weights, means, factors, "full", X.dtype)
    length = workspace.tile_length(model, X.dtype)
    tiles = workspace.allocate_tiles(model, length, X.dtype, 1, n_together=1)
    span = workspace.allocate_span(model, length, X.dtype, 1)
    scratch = workspace.LargeScratch(*(array[0] for array in tiles.scratch))
    tile = workspace.Tile(
        *(getattr(tiles, name)[0] for name in workspace.Tile._fields[:-1]),
        scratch._replace(rows=span.rows[0]),
    )._replace(components=span.components[0])
    chunk = tile.scratch.centred.shape[1]
    m = min(len(X), length) // chunk * chunk
    tile.scratch.rows[:m, :30] = X[:m]
    for c in range(m // chunk):
        tile.points[c] = X[c * chunk : (c + 1) * chunk].T
    exact = np.log(weights) + reference.log_gaussian_density(X[:m], means, factors, "full")
    bound(model, tile, m // chunk)
    tolerance = 1e-4 if dtype == "float32" else 1e-10
    assert np.all(exact - tolerance * np.abs(exact) <= tile.components[:, :m].T)
    evaluate_pruned(model, tile, m)
    found = tile.components[:, :m].T
    possible = np.isfinite(found)
    assert possible[:chunk].all()  # the sample
    assert possible[chunk:].mean() < 0.5
    scale = np.abs(exact).max()
    assert np.max(np.abs(found - exact)[possible]) <= tolerance * scale
    impossible = exact < exact.max(axis=1, keepdims=True) - pruning.IMPOSSIBLE
    assert np.all(impossible[~possible])


@numba.njit
def bound(model, tile, n_chunks):
    """Workers have no entry from Python when they are compiled."""
    pruning.bound_chunks(model, tile, 0, n_chunks)


@numba.njit
def evaluate_pruned(model, tile, m):
    pruning.pruned_log_density(model, tile, m)


def test_a_component_without_points_counts_nothing(two_steps):
    assert_an_empty_component_counts_nothing()


def test_bits_do_not_depend_on_the_number_of_threads(two_steps):
    problem = clusters(2000, 24, 9, FAR, "float64")
    most = numba.get_num_threads()
    results = []
    for n_threads in {1, most}:
        numba.set_num_threads(n_threads)
        try:
            results.append(kernels.expectation(*problem))
        finally:
            numba.set_num_threads(most)
    for other in results[1:]:
        assert other.log_likelihood == results[0].log_likelihood
        for field in ("counts", "first", "second"):
            assert np.array_equal(getattr(other, field), getattr(results[0], field))


@pytest.mark.parametrize(("n", "d", "K"), [(200_000, 64, 32), (10**6, 128, 16), (10**6, 20, 400)])
def test_a_span_has_work_for_64_threads(n, d, K):
    """Two tiles for each, and nearly two parts of covariances."""
    model, dtype = layouts.outline(K, d, "full", np.dtype(np.float64)), np.dtype(np.float64)
    assert partition.is_large(model)
    length = workspace.tile_length(model, dtype)
    parts = partition.parts_of_large_model(model, length, dtype, -(-n // length))
    assert parts.n_tiles >= 128
    assert parts.n_tiles % 64 == 0
    assert parts.n_runs * parts.n_slabs * -(-K // parts.n_together) >= 1.75 * 64
    assert parts.n_tiles * workspace.bytes_of_tile_in_span(model, length, dtype) <= 2**26


def test_the_last_span_may_have_fewer_tiles_than_runs(monkeypatch):
    monkeypatch.setattr(partition, "SHARED_BYTES", 0)
    monkeypatch.setattr(layouts, "MOST_UNROLLED_MOMENTS", 0)
    monkeypatch.setattr(partition, "MOST_RUNS", 4)
    monkeypatch.setattr(partition, "EVEN_TILES", 4)
    problem = clusters(5 * 1024 + 30, 20, 3, NEAR, "float64")
    model = layouts.outline(3, 20, "full", np.dtype(np.float64))
    length = workspace.tile_length(model, np.dtype(np.float64))
    in_tile = workspace.bytes_of_tile_in_span(model, length, np.dtype(np.float64))
    monkeypatch.setattr(partition, "RUN_BYTES", in_tile)
    n_tiles = -(-len(problem[0]) // length)
    parts = partition.parts_of_large_model(model, length, np.dtype(np.float64), n_tiles)
    assert 0 < n_tiles % parts.n_tiles < parts.n_runs
    assert_agrees(problem, "float64")


@pytest.mark.parametrize(
    ("covariance_type", "d", "K"),
    [("full", 8, 8), ("full", 16, 64), ("full", 16, 100), ("diag", 64, 100)],
)
def test_a_million_points_are_blocks_for_64_threads(covariance_type, d, K):
    dtype = np.dtype(np.float64)
    model = layouts.outline(K, d, covariance_type, dtype)
    n_tiles = -(-(10**6) // workspace.tile_length(model, dtype))
    n_blocks = min(n_tiles, partition.most_blocks(model, n_tiles))
    assert n_blocks >= 1.75 * 64
    assert n_blocks * partition.bytes_per_block(model) <= 2**26
