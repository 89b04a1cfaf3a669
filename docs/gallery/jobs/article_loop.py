"""
Speed up a loop from an article, line by line
=============================================

Articles write EM as loops over points and components, with a density from scipy. Every line of such
a loop has a function that takes its place. Replace one after the other; the result stays the same.
"""

import timeit

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import multivariate_normal

import fastgmm
from fastgmm import kernels

rng = np.random.default_rng(0)
X = np.concatenate([
    rng.normal([0, 0], [1.0, 0.5], (1500, 2)),
    rng.normal([3, 3], [0.5, 1.0], (1000, 2)),
    rng.normal([0, 4], [0.7, 0.7], (500, 2)),
])  # fmt: skip
K = 3
start = np.full(K, 1 / K), X[[0, 1500, 2500]], np.array([np.eye(2)] * K)

# %%
# The loop, as articles have it
# -----------------------------


def loop(X, weights, means, covariances):
    """One iteration: the responsibilities, point by point, then the M step."""
    n, K = len(X), len(weights)
    r = np.zeros((n, K))
    for i in range(n):  # E step
        for k in range(K):
            r[i, k] = weights[k] * multivariate_normal.pdf(X[i], means[k], covariances[k])
        r[i] /= r[i].sum()
    return maximize(X, r)


def maximize(X, r):
    """Weights, means and covariances from the responsibilities."""
    n, K = r.shape
    counts, means, covariances = np.zeros(K), np.zeros((K, 2)), np.zeros((K, 2, 2))
    for k in range(K):  # M step
        for i in range(n):
            counts[k] += r[i, k]
            means[k] += r[i, k] * X[i]
        means[k] /= counts[k]
        for i in range(n):
            covariances[k] += r[i, k] * np.outer(X[i] - means[k], X[i] - means[k])
        covariances[k] /= counts[k]
    return counts / n, means, covariances


# %%
# 1. The density
# --------------
# ``log_gaussian_density`` takes all the points and components at once. The logarithm is what keeps
# points far from every component from becoming 0 / 0.


def with_density(X, weights, means, covariances):
    """Log-densities of all points, then responsibilities row by row."""
    U = fastgmm.precisions_cholesky(covariances, "full")
    r = np.log(weights) + kernels.log_gaussian_density(X, means, U, "full")
    for i in range(len(X)):
        r[i] = np.exp(r[i] - r[i].max())
        r[i] /= r[i].sum()
    return maximize(X, r)


# %%
# 2. The E step
# -------------


def with_responsibilities(X, weights, means, covariances):
    """The whole E step in one call."""
    U = fastgmm.precisions_cholesky(covariances, "full")
    r = kernels.responsibilities(X, weights, means, U, "full")
    return maximize(X, r)


# %%
# 3. The M step
# -------------


def with_weighted_covariances(X, weights, means, covariances):
    """The E step in one call, the M step in another."""
    U = fastgmm.precisions_cholesky(covariances, "full")
    r = kernels.responsibilities(X, weights, means, U, "full")
    counts, means, covariances = kernels.weighted_covariances(X, r, "full")
    return counts / len(X), means, covariances


# %%
# 4. Both at once
# ---------------
# ``expectation`` never stores the responsibilities: it returns the sums that the M step needs.


def with_expectation(X, weights, means, covariances):
    """Sums of the E step, and the M step that needs no more."""
    U = fastgmm.precisions_cholesky(covariances, "full")
    p = fastgmm.maximization(kernels.expectation(X, weights, means, U, "full"), "full")
    return p.weights, p.means, p.covariances


# %%
# What each line brings
# ---------------------
# The first call of a function compiles it, or loads what an earlier process compiled, so that it is
# not timed. Every step must give the loop's own parameters.

steps = {
    "the loop": loop,
    "1. density": with_density,
    "2. E step": with_responsibilities,
    "3. M step": with_weighted_covariances,
    "4. both at once": with_expectation,
}
expected = loop(X, *start)
seconds = {}
for name, step in steps.items():
    for value, same in zip(step(X, *start), expected, strict=True):
        np.testing.assert_allclose(value, same, rtol=1e-9)
    times = timeit.repeat(lambda step=step: step(X, *start), number=1, repeat=5)
    seconds[name] = min(times)

print("an iteration        milliseconds   times faster")
for name, time in seconds.items():
    print(f"{name:<18} {1e3 * time:13.3f} {seconds['the loop'] / time:14,.0f}")

figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
bars = ax.barh(list(seconds), list(seconds.values()))
ax.bar_label(bars, [f"{1e3 * time:.3g} ms" for time in seconds.values()], padding=4)
ax.set(xscale="log", xlabel="seconds for an iteration, on a logarithmic scale")
ax.set_xlim(1e-4, 6 * seconds["the loop"])
ax.invert_yaxis()
ax.spines[["top", "right"]].set_visible(False)

# %%
# The whole fit
# -------------
# What is left of the loop is what ``GaussianMixture`` does: it finds a start, iterates until the
# likelihood settles, and says whether it did.

model = fastgmm.GaussianMixture(n_components=3, random_state=0).fit(X)
print(f"{model.n_iter_} iterations, converged: {model.converged_}")
print(model.means_.round(2))
