"""
What is likely, given what is known
===================================

A fitted mixture knows how the features go together. Where some are known at a point, the others
have a mixture of their own: it may have two peaks, of which a mean knows nothing.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

from fastgmm import GaussianMixture, plot_contours, plot_histogram

X, _ = make_moons(2000, noise=0.08, random_state=0)
model = GaussianMixture(n_components=12, random_state=0).fit(X)

known = np.array([[-0.75], [0.3], [1.6]])
given = model.conditional([0], known)
print(f"weights {given.weights.shape}, means {given.means.shape}", end=", ")
print(f"covariances {given.covariances.shape}")

heights = np.linspace(-1.2, 1.7, 400)
deviations = np.sqrt(given.covariances[:, 0, 0])
distances = (heights[:, None, None] - given.means[:, :, 0]) / deviations
densities = np.sum(given.weights * np.exp(-0.5 * distances**2) / deviations, axis=2)

figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
plot_contours(model, X, ax, levels=[0.5, 0.9, 0.99])
for x, density in zip(known[:, 0], densities.T, strict=True):
    ax.axvline(x, color="black", linewidth=0.8)
    ax.fill_betweenx(heights, x, x + 0.35 * density / density.max(), alpha=0.6)
ax.set(xlabel="known", ylabel="likely")
ax.get_legend().remove()

# %%
# A mean between the peaks
# ------------------------
# ``predict_regression`` gives mean and variance of the same mixtures. In the middle the mean lies
# where there is nothing, and the variance says that something is amiss.

mean, variance = model.predict_regression([0], known)
print("known   mean   deviation   most likely")
for x, m, v, density in zip(known[:, 0], mean[:, 0], variance[:, 0], densities.T, strict=True):
    print(f"{x:5.2f} {m:6.2f} {np.sqrt(v):11.2f} {heights[density.argmax()]:13.2f}")

# %%
# One feature, whatever the other is
# ----------------------------------
# ``marginal`` is a mixture like any other, so that it has a picture, too.

plot_histogram(model.marginal([1]), X[:, 1:])
