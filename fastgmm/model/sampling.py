"""Parameters → random points."""

from __future__ import annotations

import numpy as np

from fastgmm._records import FloatArray, Parameters
from fastgmm.model.families import family_of
from fastgmm.model.noise import Noisy


def draw(
    parameters: Parameters, n_samples: int, rng: np.random.RandomState
) -> tuple[FloatArray, np.ndarray]:
    """Points (n, d) of the mixture and their components (n,), ordered by component.

    The random numbers are taken in scikit-learn's order, so the same state draws the same points.
    """
    weights, means, covariances, _, covariance_type = parameters
    K, d = means.shape
    proportions = weights.astype(np.float64)
    family = family_of(covariance_type)
    if weights.dtype == np.float32:  # rounded so much that numpy takes offence
        proportions /= proportions.sum()
        if family.is_matrix:
            covariances = (covariances + covariances.swapaxes(-2, -1)) / 2
    counts = rng.multinomial(n_samples, proportions)
    if family.has_loadings:
        rank = covariances.shape[-1] - 1
        points = [
            means[k]
            + rng.standard_normal(size=(counts[k], rank)) @ covariances[k, :, :-1].T
            + rng.standard_normal(size=(counts[k], d)) * np.sqrt(covariances[k, :, -1])
            for k in range(K)
        ]
    elif family.is_matrix:
        matrices = np.broadcast_to(covariances, (K, d, d))
        points = [rng.multivariate_normal(means[k], matrices[k], int(counts[k])) for k in range(K)]
    else:
        covariances = np.broadcast_to(covariances, family_of(family.pass_type).shape(K, d))
        points = [
            means[k] + rng.standard_normal(size=(counts[k], d)) * np.sqrt(covariances[k])
            for k in range(K)
        ]
    return np.vstack(points), np.repeat(np.arange(K, dtype=np.int64), counts)


def draw_noisy(
    mixture: Noisy, n_samples: int, rng: np.random.RandomState
) -> tuple[FloatArray, np.ndarray]:
    """Points and components as of `draw`, and those of the noise, -1, in the box of the data."""
    n_noise = int(rng.binomial(n_samples, mixture.share))
    points, components = draw(mixture.gaussians, n_samples - n_noise, rng)
    low, high = mixture.box
    noise = rng.uniform(low, high, size=(n_noise, len(low)))
    return np.concatenate([points, noise]), np.append(components, np.full(n_noise, -1))
