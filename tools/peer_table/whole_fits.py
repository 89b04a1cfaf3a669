"""Whole default fits, seeding included, of fastgmm and scikit-learn on real data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from sklearn.datasets import load_digits, load_iris, load_sample_images
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.mixture import GaussianMixture as PeerMixture

from fastgmm import GaussianMixture
from fastgmm.benchmarking.problems import Problem, draw
from fastgmm.benchmarking.timing import fitted, timed
from fastgmm.photographs import load_photograph


@dataclass(frozen=True, slots=True)
class Task:
    """Data, and the mixtures to fit to them one after the other.

    Attributes
    ----------
    name : str
    load : callable
        Returns the data; of a smaller size if told so.
    components : tuple of int
    max_iter : int
    repeats : int
        Fits of each in a round, for tasks too short to time once.
    seeds : tuple of int
        Starts of each mixture, more than one where they end in optima that differ.
    """

    name: str
    load: Callable[[bool], np.ndarray]
    components: tuple[int, ...]
    max_iter: int = 100
    repeats: int = 1
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Seconds of both libraries, and what their fits are worth.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of the data.
    seconds, peer_seconds : float
        Of all the task's fits, medians over the rounds.
    ratio : float
        scikit-learn's seconds to fastgmm's, median over the rounds.
    log_likelihood, peer_log_likelihood : float
        Per point, mean over the task's fits.
    loss : float
        Shortfall of fastgmm's log-likelihood, as a share of scikit-learn's; negative where it is
        better.
    """

    name: str
    shape: tuple[int, ...]
    seconds: float
    peer_seconds: float
    ratio: float
    log_likelihood: float
    peer_log_likelihood: float
    loss: float


@dataclass(frozen=True, slots=True)
class SeedingResult:
    """A default fit of many points by fastgmm alone.

    Attributes
    ----------
    shape : tuple of int
    components : int
    seconds : float
        Median over the rounds.
    n_iter : int
    seeding_share : float
        Of the time, spent on validation and on finding the start; median over the rounds.
    """

    shape: tuple[int, ...]
    components: int
    seconds: float
    n_iter: int
    seeding_share: float


def load_pixels(quick: bool) -> np.ndarray:
    """Colours of the demo's photograph."""
    return load_photograph(8 if quick else 1).reshape(-1, 3)


def load_patches(quick: bool) -> np.ndarray:
    """8 × 8 patches of both photographs in grey, without their means, with a little noise."""
    each = 500 if quick else 25_000
    patches = [
        extract_patches_2d(image.mean(axis=2) / 255, (8, 8), max_patches=each, random_state=0)
        for image in load_sample_images().images
    ]
    X = np.concatenate(patches).reshape(2 * each, 64)
    X -= X.mean(axis=1, keepdims=True)  # singular after this, hence the noise
    return X + 1e-3 * np.random.default_rng(0).standard_normal(X.shape)


def load_reduced_digits(quick: bool) -> np.ndarray:
    """Handwritten digits in the whitened directions of 99 % of their variance."""
    return PCA(0.99, whiten=True).fit_transform(load_digits().data)[:: 3 if quick else 1]


TASKS = (
    Task("pixels of a photograph, four starts", load_pixels, (16,), seeds=(0, 1, 2, 3)),
    Task("patches of two photographs", load_patches, (64,), max_iter=20),
    Task("digits, sweep of K", load_reduced_digits, tuple(range(50, 201, 10))),
    Task("iris", lambda quick: load_iris().data, (3,), repeats=10),
)
QUICK_TASKS = tuple(
    Task(task.name, task.load, tuple(K // 4 or 1 for K in task.components[:2]), 5) for task in TASKS
)


def measure_task(task: Task, rounds: int, quick: bool) -> TaskResult:
    """Fit with both libraries in turn, after a fit of fastgmm's that compiles."""
    X = task.load(quick)
    default_fit(GaussianMixture, X, task.components[0], max_iter=1)
    ours, theirs = [], []
    for _ in range(rounds):
        our_models, seconds = fit_all(GaussianMixture, task, X)
        ours.append(seconds)
        their_models, seconds = fit_all(PeerMixture, task, X)
        theirs.append(seconds)
    our_scores = np.array([model.score(X) for model in our_models])
    their_scores = np.array([model.score(X) for model in their_models])
    return TaskResult(
        task.name,
        X.shape,
        median(ours),
        median(theirs),
        median(b / a for a, b in zip(ours, theirs, strict=True)),
        float(our_scores.mean()),
        float(their_scores.mean()),
        float((their_scores.mean() - our_scores.mean()) / abs(their_scores.mean())),
    )


def fit_all(estimator: type, task: Task, X: np.ndarray) -> tuple[list[Any], float]:
    """Fit every mixture of the task; return the models, and the seconds of one repetition."""

    def fit_repeatedly() -> list[Any]:
        for _ in range(task.repeats):
            models = [
                default_fit(estimator, X, K, task.max_iter, seed)
                for K in task.components
                for seed in task.seeds
            ]
        return models

    models, seconds = timed(fit_repeatedly)
    return models, seconds / task.repeats


def default_fit(
    estimator: type, X: np.ndarray, n_components: int, max_iter: int = 100, seed: int = 0
) -> Any:
    """Fit a model that is the library's default but for its size."""
    return fitted(estimator(n_components, max_iter=max_iter, random_state=seed), X)


def measure_seeding(rounds: int, quick: bool) -> SeedingResult:
    """Time a default fit of a million points, and the same without any iteration.

    The log-likelihood that both take of their result is no part of the start.
    """
    problem = Problem("full", "float64", 30_000 if quick else 1_000_000, 16, 16)
    X, _ = draw(problem)
    fit = partial(default_fit, GaussianMixture, X, problem.K)
    fit(max_iter=1)
    fits, starts = [], []
    for _ in range(rounds):
        started, seconds = timed(partial(fit, max_iter=0))
        starts.append(seconds - timed(partial(started.score, X))[1])
        model, seconds = timed(fit)
        fits.append(seconds)
    share = median(start / fit for start, fit in zip(starts, fits, strict=True))
    return SeedingResult(X.shape, problem.K, median(fits), model.n_iter_, share)
