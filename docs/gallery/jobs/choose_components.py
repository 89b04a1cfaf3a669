"""
Choose the number of components
===============================

Fit every number of components with every type of covariance, and take the lowest BIC: it weighs the
likelihood against the number of parameters.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastgmm import GaussianMixture, plot_mixture, select_mixture

rng = np.random.default_rng(0)
X = np.concatenate([
    rng.normal(size=(300, 2)) @ [[1.5, 1.0], [0.0, 0.4]],
    rng.normal(size=(200, 2)) @ [[0.5, -0.8], [0.0, 0.4]] + [5, -1],
    rng.normal(size=(100, 2)) * 0.4 + [1, 4],
])  # fmt: skip

numbers = range(1, 9)
types = ("full", "tied", "diag", "spherical")
selection = select_mixture(X, numbers, types, n_init=5, random_state=0)
selection.plot()

# %%
# The chosen mixture
# ------------------

best = selection.best_model_
print(f"{best.n_components} components with {best.covariance_type} covariances")
plot_mixture(best, X)

# %%
# BIC, AIC and ICL
# ----------------
# Each criterion answers a question of its own. AIC looks for the mixture that predicts best, and
# takes more components. BIC looks for the density. ICL looks for clusters: it also counts how much
# the components overlap. On a bent cluster the three disagree, since it takes several components to
# describe its density, and they overlap.

angle = rng.uniform(0, np.pi, 500)
bent = np.concatenate([
    4 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.3, (500, 2)),
    rng.normal(0, 0.5, (200, 2)),
])  # fmt: skip
fits = [GaussianMixture(K, n_init=5, random_state=0).fit(bent) for K in numbers]

criteria = {
    "AIC": [model.aic(bent) for model in fits],
    "BIC": [model.bic(bent) for model in fits],
    "ICL": [model.icl(bent) for model in fits],
}
print("       " + "".join(f"{f'K = {K}':>8}" for K in numbers) + "   lowest")
for name, values in criteria.items():
    print(f"{name:<7}" + "".join(f"{value:8.0f}" for value in values), end="")
    print(f"   K = {numbers[np.argmin(values)]}")

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, (name, values) in zip(axes, criteria.items(), strict=True):
    model = fits[np.argmin(values)]
    plot_mixture(model, bent, ax)
    ax.set_title(f"{name}: {model.n_components} components")
    ax.get_legend().remove()
