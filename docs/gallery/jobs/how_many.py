"""
How many clusters, by Bayes
===========================

A Bayesian mixture is given more components than there are clusters, and gives weight to those that
the data need. One number, the concentration of the weights, says how willing it is.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastgmm import BayesianGaussianMixture, GaussianMixture, plot_mixture

rng = np.random.default_rng(0)
X = np.concatenate([
    rng.normal(size=(400, 2)) @ [[1.5, 1.0], [0.0, 0.4]],
    rng.normal(size=(300, 2)) @ [[0.5, -0.8], [0.0, 0.4]] + [5, -1],
    rng.normal(size=(100, 2)) * 0.4 + [1, 4],
])  # fmt: skip

plain = GaussianMixture(n_components=10, random_state=0).fit(X)
options = {"n_components": 10, "random_state": 0, "max_iter": 2000, "tol": 0.01}
bayes = BayesianGaussianMixture(weight_concentration_prior=1e-3, **options).fit(X)

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, mixture, title in [
    (axes[0], plain, "ten components, by likelihood"),
    (axes[1], bayes.to_mixture().prune(0.01), "at most ten, by Bayes"),
]:
    plot_mixture(mixture, X, ax)
    ax.set_title(title)
    ax.get_legend().remove()

# %%
# The concentration
# -----------------
# The lower it is, the fewer components have weight; the lower bound of the evidence compares them.
# A high one that is alike for all keeps all ten.

print("concentration   by stick   alike   lower bounds")
for concentration in (1e-4, 1e-2, 1.0, 100.0):
    fits = [
        BayesianGaussianMixture(
            weight_concentration_prior=concentration,
            weight_concentration_prior_type=kind,
            **options,
        ).fit(X)
        for kind in ("dirichlet_process", "dirichlet_distribution")
    ]
    counts = [np.sum(fit.weights_ > 0.01) for fit in fits]
    bounds = "  ".join(f"{fit.lower_bound_:8.1f}" for fit in fits)
    print(f"{concentration:13} {counts[0]:10} {counts[1]:7}   {bounds}")
