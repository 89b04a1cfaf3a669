"""
Fit a file of 10⁸ rows
======================

``fit`` takes a memory map, an array that stays on the disk, as it is. A pass over the data keeps
nothing but sums, so that the memory it needs does not grow with the rows.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

import fastgmm
from fastgmm import GaussianMixture, kernels, plot_mixture

n = int(float(os.environ.get("FASTGMM_ROWS", "1e6")))  # 1e8 for the whole
K, d, chunk = 5, 4, 250_000
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "points.npy"

rng = np.random.default_rng(1)
means, deviations = rng.normal(0, 1.8, (K, d)), rng.uniform(0.5, 1.5, (K, d))
points = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
for first in range(0, n, chunk):
    rows = points[first : first + chunk]
    component = rng.choice(K, len(rows))
    rows[:] = rng.standard_normal(rows.shape, np.float32)
    rows *= deviations[component]
    rows += means[component]
del points, rows

begin = time.perf_counter()
data = np.load(path, mmap_mode="r")
model = GaussianMixture(n_components=K, tol=1e-5, random_state=0).fit(data)
seconds = time.perf_counter() - begin

print(f"{n:,} rows × {d} of float32, {path.stat().st_size / 1e6:,.0f} MB")
print(f"{seconds:.2f} s for the start and {model.n_iter_} iterations")

# %%
# ``FASTGMM_ROWS=1e8 python large_file.py`` runs the whole. On two cores of an AMD EPYC (Zen 4) its
# 1.6 GB took 12.7 s for the start and 29 iterations, which is half a second for each, and 160 MB of
# memory beside the file, which the system kept in its cache. A file that does not fit there is read
# from the disk at every iteration.
#
# Chunks that you read yourself
# -----------------------------
# Rows that come from somewhere else, a database, a folder of files, ``pandas.read_csv`` with a
# ``chunksize``, are read chunk by chunk, once for each iteration. The statistics of chunks add up,
# and ``maximization`` makes the next parameters of them. The start is a fit to a sample.


def chunks():
    """The rows, a quarter of a million at a time."""
    for first in range(0, n, chunk):
        yield np.array(data[first : first + chunk])  # or whatever reads your rows


sample = data[np.sort(rng.choice(n, 20_000, replace=False))]
start = GaussianMixture(n_components=K, random_state=0).fit(sample)
U = start.precisions_cholesky_
p = fastgmm.Parameters(start.weights_, start.means_, start.covariances_, U, "full")
for _ in range(10):
    total = sum(kernels.expectation(rows, *p.arguments) for rows in chunks())
    p = fastgmm.maximization(total, "full", reg_covar=1e-6)
    print(f"mean log-likelihood {total.log_likelihood / n:.6f}")
print(f"that of the fit     {model.lower_bound_:.6f}")

# %%
# What was found
# --------------
# The last parameters make a mixture with all its methods. A few thousand rows are enough for a
# picture, of two of the four features.

found = GaussianMixture.from_parameters(p.weights, p.means, p.covariances)
plot_mixture(found, sample[:3000], features=(0, 1))
