"""
Flag outliers, with a threshold
===============================

The density of a fitted mixture says how usual a point is. ``outlier_score`` compares it with a
threshold that one in a hundred of the mixture's own points falls below: it flags one or two in a
hundred new ones, and most strangers.
"""

import numpy as np
from sklearn.datasets import make_moons

from fastgmm import GaussianMixture, plot_contours, plot_mixture

X, _ = make_moons(2000, noise=0.08, random_state=0)
model = GaussianMixture(n_components=12, random_state=0).fit(X)

ordinary, _ = make_moons(1000, noise=0.08, random_state=1)
strangers = np.random.default_rng(0).uniform([-1.5, -1], [2.5, 1.5], (100, 2))
new = np.concatenate([ordinary, strangers])
flagged = model.outlier_score(new, quantile=0.99) > 0

ax = plot_contours(model, new, levels=[0.5, 0.99])
ax.scatter(*new[flagged].T, s=40, facecolors="none", edgecolors="red", label="flagged")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)

# %%
# The threshold is a contour of the density: the one that holds 99 % of the probability.
#
# How many are flagged
# --------------------
# What the quantile leaves is about the rate of false alarms, somewhat less than it since the
# mixture has seen the training points. Strangers that are not flagged stand in the crowd.

print("quantile   ordinary flagged   strangers flagged")
for quantile in (0.999, 0.99, 0.95):
    flagged = model.outlier_score(new, quantile) > 0
    print(f"{quantile:8.1%}   {flagged[:1000].mean():16.1%}   {flagged[1000:].mean():17.1%}")

# %%
# Outliers among the training points
# ----------------------------------
# If the data to be fitted have outliers, the quantile must be about their share: here 100 of 2,100
# points are strangers. There is another way, too. Outliers draw components to themselves that are
# much wider than the others, and a point that belongs to one of these is an outlier.

X = np.concatenate([X, strangers])
model = GaussianMixture(n_components=12, random_state=0).fit(X)
spread = np.linalg.det(model.covariances_) ** 0.25  # of a round one, the standard deviation
wide = np.flatnonzero(spread > 2 * np.median(spread))
print(f"components {wide} are wide, with {model.weights_[wide].sum():.1%} of the points\n")

scores = model.outlier_score(X)  # without a quantile: minus the log-density
rules = {
    "the highest 1 %": scores > np.quantile(scores, 0.99),
    "the highest 5 %": scores > np.quantile(scores, 0.95),
    "in a wide component": np.isin(model.predict(X), wide),
}
print("flagged                   ordinary   strangers")
for name, flagged in rules.items():
    print(f"{name:<25} {flagged[:2000].mean():8.1%} {flagged[2000:].mean():11.1%}")

plot_mixture(model, X)
