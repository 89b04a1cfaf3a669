"""
Estimate a density and draw from it
===================================

A mixture is a density that can be evaluated, integrated and sampled. The data are 442 patients:
their body mass index and their blood pressure.
"""

import matplotlib.pyplot as plt
from scipy.stats import gaussian_kde
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from fastgmm import GaussianMixture, plot_contours, plot_histogram

patients = load_diabetes(as_frame=True, scaled=False).frame
X = patients[["bmi", "bp"]]
model = GaussianMixture(n_components=2, init_whiten=True, random_state=0).fit(X)
plot_contours(model, X)

# %%
# Samples
# -------
# ``sample`` draws points and says which component each comes from, one component after the other:
# shuffle them if the order matters. What has no formula is found by counting, for example how
# probable it is that both values are high.

samples, components = model.sample(100_000)
high = (samples[:, 0] > 30) & (samples[:, 1] > 100)
both = (X.bmi > 30) & (X.bp > 100)
print(f"patients with bmi > 30 and bp > 100   {both.mean():.1%}")
print(f"probability by the mixture            {high.mean():.1%}")

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained")
axes[0].set(title="442 patients", xlabel="bmi", ylabel="bp")
axes[0].scatter(X.bmi, X.bp, s=8)
axes[1].set(title="442 samples of the mixture", xlabel="bmi")
axes[1].scatter(*model.sample(442)[0].T, s=8)

# %%
# One feature
# -----------
# The histogram, the density of each component, and their sum. Blood pressure is skewed, so that it
# takes two.

plot_histogram(model, X, feature="bp", bins=30)

# %%
# Is it a good density?
# ---------------------
# The mean log-density of patients who were left out says so, higher is better. Beside it are a
# single Gaussian and a kernel density estimate, which keeps all the data.

train, test = train_test_split(X, random_state=0)
one = GaussianMixture(1).fit(train)
two = GaussianMixture(2, init_whiten=True, random_state=0).fit(train)
kernel = gaussian_kde(train.T)
print("mean log-density of patients left out")
print(f"one Gaussian              {one.score(test):.3f}")
print(f"two                       {two.score(test):.3f}")
print(f"kernel density estimate   {kernel.logpdf(test.T).mean():.3f}")
