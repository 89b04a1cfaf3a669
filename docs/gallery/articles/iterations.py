"""
Watch EM settle
===============

A set of slides derives EM from a latent variable that chooses one of K components, and shows how a
fit goes: the start, the responsibilities, and the mixture after iterations 1, 2, 5 and 20. With
``fit_history=True`` a fit keeps the parameters of all its iterations.
"""

import numpy as np

from fastgmm import GaussianMixture, plot_lower_bound, plot_responsibilities, plot_snapshots

# Two long clusters, in units of their standard deviation, and a start that lies across them.
clusters = GaussianMixture.from_parameters(
    [0.35, 0.65],
    [[-1.2, -1.2], [0.65, 0.65]],
    [[[0.08, 0.03], [0.03, 0.25]], [[0.13, 0.07], [0.07, 0.2]]],
)
clusters.random_state = 0
X, _ = clusters.sample(270)
model = GaussianMixture(
    2, means_init=[[-1.5, 1.0], [1.5, -1.0]], precisions_init=[2 * np.eye(2)] * 2,
    weights_init=[0.5, 0.5], tol=0, max_iter=20, fit_history=True,
).fit(X)  # fmt: skip
plot_snapshots(model, X, iterations=[0, 1, 2, 5, 20])

# %%
# The responsibilities
# --------------------
# The E step asks how much of each point belongs to each component, here for every tenth point. At
# the start many of them belong to both; after twenty iterations each belongs to one.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True, layout="constrained")
for ax, iteration in zip(axes, [0, 20], strict=True):
    p = model.fit_history_[iteration]
    then = GaussianMixture.from_parameters(p.weights, p.means, p.covariances)
    plot_responsibilities(then, X[::10], ax).label_outer()
    ax.set_title(f"after iteration {iteration}" if iteration else "at the start")

# %%
# The lower bound
# ---------------
# No iteration makes the likelihood smaller. After the first, which brings the components to the
# data, the largest gains are where each of them finds its cluster.

plot_lower_bound(model)

# %%
# What the defaults make of it
# ----------------------------
# They start from k-means, and stop when there is nothing to gain.

from timeit import repeat

from scipy.stats import multivariate_normal

usual = GaussianMixture(2, random_state=0).fit(X)
for name, fit in {"as on the slides": model, "by default": usual}.items():
    print(f"{name:16} {fit.n_iter_:2} iterations, mean log-likelihood {fit.log_likelihood_:.4f}")


def iterate(X, weights, means, covariances, n_iter):
    """The formulas of the slides, in numpy and scipy."""
    for _ in range(n_iter):
        densities = [
            weight * multivariate_normal(mean, covariance).pdf(X)
            for weight, mean, covariance in zip(weights, means, covariances, strict=True)
        ]
        r = np.transpose(densities / np.sum(densities, axis=0))
        weights, means = r.mean(axis=0), r.T @ X / r.sum(axis=0)[:, None]
        covariances = [np.cov(X.T, aweights=shares, ddof=0) for shares in r.T]
    return means


many, _ = clusters.sample(100_000)
start = model.fit_history_[0]
arguments = many, start.weights, start.means, start.covariances, 20
model.fit(many)
difference = np.abs(model.means_ - iterate(*arguments)).max()
theirs = min(repeat(lambda: iterate(*arguments), number=1, repeat=2))
ours = min(repeat(lambda: model.fit(many), number=1, repeat=5))
print(f"{len(many):,} points: {theirs / ours:.0f} times as fast as numpy and scipy")
print(f"after 20 iterations means differ by {difference:.0e}")
