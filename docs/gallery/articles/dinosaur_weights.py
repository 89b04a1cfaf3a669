"""
Tell dinosaurs by their weight
==============================

"GMM Clustering From Scratch" opens with the weights of six species of dinosaurs. Each is normal,
except that there are light and heavy maiasaura. Nothing is fitted yet: the mixture is made of given
parameters, and knows its density, the species behind a weight, and how to draw new weights.
"""

import numpy as np

from fastgmm import GaussianMixture, plot_histogram, plot_scatter

# name, share, mean and standard deviation in tonnes
components = [
    ("raptor", 0.10, 0.7, 0.2),
    ("stegosaurus", 0.30, 4.0, 0.3),
    ("ankylosaurus", 0.15, 5.0, 0.5),
    ("maiasaura", 0.075, 7.0, 0.3),
    ("maiasaura", 0.075, 8.0, 0.3),
    ("T. rex", 0.05, 10.0, 1.5),
    ("sauropod", 0.25, 20.0, 3.0),
]
names, shares, means, deviations = zip(*components, strict=True)
dinosaurs = GaussianMixture.from_parameters(
    shares, np.reshape(means, (-1, 1)), np.square(deviations), "spherical"
)
dinosaurs.random_state = 0
weights, _ = dinosaurs.sample(10_000)

ax = plot_histogram(dinosaurs, weights, bins=120)
ax.set_xlabel("weight in tonnes")
for text, name in zip(ax.get_legend().get_texts()[2:], names, strict=True):
    text.set_text(name)
ax

# %%
# The species behind a weight
# ---------------------------
# ``predict_proba`` gives the posterior probability of each component; the two kinds of maiasaura
# are one species, so theirs are added.

species = list(dict.fromkeys(names))
belongs = np.array([[name == one for one in species] for name in names])
found = np.array([[0.5], [4.4], [5.5], [7.5], [8.8], [13.0], [25.0]])
posterior = dinosaurs.predict_proba(found) @ belongs

print("weight  " + "".join(f"{name:>14}" for name in species))
for weight, row in zip(found[:, 0], posterior, strict=True):
    print(f"{weight:6.1f}  " + "".join(f"{100 * share:12.1f} %" for share in row))

# %%
# Three clusters of points
# ------------------------
# The article's second data set is drawn from three round components. A component's colour says
# where a point belongs most probably; the less sure that is, the smaller the point.

truth = GaussianMixture.from_parameters(
    [0.25, 0.50, 0.25], [[-3, -3], [0, 0], [3, 3]], [1, 1, 1], "spherical"
)
truth.random_state = 0
X, _ = truth.sample(1_000)

model = GaussianMixture(3, random_state=0).fit(X)
plot_scatter(model, X)

# %%

print(f"shares      {model.weights_.round(2)}")
print(f"means       {model.means_.round(2).tolist()}")
print(f"covariances {model.covariances_.round(2).tolist()}")

# %%
# What the defaults make of it
# ----------------------------
# These were the defaults. The article's steps go through the points one by one:

from timeit import repeat

from scipy.stats import multivariate_normal


def iteration(X, weights, means, covariances):
    r = np.zeros((len(X), len(weights)))
    for i, x in enumerate(X):
        for k in range(len(weights)):
            r[i, k] = weights[k] * multivariate_normal.pdf(x, means[k], covariances[k])
        r[i] /= r[i].sum()
    means, covariances = np.zeros_like(means), np.zeros_like(covariances)
    for k, count in enumerate(r.sum(axis=0)):
        for i, x in enumerate(X):
            means[k] += r[i, k] / count * x
        for i, x in enumerate(X):
            covariances[k] += r[i, k] / count * np.outer(x - means[k], x - means[k])
    return r.mean(axis=0), means, covariances


start = GaussianMixture(3, max_iter=0, random_state=0).fit(X)
parameters = start.weights_, start.means_, start.covariances_
theirs = min(repeat(lambda: iteration(X, *parameters), number=1, repeat=2)) * model.n_iter_
ours = min(repeat(lambda: GaussianMixture(3, random_state=0).fit(X), number=1, repeat=10))
print(f"The whole fit, from k-means on: about {round(theirs / ours, -1):.0f} times as fast as")
print(f"its {model.n_iter_} iterations alone in loops.")
