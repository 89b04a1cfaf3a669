"""
Recognize textures by Fisher vectors
====================================

A Fisher vector describes a picture by how its patches differ from those of all pictures: it is the
gradient of their likelihood by the parameters of a mixture with diagonal covariances.
"""

import matplotlib.pyplot as plt
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from skimage import data
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastgmm import GaussianMixture

textures = {"brick": data.brick(), "grass": data.grass(), "gravel": data.gravel()}
tiles = np.concatenate([  # 256 tiles of 32 × 32 pixels from each
    image.reshape(16, 32, 16, 32).swapaxes(1, 2).reshape(-1, 32, 32) / 255
    for image in textures.values()
])  # fmt: skip
texture = np.repeat(np.arange(3), 256)

patches = sliding_window_view(tiles, (6, 6), axis=(1, 2))[:, ::3, ::3].reshape(-1, 36)
patches = patches - patches.mean(axis=1, keepdims=True)  # their brightness does not matter
patches = PCA(8, random_state=0).fit_transform(patches)

model = GaussianMixture(n_components=8, covariance_type="diag", random_state=0)
model.fit(patches)
of_tiles = patches.reshape(len(tiles), -1, 8)
vectors = np.stack([model.fisher_vector(rows, improved=True) for rows in of_tiles])

brightness = np.stack([tiles.mean(axis=(1, 2)), tiles.std(axis=(1, 2))], axis=1)
print("of tiles recognised (4-fold)   features   accuracy")
for name, features in [("mean and deviation", brightness), ("Fisher vector", vectors)]:
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    accuracy = cross_val_score(classifier, features, texture, cv=4).mean()
    print(f"by {name:<27} {features.shape[1]:8} {accuracy:10.1%}")

# %%
# ``skimage.feature.fisher_vector`` takes fastgmm's mixture, too, and gives the same numbers, but
# for the sign of the gradients by the deviations.
#
# The tiles, and where their vectors lie
# --------------------------------------
# The two directions that tell the textures apart best.

directions = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto")
flat = directions.fit_transform(vectors, texture)
figure = plt.figure(figsize=(9, 4.4), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1, 1.6])
axes = left.subplots(3, 3)
for row, name, first in zip(axes, textures, (0, 256, 512), strict=True):
    row[0].set_ylabel(name)
    for ax, tile in zip(row, tiles[first + np.array([40, 120, 200])], strict=True):
        ax.imshow(tile, cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
ax = right.subplots()
for k, (name, marker) in enumerate(zip(textures, "os^", strict=True)):
    ax.scatter(*flat[texture == k].T, s=14, marker=marker, alpha=0.7, label=name)
ax.set(xlabel="first direction", ylabel="second direction")
ax.legend()
