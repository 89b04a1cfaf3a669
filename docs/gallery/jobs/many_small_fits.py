"""
Thousands of small fits
=======================

A mixture for each station, sensor, gene or user: most of the time is then spent around the
iterations. Here are 2,000 groups of 100 points, with two components each.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.mixture import GaussianMixture as PeerMixture
from threadpoolctl import threadpool_limits

from fastgmm import GaussianMixture

rng = np.random.default_rng(0)
distances = rng.uniform(2, 8, 2000)
groups = rng.normal(size=(2000, 100, 2))
groups[:, :40, 0] += distances[:, None]  # 40 points of each group lie apart


def fit_all(mixture, groups, start):
    """Fit every group; return the mixtures, and milliseconds for each."""
    begin = time.perf_counter()
    models = [mixture(2, init_params=start, random_state=0).fit(group) for group in groups]
    return models, 1e3 * (time.perf_counter() - begin) / len(groups)


fit_all(GaussianMixture, groups[:1], "kmeans")  # compiles, or loads what is compiled
models, milliseconds = fit_all(GaussianMixture, groups, "k-means++")
print(f"{len(models)} fits in {milliseconds * len(models) / 1e3:.1f} s")

# %%
# How long a fit takes depends on the start, too: k-means, the default, has iterations of its own,
# and points that k-means++ chooses cost less. scikit-learn's k-means, which both libraries call,
# takes several times as long on all threads as on one where points are so few, so give it one.

with threadpool_limits(1):
    print("milliseconds for each fit   fastgmm   scikit-learn   times")
    for start in ("kmeans", "k-means++"):
        _, ours = fit_all(GaussianMixture, groups[:200], start)
        _, theirs = fit_all(PeerMixture, groups[:200], start)
        print(f"start by {start:<18} {ours:7.2f} {theirs:14.2f} {theirs / ours:7.1f}")

# %%
# What was found
# --------------
# How far apart the two means are, for each of the groups.

found = [np.linalg.norm(model.means_[1] - model.means_[0]) for model in models]
converged = np.array([model.converged_ for model in models])
print(f"{converged.sum()} of {len(models)} fits converged")

figure, ax = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
ax.scatter(distances, found, s=6, alpha=0.5, linewidths=0, label="a group of 100 points")
ax.plot([2, 8], [2, 8], color="black", linewidth=1, label="as it was made")
ax.set(xlabel="distance between the clusters", ylabel="distance between the means")
ax.legend(loc="upper left", markerscale=2)
