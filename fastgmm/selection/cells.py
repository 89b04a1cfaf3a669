"""Fits of one number of components and one covariance type after the other, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from sklearn import config_context
from sklearn.model_selection import KFold

from fastgmm._records import FloatArray
from fastgmm.data.missing import source_of
from fastgmm.em.clusters import Clusters
from fastgmm.em.initialization import labels_of_kmeans
from fastgmm.em.progress import Watcher
from fastgmm.em.results import EMResult, Iteration
from fastgmm.mixture import GaussianMixture
from fastgmm.model.families import family_of
from fastgmm.selection.stability import stabilities
from fastgmm.selection.workers import Workers
from fastgmm.system.lazy import lazy

FOLDS = 5
# Up to so many rows, the covariance types share the clusters that they start from, and cells come
# one after another: what is done in Python would have to wait for other threads.
MOST_ROWS_SHARED = 20_000
# Options of those who ask for a start of their own.
OF_STARTS = {"init_params", "init_whiten", "init_size"}
# So many find the longest axis well enough to cut a component across.
POWER_ITERATIONS = 16
# The iteration from which on a start may be given up.
FIRST_JUDGED = 3
# Called before each fit, with what it is of.
Tell = Callable[[str], object]


class Row(NamedTuple):
    """What is known of a cell."""

    covariance_type: str
    n_components: int
    value: float = np.nan
    log_likelihood: float = np.nan
    n_parameters: int = 0
    n_iter: int = 0
    converged: bool = False
    n_degenerate: int = 0
    seconds: float = 0.0
    failure: str = ""


class Tried(NamedTuple):
    """The rows of all cells, and how the model of each is had."""

    rows: list[Row]
    model: Callable[[int], Any]


class Hopeless(Watcher):
    """Gives a start up that does not come near the best one before it.

    If in all the iterations that it has left it rose as in its last, it would not get there.
    """

    def __init__(self, max_iter: int) -> None:
        self._max_iter, self._best = max_iter, -np.inf

    def iteration_ends(self, iteration: Iteration) -> bool:
        """Tell whether the run is hopeless; the first rises are no measure of those to come."""
        n_iter, lower_bound, change, _ = iteration
        left = self._max_iter - n_iter
        return n_iter >= FIRST_JUDGED and lower_bound + left * abs(change) < self._best

    def run_ends(self, result: EMResult) -> bool:
        """Remember the best."""
        self._best = max(self._best, result.lower_bound)
        return False


class Fits:
    """Fits to one set of rows, whose clusters are found once for all covariance types."""

    # Wide: everything that a fit needs.
    def __init__(
        self,
        X: FloatArray,
        sample_weight: FloatArray | None,
        n_init: int,
        seed: int,
        options: dict[str, Any],
        workers: Workers | None = None,
    ) -> None:
        self.X, self.sample_weight, self.n_init, self.options = X, sample_weight, n_init, options
        self.seed = seed
        self.workers = Workers(options.get("n_jobs"), 1) if workers is None else workers
        self._found: dict[int, list[Clusters]] = {}

    def of(self, rows: np.ndarray) -> Fits:
        """Return the same for some of the rows."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return Fits(self.X[rows], weight, self.n_init, self.seed, self.options, self.workers)

    def in_turn(self) -> Fits:
        """Return the same with all the threads for each fit."""
        if self.workers.number == 1:
            return self
        return Fits(self.X, self.sample_weight, self.n_init, self.seed, self.options)

    def labels_of_each(self, K: int, kind: str) -> list[tuple[GaussianMixture, np.ndarray]]:
        """Fit from each start by itself; return models and the labels that they give the rows."""
        if not self.shares_starts:
            return self.workers.map(partial(self._labelled, K, kind, [None]), self._seeds(K))
        starts = self._starts(K)
        found = {
            start: self._labelled(K, kind, [start], self.seed) for start in dict.fromkeys(starts)
        }
        return [found[start] for start in starts]

    def best(self, K: int, kind: str, smaller: GaussianMixture | None = None) -> GaussianMixture:
        """Return the fit of the highest likelihood, also from a smaller model that is split."""
        starts: list[Clusters | None] = []
        if smaller is not None and len(smaller.weights_) == K - 1:
            starts.append(Clusters(split(smaller, self._whole), K))
        if self.shares_starts:
            starts = list(dict.fromkeys([*starts, *self._starts(K)]))
        else:
            starts += [None] * self.n_init
        return self._fit(K, kind, starts)

    @lazy
    def _whole(self) -> FloatArray:
        """The rows, with something in place of missing values."""
        return source_of(self.X, self.sample_weight).X

    @property
    def shares_starts(self) -> bool:
        """Whether all covariance types start from the same clusters."""
        return len(self.X) <= MOST_ROWS_SHARED and not OF_STARTS & self.options.keys()

    def _seeds(self, K: int) -> list[int]:
        self._check(K)
        random = np.random.default_rng([self.seed, K])
        return [int(seed) for seed in random.integers(2**31, size=self.n_init)]

    def _check(self, K: int) -> None:
        if len(self.X) < K:
            raise ValueError(f"{K} components need as many rows, and there are {len(self.X)}.")

    def _labelled(
        self, K: int, kind: str, starts: list[Clusters | None], seed: int
    ) -> tuple[GaussianMixture, np.ndarray]:
        model = self._fit(K, kind, starts, seed)
        return model, model.predict(self.X).astype(np.int32)

    def _fit(
        self, K: int, kind: str, starts: list[Clusters | None], seed: int | None = None
    ) -> GaussianMixture:
        """Fit from each of some starts, of which the best is kept."""
        self._check(K)
        own = {"n_init": self.n_init, **self.options, "n_jobs": self.workers.n_jobs}
        seed = self.seed if seed is None else seed
        model = GaussianMixture(K, covariance_type=kind, random_state=seed, **own)
        watchers = [Hopeless(model.max_iter), *self.workers.watchers]
        model._fit(self.X, None, self.sample_weight, watchers, starts)
        return model

    def _starts(self, K: int) -> list[Clusters]:
        """Clusters of k-means, each time anew."""
        if K not in self._found:
            self._check(K)
            random = np.random.RandomState(self.seed)  # as scikit-learn goes on from start to start
            n_different = self.n_init if K > 1 else 1
            with config_context(assume_finite=True, skip_parameter_validation=True):
                found = [
                    Clusters(labels_of_kmeans(self._whole, K, random, self.sample_weight), K)
                    for _ in range(n_different)
                ]
            self._found[K] = found * (self.n_init // n_different)
        return self._found[K]


def split(model: GaussianMixture, X: FloatArray) -> np.ndarray:
    """Labels of a model's components, of which the widest is cut in two across its longest axis."""
    labels, K = model.predict(X), len(model.weights_)
    scale = np.abs(X).max() or 1.0
    rows, means = X.astype(np.float64) / scale, model.means_ / scale
    squares = np.bincount(labels, np.sum((rows - means[labels]) ** 2, axis=1), minlength=K)
    widest = labels == int(squares.argmax())
    centred = rows[widest] - rows[widest].mean(axis=0)
    labels[np.flatnonzero(widest)[centred @ _longest_axis(centred) > 0]] = K
    return np.asarray(labels)


def _longest_axis(centred: FloatArray) -> FloatArray:
    """Nearly the axis along which rows extend most, by power iteration from the farthest one."""
    axis = centred[np.sum(centred**2, axis=1).argmax()]
    for _ in range(POWER_ITERATIONS):
        length = np.sqrt(axis @ axis)
        if length == 0:
            break
        axis = (centred @ (axis / length)) @ centred
    return axis


def by_information(
    fits: Fits,
    sizes: Sequence[int],
    types: Sequence[str],
    judge: Callable[[GaussianMixture], float],
    tell: Tell,
) -> Tried:
    """Judge each cell by a criterion of its model."""

    def cells_of(kind: str) -> list[tuple[Row, GaussianMixture | None]]:
        """Of one covariance type, each after the next smaller one."""
        found = []
        model: GaussianMixture | None = None
        for K in sizes:
            tell(f"{kind}, K = {K}")
            began = perf_counter()
            try:
                model = fits.best(K, kind, model)
                row = _row([model], kind, K, judge(model), began)
            except ValueError as error:
                model, row = None, _failed(kind, K, error, began)
            found.append((row, model))
        return found

    cells = [cell for found in fits.workers.map(cells_of, types) for cell in found]
    return Tried([row for row, _ in cells], lambda index: cells[index][1])


def by_held_out(fits: Fits, sizes: Sequence[int], types: Sequence[str], tell: Tell) -> Tried:
    """Judge each cell by the mean log-likelihood of the rows that each fold leaves out."""
    X, weights = fits.X, fits.sample_weight
    splits = KFold(min(FOLDS, len(X)), shuffle=True, random_state=fits.seed).split(X)
    folds = [(fits.of(kept), left) for kept, left in splits]

    def judged(cell: tuple[str, int]) -> Row:
        kind, K = cell
        tell(f"{kind}, K = {K}")
        began, densities = perf_counter(), np.empty(len(X))
        try:
            models = [part.best(K, kind) for part, _ in folds]
            for model, (_, left) in zip(models, folds, strict=True):
                densities[left] = model.score_samples(X[left])
            return _row(models, kind, K, float(np.average(densities, weights=weights)), began)
        except ValueError as error:
            return _failed(kind, K, error, began)

    cells = [(kind, K) for kind in types for K in sizes]
    rows = fits.workers.map(judged, cells)
    return Tried(rows, lambda index: fits.in_turn().best(cells[index][1], cells[index][0]))


def by_stability(fits: Fits, sizes: Sequence[int], types: Sequence[str], tell: Tell) -> Tried:
    """Judge each cell by the agreement of its fits with those of the neighbouring numbers.

    One number more at both ends is fitted, so that all have two neighbours.
    """
    around = [K for K in (sizes[0] - 1, *sizes, sizes[-1] + 1) if K > 0]
    rows: list[Row] = []
    models: list[GaussianMixture | None] = []
    for kind in types:
        labels: list[list[np.ndarray]] = []
        found: dict[int, Row] = {}
        for K in around:
            tell(f"{kind}, K = {K}")
            began = perf_counter()
            try:
                each, given = zip(*fits.labels_of_each(K, kind), strict=True)
                labels.append(list(given))
                found[K] = _row(each, kind, K, np.nan, began)
            except ValueError as error:
                each = ()
                labels.append([])
                found[K] = _failed(kind, K, error, began)
            if K in sizes:
                models.append(max(each, key=lambda m: m.lower_bound_) if each else None)
        values = dict(zip(around, stabilities(labels), strict=True))
        rows += [found[K]._replace(value=values[K]) for K in sizes]
    return Tried(rows, lambda index: models[index])


def _row(models: Sequence[GaussianMixture], kind: str, K: int, value: float, began: float) -> Row:
    best = max(models, key=lambda model: model.lower_bound_)
    K, d = best.means_.shape
    return Row(
        kind, K, value, float(best.log_likelihood_),
        family_of(kind).n_parameters(K, d, best.rank), max(m.n_iter_ for m in models),
        all(m.converged_ for m in models), len(best.degenerate_components_),
        perf_counter() - began,
    )  # fmt: skip


def _failed(kind: str, K: int, error: Exception, began: float) -> Row:
    return Row(kind, K, seconds=perf_counter() - began, failure=str(error))
