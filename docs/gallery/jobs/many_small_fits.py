"""
Thousands of small fits
=======================

A mixture for each station, sensor, gene or user: the time around the iterations is what counts
then. Here are 2,000 groups of 100 points, with two components each.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.mixture import GaussianMixture as PeerMixture

from fastgmm import GaussianMixture

rng = np.random.default_rng(0)
distances = rng.uniform(2, 8, 2000)
groups = rng.normal(size=(2000, 100, 2))
groups[:, :40, 0] += distances[:, None]


def fit_all(mixture, groups):
    """Fit every group; return the mixtures, and milliseconds for each."""
    begin = time.perf_counter()
    models = [mixture.__class__(**mixture.get_params()).fit(points) for points in groups]
    return models, 1e3 * (time.perf_counter() - begin) / len(groups)


fit_all(GaussianMixture(2), groups[:1])  # compiles, or loads what an earlier process compiled
models, ours = fit_all(GaussianMixture(2, random_state=0), groups)
_, theirs = fit_all(PeerMixture(2, random_state=0), groups[:200])  # a tenth of them will tell
print(f"fastgmm       {ours:5.2f} ms for each fit")
print(f"scikit-learn  {theirs:5.2f} ms, {theirs / ours:.1f} times as long")
