"""
Estimate a density and draw from it
===================================

A mixture is a density that can be evaluated, integrated and sampled. The data are 442 patients:
their body mass index and their blood pressure.
"""

import numpy as np
from sklearn.datasets import load_diabetes

from fastgmm import GaussianMixture, plot_contours, plot_histogram

patients = load_diabetes(as_frame=True, scaled=False).frame
X = patients[["bmi", "bp"]]
model = GaussianMixture(n_components=2, init_whiten=True, random_state=0).fit(X)
plot_contours(model, X)

# %%
# Samples
# -------
# ``sample`` draws points and tells which component each comes from. What has no formula is found
# by counting samples, for example how probable it is that both values are high.

samples, components = model.sample(100_000)
high = (samples[:, 0] > 30) & (samples[:, 1] > 100)
print(f"patients with bmi > 30 and bp > 100: {((X.bmi > 30) & (X.bp > 100)).mean():.3f}")
print(f"probability by the mixture:          {high.mean():.3f}")
