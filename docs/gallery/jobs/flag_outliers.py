"""
Flag outliers, with a threshold
===============================

The density of a fitted mixture says how usual a point is. A threshold that one in a hundred of the
training points falls below flags about one in a hundred ordinary points, and most strangers.
"""

import numpy as np
from sklearn.datasets import make_moons

from fastgmm import GaussianMixture, plot_contours

X, _ = make_moons(2000, noise=0.08, random_state=0)
model = GaussianMixture(n_components=8, random_state=0).fit(X)
threshold = np.quantile(model.score_samples(X), 0.01)

ordinary, _ = make_moons(1000, noise=0.08, random_state=1)
strangers = np.random.default_rng(0).uniform([-1.5, -1], [2.5, 1.5], (100, 2))
new = np.concatenate([ordinary, strangers])
flagged = model.score_samples(new) < threshold

ax = plot_contours(model, new)
ax.scatter(*new[flagged].T, s=36, facecolors="none", edgecolors="#c1121f", label="flagged")
ax.legend(loc="upper right")
ax

# %%
# How many are flagged
# --------------------
# The quantile is the rate of false alarms; what it lets through are strangers who happen to stand
# in the crowd.

print("quantile   ordinary flagged   strangers flagged")
for quantile in (0.001, 0.01, 0.05):
    threshold = np.quantile(model.score_samples(X), quantile)
    rates = [(model.score_samples(points) < threshold).mean() for points in (ordinary, strangers)]
    print(f"{quantile:8.1%}   {rates[0]:16.1%}   {rates[1]:17.1%}")

# %%
# Where the training data have outliers
# -------------------------------------
# Outliers among the training points can draw a component to themselves: a light one, or a very wide
# one, and its points then pass as usual. Look at the weights before the threshold is trusted.

dirty = GaussianMixture(n_components=8, random_state=0).fit(np.concatenate([X, strangers[:40]]))
print("component   weight   standard deviation")
for k in dirty.weights_.argsort():
    print(f"{k:9}   {dirty.weights_[k]:6.1%}   {dirty.covariances_[k].trace() ** 0.5:18.2f}")
