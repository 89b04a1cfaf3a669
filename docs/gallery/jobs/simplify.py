"""
Simplify a mixture
==================

A density of many components can often be told by fewer. Merge those two whose merger changes the
density least, again and again; the Kullback-Leibler divergence from the full mixture, in nats, says
what it costs.
"""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np

from fastgmm import GaussianMixture, plot_mixture

rng = np.random.default_rng(0)
angle = rng.uniform(0, 1.5 * np.pi, 3000)
X = np.concatenate([
    4 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.4, (3000, 2)),
    rng.normal(0, 0.7, (1500, 2)),
])  # fmt: skip
full = GaussianMixture(n_components=16, random_state=0).fit(X)


def least_change(model):
    """The merger of two components that is nearest to the full mixture."""
    pairs = combinations(range(model.n_components), 2)
    mergers = [model.merge(pair) for pair in pairs]
    return min(mergers, key=lambda merger: full.kl_divergence(merger, 4000, random_state=0))


simpler, sizes = {16: full}, range(15, 1, -1)
for K in sizes:
    simpler[K] = least_change(simpler[K + 1])
costs = [full.kl_divergence(simpler[K], random_state=1) for K in sizes]

figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
axes[0, 0].plot(sizes, costs, "o-")
axes[0, 0].set(yscale="log", xlabel="components", ylabel="divergence (nats)")
for ax, K in zip(axes.ravel()[1:], (16, 8, 3), strict=True):
    plot_mixture(simpler[K], X, ax)
    ax.set_title(f"{K} components")
    ax.get_legend().remove()

# %%
# What is lost
# ------------
# The divergence is the mean log-likelihood that each point of the full mixture loses. A fit with as
# few components can move all of them, and is better where they are many; of very few it may end in
# a worse place than mergers, which have seen the whole.

print("components   merged: log-likelihood lost   fitted: log-likelihood lost")
for K in (12, 8, 5, 3):
    fitted = GaussianMixture(K, n_init=5, random_state=0).fit(X)
    losses = (full.score(X) - model.score(X) for model in (simpler[K], fitted))
    print(f"{K:10}" + "".join(f"{loss:26.3f}" for loss in losses))

# %%
# How spread out they are
# -----------------------
# The entropy of a mixture grows as it is simplified, since a merger covers what lies between its
# parts. ``to_frame`` tells what is left.

print("components   entropy (nats)")
for K in (16, 8, 3):
    value, error = simpler[K].entropy(random_state=0, return_std=True)
    print(f"{K:10} {value:10.3f} ± {error:.3f}")
print()
print(simpler[3].to_frame().round(2))
