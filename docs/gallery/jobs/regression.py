"""
Regression with a mixture
=========================

Fit the density of x and y together; given x, what is left is a mixture of y. Its mean is a
regression, and its variance says how far to trust it: here it grows to the right.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastgmm import GaussianMixture, plot_mixture

rng = np.random.default_rng(0)
x = rng.uniform(0, 10, 1000)
y = np.sin(x) + 0.3 * x + (0.1 + 0.06 * x) * rng.normal(size=1000)
data = np.stack([x, y], axis=1)
model = GaussianMixture(n_components=7, random_state=0).fit(data)

grid = np.linspace(0, 10, 200)
mean, variance = (column[:, 0] for column in model.predict_regression([0], grid[:, None]))
band = 2 * np.sqrt(variance)
figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
ax.plot(x, y, ".", color="#8a8f98", markersize=3)
ax.fill_between(grid, mean - band, mean + band, alpha=0.25, label="± 2 deviations")
ax.plot(grid, mean, linewidth=2, label="E[y | x]")
ax.plot(grid, np.sin(grid) + 0.3 * grid, "k--", linewidth=1, label="the true curve")
ax.set(xlabel="x", ylabel="y")
ax.legend(loc="upper left")

# %%
# Component k predicts y with a mean and a variance of its own:
#
# .. math::
#
#    m_k(x) = \mu_{y,k} + \Sigma_{yx,k} \Sigma_{xx,k}^{-1} (x - \mu_{x,k}), \qquad
#    v_k = \Sigma_{yy,k} - \Sigma_{yx,k} \Sigma_{xx,k}^{-1} \Sigma_{xy,k}.
#
# Its share :math:`r_k(x)` is its responsibility under the mixture of x alone. The mean is
# :math:`\sum_k r_k m_k`, the variance :math:`\sum_k r_k (v_k + m_k^2)` less the square of the mean.
# ``model.conditional([0], x[:, None])`` has all of these, to draw from or to look for two peaks.
#
# How well it does
# ----------------

x_new = rng.uniform(0, 10, 5000)
noise = 0.1 + 0.06 * x_new
y_new = np.sin(x_new) + 0.3 * x_new + noise * rng.normal(size=5000)
mean, variance = (column[:, 0] for column in model.predict_regression([0], x_new[:, None]))
inside = np.abs(y_new - mean) < 2 * np.sqrt(variance)
print("           of new points   inside the band   error of E[y | x]   noise")
for left, right in [(0, 2.5), (2.5, 5), (5, 7.5), (7.5, 10)]:
    some = (left <= x_new) & (x_new < right)
    error = np.sqrt(np.mean((mean - np.sin(x_new) - 0.3 * x_new)[some] ** 2))
    row = f"{inside[some].mean():16.1%} {error:19.3f} {noise[some].mean():7.3f}"
    print(f"x from {left:3} to {right:4} {row}")

# %%
# The mixture behind it
# ---------------------
# Each component is a piece of the curve.

plot_mixture(model, data)
