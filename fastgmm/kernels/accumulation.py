"""Run the blocks of a pass that accumulates, and add up what they leave behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from fastgmm._records import CovarianceType, FloatArray, Statistics
from fastgmm.kernels import drivers, large_models
from fastgmm.kernels.codegen.triangles import triangle_order
from fastgmm.kernels.codegen.vectors import LARGEST_SQUARE
from fastgmm.kernels.common_centre import MomentsAboutCentre, centre_of
from fastgmm.kernels.drivers import ExpectationTask, Points
from fastgmm.kernels.large_models import SlabTask, SpanTask
from fastgmm.kernels.layouts import (
    MOST_DEVIATIONS_APART,
    FullModel,
    Model,
    SmallFullModel,
    TiedModel,
    moments_model,
)
from fastgmm.kernels.one_component import likelihood_is_in_moments, log_likelihood_of_moments
from fastgmm.kernels.partition import (
    DIFFERENCES_AT_ONCE,
    goes_by_components,
    most_blocks,
    parts_of_large_model,
)
from fastgmm.kernels.strided import as_strided
from fastgmm.kernels.total_scatter import (
    TotalScatter,
    cancels,
    expected_to_cancel,
    second_moments,
)
from fastgmm.kernels.workspace import (
    Moments,
    Span,
    Wanted,
    allocate_moments,
    allocate_span,
    allocate_tiles,
    tile_length,
)
from fastgmm.system.lazy import lazy
from fastgmm.system.threads import max_threads

Passes = Literal["one", "many"]

# Up to so many components of a tied model, a single pass does without the scatter of all the
# points, which would take more time than theirs.
MOST_IN_ONE_PASS = 32
# Columns of a covariance that are mirrored at a time.
STRIP = 64
# Up to how many features the places of a symmetric matrix are remembered.
FEW_FEATURES = 128


def as_points(X: FloatArray) -> FloatArray:
    """Return an array of points in a dtype that the kernels know."""
    X = np.asarray(X)
    if X.ndim != 2:
        raise ValueError(f"Expected a two-dimensional array, got {X.ndim} dimension(s).")
    if X.dtype not in (np.float32, np.float64) or not X.dtype.isnative:
        X = X.astype(np.float64)
    return X


class Accumulator:
    """Points and weights, an empty array for none, as the drivers take them; reuses workspaces.

    Where `n_passes` are many, it takes the scatter of all the points once, for tied models.
    """

    def __init__(self, X: FloatArray, sample_weight: FloatArray, n_passes: Passes = "many"):
        self.X, self.sample_weight, self.n_passes = X, sample_weight, n_passes
        self._rows = as_strided(X)
        self._nothing = as_strided(np.empty((0, 0), X.dtype))
        self._values: dict[str, tuple[object, Any]] = {}
        self._cancelled = False  # whether moments about one centre ever did

    def statistics(
        self,
        model: Model,
        covariance_type: CovarianceType,
        responsibilities: FloatArray | None = None,
    ) -> Statistics:
        """Moments of the points under the model, or under given responsibilities (n, K).

        Partial statistics are added in the order of their blocks.
        """
        if responsibilities is None and likelihood_is_in_moments(model, len(self.X)):
            return self._of_one_component(model)
        if responsibilities is None and isinstance(model, TiedModel):
            by_total = self._by_total(model)
            if by_total is not None:
                return by_total
        statistics = _statistics(self._run(model, responsibilities), model, covariance_type)
        if (
            isinstance(model, TiedModel)
            and responsibilities is not None
            and _are_far_apart(model, statistics)
        ):
            model = moments_model(model.means, "tied", self.X.dtype, far_apart=True)
            statistics = _statistics(self._run(model, responsibilities), model, "tied")
        return statistics

    def log_likelihood(self, model: Model) -> float:
        """Log-likelihood of the points under the model, without moments unless these tell it.

        The same machine code runs, so that a fit need not have another compiled.
        """
        if likelihood_is_in_moments(model, len(self.X)):
            return self._of_one_component(model).log_likelihood
        return self._log_likelihood_by_densities(model)

    def _log_likelihood_by_densities(self, model: Model) -> float:
        return _finite(self._run(model, None, "likelihood").log_likelihood.sum())

    def _by_total(self, model: TiedModel) -> Statistics | None:
        """Statistics from the scatter of all the points and first moments, unless they cancel."""
        does_not_pay = self.n_passes == "one" and len(model.means) <= MOST_IN_ONE_PASS
        if does_not_pay or not len(self.X) or expected_to_cancel(self._total, model):
            return None
        log_likelihood, counts, first, *_ = map(_sum_of_blocks, self._run(model, None, "first"))
        reference = model.means.astype(np.float64)
        first = _about_means(model, first, counts)
        second = second_moments(self._total, reference, counts, first)
        if cancels(self._total, second, self.X.itemsize):
            return None
        return Statistics(_finite(log_likelihood[0]), counts, first, second, reference, "tied")

    @lazy
    def _total(self) -> TotalScatter:
        """Scatter of the points, about a mean that a first pass finds."""
        points = Accumulator(self.X, self.sample_weight, "one")  # whose workspaces are forgotten
        shares = points._shares_of_one()
        about = moments_model(self.X[:1], "tied", self.X.dtype)
        _, counts, first, *_ = map(_sum_of_blocks, points._run(about, shares, "first"))
        d = self.X.shape[1]
        with np.errstate(all="ignore"):  # there may be no weight at all, or squares overflow
            mean = about.means + first[:1, :d] / counts[:, None]
            about = moments_model(mean, "tied", self.X.dtype)
            moments = _statistics(points._run(about, shares), about, "tied")
        return TotalScatter(float(moments.counts[0]), moments.reference[0], moments.second)

    def _shares_of_one(self) -> FloatArray:
        """Responsibilities (n, 1) of a single component: the weights."""
        one = np.ones((1, 1), self.X.dtype)
        shares = self.sample_weight[:, None] if len(self.sample_weight) else one
        return np.broadcast_to(shares, (len(self.X), 1))

    def _of_one_component(self, model: FullModel | SmallFullModel) -> Statistics:
        """Moments whose responsibilities are the weights, and the log-likelihood from these."""
        # Without constants no share is so small that it vanishes.
        about = model._replace(log_constants=model.log_constants[:0])
        moments = self._run(about, self._shares_of_one())
        statistics = _statistics(moments, model, "full")
        log_likelihood = log_likelihood_of_moments(statistics, model)
        if log_likelihood is None:
            log_likelihood = self._log_likelihood_by_densities(model)
        return replace(statistics, log_likelihood=log_likelihood)

    def _run(self, model: Model, given: FloatArray | None, wanted: Wanted = "all") -> Moments:
        """Partial statistics of runs of tiles; overwritten by the next call."""
        if len(self.X) == 0:
            return allocate_moments(model, 1)
        length, n_tiles, n_blocks = self._kept("sizes", model, lambda: self._sizes(model))
        responsibilities = self._nothing if given is None else as_strided(given)
        points = Points(self._rows, responsibilities, self.sample_weight, len(self.X), length)
        if n_blocks is None:
            assert isinstance(model, FullModel)
            return self._run_by_components(model, points, n_tiles, wanted)
        n_threads = min(n_blocks, max_threads())
        tiles = self._kept(
            "tiles", model, lambda: allocate_tiles(model, length, self.X.dtype, n_threads)
        )
        moments = self._cleared_moments(model, n_blocks, wanted)
        drivers.expectation_blocks(n_blocks, ExpectationTask(points, model, tiles, moments))
        return moments

    def _sizes(self, model: Model) -> tuple[int, int, int | None]:
        """Length of a tile, number of tiles, and number of blocks, none for a large model."""
        length = tile_length(model, self.X.dtype)
        n_tiles = -(-len(self.X) // length)
        if goes_by_components(model, n_tiles, self.X.itemsize):
            return length, n_tiles, None
        return length, n_tiles, min(n_tiles, most_blocks(model, n_tiles))

    def _run_by_components(
        self, model: FullModel, points: Points, n_tiles: int, wanted: Wanted
    ) -> Moments:
        """Run through spans of tiles, and in each first through the tiles, then the components."""
        length, dtype = points.length, self.X.dtype
        parts = parts_of_large_model(model, length, dtype, n_tiles)
        n_parts = parts.n_runs * parts.n_slabs * -(-len(model.means) // parts.n_together)
        tiles, span = self._kept(
            "tiles",
            model,
            lambda: (
                allocate_tiles(model, length, dtype, max_threads(), parts.n_together),
                allocate_span(model, length, dtype, parts.n_tiles),
            ),
        )
        moments, about_centre, log_likelihood = None, None, 0.0
        for first_tile in range(0, n_tiles, len(span.rows)):
            n_present = min(len(span.rows), n_tiles - first_tile)
            large_models.responsibilities_of_tiles(
                n_present, SpanTask(points, first_tile, model, tiles, span)
            )
            log_likelihood += span.log_likelihood[:n_present].sum()
            if first_tile == 0 and wanted == "all" and not self._cancelled:
                about_centre = self._about_centre(model, points, n_tiles, n_present, span)
            if about_centre is not None:
                about_centre.add(points, first_tile, n_present, span)
                continue
            moments = moments or self._cleared_moments(model, parts.n_runs, wanted)
            if wanted != "likelihood":
                slabs = SlabTask(
                    points, first_tile, n_present, parts.n_slabs, model, tiles, span, moments
                )
                large_models.moments_of_slabs(n_parts, slabs)
        if about_centre is not None:
            moments = about_centre.about_means(model.means)
        if moments is None:
            self._cancelled = True
            return self._run_by_components(model, points, n_tiles, wanted)
        moments.log_likelihood[0] += log_likelihood
        return moments

    def _about_centre(
        self, model: FullModel, points: Points, n_tiles: int, n_present: int, span: Span
    ) -> MomentsAboutCentre | None:
        """Where to add up moments about one centre, if the first tiles say that this pays."""
        centre = centre_of(model, points, span, n_present)
        if centre is None:
            return None
        about_centre: MomentsAboutCentre = self._kept(
            "moments", model, lambda: MomentsAboutCentre(model, n_tiles, max_threads()), "centre"
        )
        about_centre.clear(centre)
        return about_centre

    def _cleared_moments(self, model: Model, n_blocks: int, wanted: Wanted) -> Moments:
        if wanted == "likelihood":
            return allocate_moments(model, n_blocks, wanted)
        moments: Moments = self._kept(
            "moments", model, lambda: allocate_moments(model, n_blocks, wanted), wanted
        )
        for array in moments:
            array[...] = 0
        return moments

    def _kept(
        self, name: str, model: Model, make: Callable[[], Any], variant: object = None
    ) -> Any:
        """What was made for a model of this kind and shape, or is made now."""
        key = type(model), model.means.shape, variant
        if name not in self._values or self._values[name][0] != key:
            self._values.pop(name, None)  # before its successor is there
            self._values[name] = key, make()
        return self._values[name][1]


def _are_far_apart(model: TiedModel, statistics: Statistics) -> bool:
    """Whether the means lie more standard deviations from the origin than the kernel can bear."""
    farthest = np.max(np.abs(statistics.reference - model.origin), axis=0)
    with np.errstate(invalid="ignore"):
        deviations = np.sqrt(np.diagonal(statistics.second) / statistics.counts.sum())
        return not np.all(farthest <= MOST_DEVIATIONS_APART[model.means.itemsize] * deviations)


def _finite(log_likelihood: float) -> float:
    """The number, or the lowest that there is where the sum of such numbers overflows."""
    return max(float(log_likelihood), -LARGEST_SQUARE)


def _sum_of_blocks(array: FloatArray) -> FloatArray:
    return np.asarray(array.sum(axis=0) if len(array) > 1 else array[0].copy())


def _statistics(moments: Moments, model: Model, covariance_type: CovarianceType) -> Statistics:
    log_likelihood, counts, first, second, pairs = map(_sum_of_blocks, moments)
    K, d = model.means.shape
    first = _about_means(model, first, counts) if isinstance(model, TiedModel) else first[:, :d]
    if isinstance(model, SmallFullModel):
        second = second[:, _indices_in_triangle(d)]
    elif second.ndim == 2 and covariance_type == "full":  # whole matrices, about one centre
        second = second.reshape(K, d, d)
    elif covariance_type in ("full", "tied"):
        second = _symmetric(second, d)
    if isinstance(model, TiedModel):
        # `tied_moments` has the second ones in two or three parts.
        means = model.padded_means[:, :d].astype(np.float64)
        if len(second) == 1:
            second = second[0] + _between(means, np.triu(pairs[:K, :K], 1))
        else:
            second = second[0] - second[1] + _between(means, pairs)
    elif covariance_type == "tied":
        second = second.sum(axis=0)
    elif covariance_type == "spherical":
        second = second[:, 0]
    reference = model.means.astype(np.float64)
    return Statistics(_finite(log_likelihood[0]), counts, first, second, reference, covariance_type)


def _about_means(model: TiedModel, first: FloatArray, counts: FloatArray) -> FloatArray:
    """First moments (K, d) about the means, from those that `tied_moments` has about the origin."""
    K, d = model.means.shape
    means = model.padded_means[:, :d].astype(np.float64)
    return np.asarray(first[:K, :d] - counts[:, None] * means)


def _between(means: FloatArray, pairs: FloatArray) -> FloatArray:
    """Σ pairs[a, k] (μₐ - μₖ)(μₐ - μₖ)ᵀ over a and k, a few components a at a time."""
    K, d = means.shape
    total, step = np.zeros((d, d)), max(1, DIFFERENCES_AT_ONCE // (K * d))
    if not pairs.any():  # as where components lie far apart
        return total
    for start in range(0, K, step):
        some = slice(start, start + step)
        apart = means[some, None] - means
        total += np.einsum("akd,akc->dc", apart * pairs[some, :, None], apart, optimize=True)
    return total


@lru_cache
def _indices_in_triangle(d: int) -> np.ndarray:
    """Index of each element of a symmetric matrix in the unrolled sums of its triangle."""
    rows, columns = np.transpose(triangle_order(d))
    indices = np.empty((d, d), np.intp)
    indices[rows, columns] = indices[columns, rows] = np.arange(len(rows))
    return indices


@lru_cache
def _places_in_upper(d: int, width: int) -> np.ndarray:
    """Place of each element of a symmetric matrix (d, d) in its upper triangle, in wider rows."""
    rows, columns = np.indices((d, d))
    return np.minimum(rows, columns) * width + np.maximum(rows, columns)


def _symmetric(upper: FloatArray, d: int) -> FloatArray:
    """Symmetric matrices (K, d, d) from their upper triangles, which may be wider.

    Large ones are made by strips that fit in a cache.
    """
    if d <= FEW_FEATURES and upper.flags.c_contiguous:
        places = _places_in_upper(d, upper.shape[2])
        return upper.reshape(len(upper), -1).take(places, axis=1)
    matrices = np.ascontiguousarray(upper[:, :d, :d])
    for start in range(0, matrices.shape[1], STRIP):
        rows = matrices[:, start : start + STRIP, start:]
        square, rest = rows[:, :, :STRIP], rows[:, :, STRIP:]
        in_upper = np.tri(square.shape[1], dtype=bool).T
        square[...] = np.where(in_upper, square, square.swapaxes(1, 2))
        matrices[:, start + STRIP :, start : start + STRIP] = rest.swapaxes(1, 2)
    return matrices
