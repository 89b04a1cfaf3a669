"""
Holes and weeds
===============

Three tables lose three tenths of their values: how well can these be filled in? And eruptions of a
geyser among points that are none: where are the two kinds?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.preprocessing import scale

from fastgmm import GaussianMixture, plot_mixture


def with_holes(X):
    """X without three tenths of its values; a row keeps one at least."""
    rng = np.random.default_rng(0)
    holes = rng.uniform(size=X.shape) < 0.3
    holes[np.arange(len(X)), rng.integers(X.shape[1], size=len(X))] = False
    return np.where(holes, np.nan, X)


def by_mixture(X):
    """Fill in what a mixture of two components expects."""
    mixture = GaussianMixture(2, missing="em", reg_covar=0.01, random_state=0, max_iter=500)
    return mixture.fit(X).impute(X)


# %%
# Holes
# -----
# The mixture is fitted to what is there. What it expects of the rest is nearer to the values that
# were taken out than the means of the columns, or of the five nearest rows.

errors = {}
for name, load in [("iris", load_iris), ("wine", load_wine), ("cancer", load_breast_cancer)]:
    X = scale(load().data)
    seen = with_holes(X)
    hidden = np.isnan(seen)
    for way, filled in [
        ("column means", SimpleImputer().fit_transform(seen)),
        ("nearest rows", KNNImputer().fit_transform(seen)),
        ("mixture", by_mixture(seen)),
    ]:
        errors.setdefault(way, {})[name] = np.sqrt(np.mean((filled - X)[hidden] ** 2))
for way, of_each in errors.items():
    print(f"{way:13}", {name: f"{error:.2f}" for name, error in of_each.items()})

# %%
# Weeds
# -----
# Eruptions are short or long, and the next one comes soon or late. With every third point noise,
# two Gaussians alone stretch to reach all of it; a component of constant density takes it instead.

rng = np.random.default_rng(1)
short, long = rng.normal([2.0, 54.5], [0.3, 6.0], (100, 2)), rng.normal(0, 1, (180, 2))
long = long @ [[0.4, 2.0], [0.0, 5.6]] + [4.3, 80.0]
eruptions = np.concatenate([short, long, rng.uniform([1, 35], [6, 105], (140, 2))])

plain = GaussianMixture(2, random_state=0).fit(eruptions)
noisy = GaussianMixture(2, noise=True, random_state=0).fit(eruptions)

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
places = np.arange(3)
for shift, (way, of_each) in zip((-0.27, 0, 0.27), errors.items(), strict=True):
    left.bar(places + shift, list(of_each.values()), 0.25, label=way)
left.set_xticks(places, list(of_each))
left.set(title="Error of what is filled in", ylabel="standard deviations", ylim=(0, 1.4))
left.legend(frameon=False, ncols=3, fontsize="small")
for ax, mixture, title in [
    (middle, plain, "two components"),
    (right, noisy, f"two, and {noisy.noise_weight_:.0%} noise"),
]:
    plot_mixture(mixture, eruptions, ax)
    ax.set(title=title, xlabel="minutes of eruption", ylabel="minutes to the next")
    ax.get_legend().remove()
