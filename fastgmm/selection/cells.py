"""Fits of one number of components and one covariance type after the other, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from sklearn.cluster import KMeans
from sklearn.model_selection import KFold

from fastgmm._records import FloatArray
from fastgmm.mixture import GaussianMixture
from fastgmm.model.families import family_of
from fastgmm.selection.stability import stabilities

FOLDS = 5
# Up to so many rows, the covariance types share the clusters that they start from.
MOST_ROWS_SHARED = 20_000
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


class Fits:
    """Fits to one set of rows, whose clusters are found once for all covariance types."""

    def __init__(
        self,
        X: FloatArray,
        sample_weight: FloatArray | None,
        n_init: int,
        seed: int,
        options: dict[str, Any],
    ) -> None:
        self.X, self.sample_weight, self.n_init, self.options = X, sample_weight, n_init, options
        self.seed = seed
        self._labels: dict[int, list[np.ndarray]] = {}

    def each(self, K: int, kind: str) -> list[GaussianMixture]:
        """Fit from each start by itself."""
        if not self.shares_starts:
            return [self._fit(K, kind, {"random_state": seed}) for seed in self._seeds(K)]
        return [self._fit(K, kind, {"init_params": labels}) for labels in self._clusters(K)]

    def best(self, K: int, kind: str, smaller: GaussianMixture | None = None) -> GaussianMixture:
        """Return the fit of the highest likelihood, also from a smaller model that is split."""
        cut = smaller is not None and len(smaller.weights_) == K - 1
        if self.shares_starts:
            starts = distinct(self._clusters(K))
            if smaller is not None and cut:
                starts = distinct([*starts, split(smaller, self.X)])
            return self._fit_from(starts, K, kind)
        own = {"random_state": self._seeds(K)[0], "n_init": self.n_init}
        models = [self._fit(K, kind, own)]
        if smaller is not None and cut:
            models.append(self._fit(K, kind, {"init_params": split(smaller, self.X)}))
        return max(models, key=lambda model: model.lower_bound_)

    @property
    def shares_starts(self) -> bool:
        """Whether all covariance types start from the same clusters."""
        return len(self.X) <= MOST_ROWS_SHARED and "init_params" not in self.options

    def _seeds(self, K: int) -> list[int]:
        self._check(K)
        random = np.random.default_rng([self.seed, K])
        return [int(seed) for seed in random.integers(2**31, size=self.n_init)]

    def _check(self, K: int) -> None:
        if len(self.X) < K:
            raise ValueError(f"{K} components need as many rows, and there are {len(self.X)}.")

    def _fit(self, K: int, kind: str, own: dict[str, Any]) -> GaussianMixture:
        model = GaussianMixture(K, covariance_type=kind, **{**self.options, **own})
        return model.fit(self.X, sample_weight=self.sample_weight)

    def _fit_from(self, starts: list[np.ndarray], K: int, kind: str) -> GaussianMixture:
        """Fit once from several labellings; the data are looked at once."""
        following = iter(starts)
        own = {"init_params": lambda *_: next(following), "init_size": None}
        model = self._fit(K, kind, {**own, "n_init": len(starts)})
        default = GaussianMixture(**self.options)  # for whoever fits the model again
        return model.set_params(
            n_init=self.n_init,
            init_params=default.init_params,
            init_size=default.init_size,
            random_state=self.seed,
        )

    def _clusters(self, K: int) -> list[np.ndarray]:
        if K not in self._labels:
            self._check(K)
            random = np.random.RandomState(self.seed)  # as scikit-learn goes on from start to start
            kmeans = KMeans(K, n_init=1, random_state=random)
            self._labels[K] = [
                kmeans.fit(self.X, None, self.sample_weight).labels_ for _ in range(self.n_init)
            ]
        return self._labels[K]


def distinct(labellings: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Leave out those that differ from an earlier one in the numbers of their clusters alone."""
    seen: dict[bytes, np.ndarray] = {}
    for labels in labellings:
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        ranks = np.empty(len(first), np.int32)
        ranks[np.argsort(first)] = np.arange(len(first))
        seen.setdefault(ranks[inverse].tobytes(), labels)
    return list(seen.values())


def split(model: GaussianMixture, X: FloatArray) -> np.ndarray:
    """Labels of a model's components, of which the widest is cut in two across its longest axis."""
    labels, K = model.predict(X), len(model.weights_)
    squares = np.bincount(labels, np.sum((X - model.means_[labels]) ** 2, axis=1), minlength=K)
    widest = labels == int(squares.argmax())
    centred = X[widest] - X[widest].mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    labels[np.flatnonzero(widest)[centred @ axes[:, -1] > 0]] = K
    return np.asarray(labels)


def by_information(
    fits: Fits, sizes: Sequence[int], types: Sequence[str], criterion: str, tell: Tell
) -> Tried:
    """Judge each cell by a method of its model: ``'bic'``, ``'aic'`` or ``'icl'``."""
    rows, models = [], []
    for kind in types:
        smaller: GaussianMixture | None = None
        for K in sizes:
            tell(f"{kind}, K = {K}")
            began = perf_counter()
            try:
                model = fits.best(K, kind, smaller)
                value = getattr(model, criterion)(fits.X, fits.sample_weight)
                rows.append(_row([model], kind, K, float(value), began))
            except ValueError as error:
                rows.append(_failed(kind, K, error, began))
                model = None
            models.append(model)
            smaller = model
    return Tried(rows, lambda index: models[index])


def by_held_out(fits: Fits, sizes: Sequence[int], types: Sequence[str], tell: Tell) -> Tried:
    """Judge each cell by the mean log-likelihood of the rows that each fold leaves out."""
    X, weight = fits.X, fits.sample_weight
    folds = []
    for kept, left in KFold(min(FOLDS, len(X)), shuffle=True, random_state=fits.seed).split(X):
        some = None if weight is None else weight[kept]
        folds.append((Fits(X[kept], some, fits.n_init, fits.seed, fits.options), left))
    rows, cells = [], [(kind, K) for kind in types for K in sizes]
    for kind, K in cells:
        tell(f"{kind}, K = {K}")
        began = perf_counter()
        try:
            models = [part.best(K, kind) for part, _ in folds]
            densities, weights = np.empty(len(X)), np.ones(len(X)) if weight is None else weight
            for model, (_, left) in zip(models, folds, strict=True):
                densities[left] = model.score_samples(X[left])
            value = float(np.average(densities, weights=weights))
            rows.append(_row(models, kind, K, value, began))
        except ValueError as error:
            rows.append(_failed(kind, K, error, began))
    return Tried(rows, lambda index: fits.best(cells[index][1], cells[index][0]))


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
                each = fits.each(K, kind)
                labels.append([model.predict(fits.X).astype(np.int32) for model in each])
                found[K] = _row(each, kind, K, np.nan, began)
            except ValueError as error:
                each = []
                labels.append([])
                found[K] = _failed(kind, K, error, began)
            if K in sizes:
                models.append(max(each, key=lambda m: m.lower_bound_) if each else None)
        values = dict(zip(around, stabilities(labels), strict=True))
        rows += [found[K]._replace(value=values[K]) for K in sizes]
    return Tried(rows, lambda index: models[index])


def _row(models: Sequence[GaussianMixture], kind: str, K: int, value: float, began: float) -> Row:
    best = max(models, key=lambda model: model.lower_bound_)
    return Row(
        kind, K, value, float(best.log_likelihood_),
        family_of(kind).n_parameters(*best.means_.shape), max(m.n_iter_ for m in models),
        all(m.converged_ for m in models), len(best.degenerate_components_),
        perf_counter() - began,
    )  # fmt: skip


def _failed(kind: str, K: int, error: Exception, began: float) -> Row:
    return Row(kind, K, seconds=perf_counter() - began, failure=str(error))
