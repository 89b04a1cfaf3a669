"""
Start in three ways
===================

Every fit of a mixture begins with a guess. "A Simple Note for GMMs" draws three blobs beside what
EM makes of three guesses: clusters of k-means seeded by k-means++, clusters of k-means seeded at
random, and random responsibilities. Here each of them is a value of ``init_params``.
"""

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import confusion_matrix

from fastgmm import GaussianMixture, plot_mixture

X, _ = make_blobs(random_state=3)


def kmeans_seeded_at_random(X, K, random_state):
    """A start of one's own: a function that returns labels or responsibilities."""
    return KMeans(K, init="random", n_init=1, random_state=random_state).fit_predict(X)


starts = {
    "k-means++": "kmeans",
    "k-means, seeded at random": kmeans_seeded_at_random,
    "random responsibilities": "random",
}
figure, axes = plt.subplots(2, 2, figsize=(9, 7), sharex=True, sharey=True, layout="constrained")
axes[0, 0].scatter(*X.T, s=18, color="grey")
axes[0, 0].set_title("the blobs")
models = {}
for ax, (name, start) in zip(axes.flat[1:], starts.items(), strict=True):
    models[name] = GaussianMixture(3, init_params=start, tol=1e-6, random_state=0).fit(X)
    plot_mixture(models[name], X, ax).get_legend().remove()
    ax.set_title(f"{name}: {models[name].n_iter_} iterations")
    ax.label_outer()

# %%
# All three arrive at the same mixture; random responsibilities take the longest way, because at
# first every component is about as wide as all the data. The colours differ, since a mixture has no
# order.

print("start                      iterations  mean log-likelihood  sizes")
for name, model in models.items():
    sizes = sorted(round(100 * weight) for weight in model.weights_)
    print(f"{name:26} {model.n_iter_:10} {model.log_likelihood_:20.6f}  {sizes}")

# %%
# The same responsibilities, the same parameters
# ----------------------------------------------
# The note's own EM is a loop over components around scipy's density, which stops when no
# responsibility changes any more. From equal responsibilities, here an array in ``init_params``,
# both end at equal parameters.

import numpy as np
from scipy.stats import multivariate_normal

responsibilities = np.random.default_rng(0).dirichlet(np.ones(3), size=len(X))


def loop(X, r, reg_covar=1e-6):
    while True:
        weights, means = r.mean(axis=0), r.T @ X / r.sum(axis=0)[:, None]
        density = np.empty_like(r)
        for k, mean in enumerate(means):
            covariance = np.cov(X.T, aweights=r[:, k], ddof=0) + reg_covar * np.eye(X.shape[1])
            density[:, k] = weights[k] * multivariate_normal(mean, covariance).pdf(X)
        before, r = r, density / density.sum(axis=1, keepdims=True)
        if np.allclose(before, r, rtol=0, atol=1e-10):
            return means


model = GaussianMixture(3, init_params=responsibilities, tol=1e-12, max_iter=1000).fit(X)
difference = np.abs(model.means_ - loop(X, responsibilities)).max()
print(f"{model.n_iter_} iterations; means differ by {difference:.0e}")

# %%
# What the defaults make of it
# ----------------------------
# By default a fit starts from k-means seeded by k-means++, and ends when an iteration improves the
# mean log-likelihood by less than 0.001.

from timeit import repeat

X, blobs = make_blobs(50_000, random_state=3)
model = GaussianMixture(3, random_state=0).fit(X)
right = confusion_matrix(blobs, model.predict(X)).max(axis=1).sum()
print(f"{model.n_iter_} iterations put {right:,} of {len(X):,} points with their blob.")

responsibilities = np.random.default_rng(0).dirichlet(np.ones(3), size=len(X))
same = GaussianMixture(3, init_params=responsibilities, tol=1e-12, max_iter=1000)
ours = min(repeat(lambda: same.fit(X), number=1, repeat=3))
theirs = min(repeat(lambda: loop(X, responsibilities), number=1, repeat=1))
print(f"From the same responsibilities to the same parameters: {theirs / ours:.0f} times as fast.")
