"""
Add up the statistics of chunks
===============================

All that an iteration of EM takes from the data is a small record, ``Statistics``, and the records of
two chunks add up to that of both. So the data may come in pieces: from files, machines or a stream.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastgmm
from fastgmm import GaussianMixture, kernels

rng = np.random.default_rng(0)
X = np.concatenate([rng.normal(-2, 1, (6000, 2)), rng.normal(2, 0.7, (4000, 2))])
chunks = np.array_split(X, 7)

model = GaussianMixture(n_components=2, max_iter=20, tol=0, init_params="random_means", fit_history=True, random_state=0).fit(X)
p = model.fit_history_[0]  # the start
for _ in range(model.n_iter_):
    parts = [kernels.expectation(chunk, *p.arguments) for chunk in chunks]
    p = fastgmm.maximization(sum(parts[1:], start=parts[0]), "full", reg_covar=1e-6)
print("largest difference from the fit to all the data at once")
for name in ("weights", "means", "covariances"):
    difference = np.abs(getattr(p, name) - getattr(model, f"{name}_")).max()
    print(f"{name:<12} {difference:.1e}")
