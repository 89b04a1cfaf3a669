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

from fastgmm import GaussianMixture, plot_mixture

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
# Rows that come from somewhere else, a database, a folder of spreadsheets, ``pandas.read_csv`` with
# a ``chunksize``, come from a function that returns an iterator of chunks. ``fit`` calls it for
# each pass over the data. A thread reads the next chunk while the kernels work on this one.


def chunks():
    """The rows, a quarter of a million at a time."""
    for first in range(0, n, chunk):
        yield np.array(data[first : first + chunk])  # or whatever reads your rows


same = GaussianMixture(n_components=K, tol=1e-5, random_state=0).fit(chunks)
print(f"mean log-likelihood {same.lower_bound_:.6f} after {same.n_iter_} iterations")
print(f"that of the file    {model.lower_bound_:.6f} after {model.n_iter_}")

# %%
# What was found
# --------------
# A few thousand rows are enough for a picture, of two of the four features. The probable components
# of all rows are found chunk by chunk, too: ``same.predict(chunks)``.

sample = data[np.sort(rng.choice(n, 3000, replace=False))]
plot_mixture(same, sample, features=(0, 1))
