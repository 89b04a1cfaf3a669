"""
Add up the statistics of chunks
===============================

All that an iteration of EM takes from the data is a small record, ``Statistics``. Records of two
chunks add up to that of both, so the data may come in pieces: from files, machines or a stream.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastgmm
from fastgmm import GaussianMixture, kernels

rng = np.random.default_rng(0)
X = np.concatenate([rng.normal(-2, 1, (6000, 2)), rng.normal(2, 0.7, (4000, 2))])
chunks = np.array_split(rng.permutation(X), 7)
model = GaussianMixture(n_components=2, init_params="random_means", fit_history=True)
model.set_params(random_state=0).fit(X)

p = model.fit_history_[0]  # the start
for _ in range(model.n_iter_):
    total = sum(kernels.expectation(chunk, *p.arguments) for chunk in chunks)
    p = fastgmm.maximization(total, "full", reg_covar=1e-6)

print(f"largest difference from the fit to all the data, after {model.n_iter_} iterations")
for name in ("weights", "means", "covariances"):
    difference = np.abs(getattr(p, name) - getattr(model, f"{name}_")).max()
    print(f"{name:<12} {difference:.0e}")

# %%
# A stream that forgets
# ---------------------
# Before a new chunk is added, ``scaled(0.9)`` lets the past count for less, and ``about`` moves it
# to the present means: records can be added where they are about the same points. So the mixture
# follows a cluster that moves; without forgetting, it lags further and further behind.


def follow(stream, forgetting):
    """The means after each chunk, by one step of EM for each."""
    covariances = np.ones((2, 1, 1))
    U = fastgmm.precisions_cholesky(covariances, "full")
    weights, means = np.full(2, 0.5), np.array([[-2.0], [2.0]])
    p = fastgmm.Parameters(weights, means, covariances, U, "full")
    past, path = 0, []
    for chunk in stream:
        s = past + kernels.expectation(chunk, *p.arguments)
        p = fastgmm.maximization(s, "full", reg_covar=1e-6)
        past = s.scaled(forgetting).about(p.means)
        path.append(p.means[:, 0])
    return np.array(path)


time = np.arange(200)
true = np.stack([np.full(200, -2.0), 2 + 1.5 * np.sin(time / 25)], axis=1)
stream = [rng.normal(np.repeat(both, 50), 0.7)[:, None] for both in true]

figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
ax.plot(np.repeat(time, 100), np.ravel(stream), ".", color="#c9ccd1", markersize=2)
for forgetting, style, colour in [(1.0, ":", "#c1121f"), (0.9, "-", "#1d4e89")]:
    means = follow(stream, forgetting)
    ax.plot(time, means[:, 0], style, color=colour, label=f"scaled({forgetting})")
    ax.plot(time, means[:, 1], style, color=colour)
    error = np.abs(means - true)[50:].mean(axis=0)
    print(f"scaled({forgetting}): errors of the two means {error.round(2)}")
ax.plot(time, true[:, 0], "--", color="black", linewidth=0.8, label="true means")
ax.plot(time, true[:, 1], "--", color="black", linewidth=0.8)
ax.set(xlabel="chunk", ylabel="x")
ax.legend(loc="lower right", ncols=3)
