"""
Digits from a few factors
=========================

1,797 handwritten digits, 64 pixels each. A full covariance of a kind of digit has 2,080 numbers,
which its 90 examples cannot support; with variances alone, pixels know nothing of each other. How
many factors do they share?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastgmm import GaussianMixture

X = load_digits().data
seen, unseen = X[::2], X[1::2]
options = {"reg_covar": 0.01, "random_state": 0, "max_iter": 300, "tol": 1e-2}


def explained(kind, K, rank=1):
    """Mean log-likelihood of the digits that were not seen."""
    model = GaussianMixture(K, covariance_type=kind, rank=rank, **options)
    return model.fit(seen).score(unseen)


# %%
# New digits
# ----------

ranks = [1, 2, 4, 6, 8, 12, 16]
others = {K: {kind: explained(kind, K) for kind in ("diag", "full")} for K in (10, 20)}
for K, scores in others.items():
    print(K, {kind: round(score, 1) for kind, score in scores.items()})
unseen_at = {K: [explained("low_rank", K, rank) for rank in ranks] for K in (10, 20)}

# %%
# A few factors explain new digits best: better than variances alone, and better than full
# covariances, which fit the noise of the pixels.
#
# Draw digits
# -----------
# A component is a kind of digit, and its factors are the ways in which one is unlike another.

model = GaussianMixture(20, covariance_type="low_rank", rank=6, **options).fit(X)
loadings = model.covariances_[..., :-1]
# Turned so that the first factor is the longest way.
axes = np.stack([np.linalg.svd(W, full_matrices=False)[0][:, 0] for W in loadings])
lengths = np.linalg.norm(loadings, 2, axis=(1, 2))

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4), width_ratios=[1, 1.2], layout="constrained"
)
for K, scores in unseen_at.items():
    (line,) = left.plot(ranks, scores, marker="o", label=f"{K} components")
    left.axhline(others[K]["diag"], color=line.get_color(), linestyle=":", label="variances alone")
left.set(title="Digits that were not seen", xlabel="rank", ylabel="mean log-likelihood")
left.set(xticks=ranks, ylim=(-108, -92))
left.legend(frameon=False)

steps = np.linspace(-2, 2, 7)
chosen = np.argsort(model.weights_)[::-1][:6]
rows = [
    np.hstack(
        [np.pad((model.means_[k] + step * lengths[k] * axes[k]).reshape(8, 8), 1) for step in steps]
    )
    for k in chosen
]
right.imshow(np.vstack(rows), cmap="gray_r", vmin=0, vmax=16)
right.set(title="Means, and two lengths of a factor either way", xticks=[], yticks=[])
