"""
Few points for many features
============================

178 wines, 13 features: a full covariance has 91 numbers. How well do mixtures explain wines that
they have not seen? And how many species of iris are there, of which 29 have petals equally wide?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris, load_wine
from sklearn.model_selection import KFold, cross_val_score
from sklearn.preprocessing import scale

from fastgmm import GaussianMixture

wines = scale(load_wine().data)
folds = KFold(5, shuffle=True, random_state=0)
numbers = range(1, 9)
kinds = {
    "full": {},
    "diagonal": {"covariance_type": "diag"},
    "full, shrunk": {"shrinkage": "oas"},
}

# %%
# New wines
# ---------
# Each number of components is fitted to four fifths of the wines and scored on the last.

unseen = {
    name: [
        cross_val_score(
            GaussianMixture(K, n_init=3, random_state=0, **options), wines, cv=folds
        ).mean()
        for K in numbers
    ]
    for name, options in kinds.items()
}
for name, scores in unseen.items():
    print(f"{name:13} {np.round(scores, 1)}")

# %%
# Full covariances overfit from four components on, diagonal ones miss what features have in
# common. Shrinkage takes off each covariance what its few points cannot support: the best of all,
# and hardly worse with more components than there are kinds of wine.
#
# How many species
# ----------------
# A component on petals that are all 0.2 cm wide has a density without bound, and the BIC falls off
# a cliff.
# With the conjugate prior it has its minimum at three.

petals = load_iris().data[:, 2:]
bic = {
    name: [
        GaussianMixture(K, prior=prior, n_init=5, random_state=0).fit(petals).bic(petals)
        for K in numbers
    ]
    for name, prior in {"without a prior": None, "prior='conjugate'": "conjugate"}.items()
}

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for name, scores in unseen.items():
    left.plot(numbers, scores, marker="o", label=name)
left.set(title="Wines that were not seen", xlabel="components", ylim=(-22, -13))
left.set_ylabel("mean log-likelihood")
for name, values in bic.items():
    right.plot(numbers, values, marker="o", label=name)
right.set(title="Petals of iris", xlabel="components", ylabel="BIC, the lower the better")
for ax in (left, right):
    ax.legend(frameon=False)
