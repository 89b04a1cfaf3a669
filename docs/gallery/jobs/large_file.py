"""
Fit a file of 10⁸ rows
======================

A memory map is an array that stays on the disk, and ``fit`` takes it as it is. The pass over the
data keeps sums alone, so that the memory it needs does not grow with the rows.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

import fastgmm
from fastgmm import GaussianMixture, kernels

n = int(float(os.environ.get("FASTGMM_ROWS", 1e6)))  # 1e8 for the whole
K, d = 5, 4
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "points.npy"

rng = np.random.default_rng(0)
true = GaussianMixture.from_parameters(
    np.full(K, 1 / K), rng.normal(0, 4, (K, d)), rng.uniform(0.5, 2, (K, d)), "diag"
)
points = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
for first in range(0, n, 1_000_000):
    rows = points[first : first + 1_000_000]
    component = rng.choice(K, len(rows))
    rows[:] = true.means_[component]
    rows += true.covariances_[component] ** 0.5 * rng.standard_normal(rows.shape, np.float32)
del points

# %%
# The fit
# -------

begin = time.perf_counter()
data = np.load(path, mmap_mode="r")
model = GaussianMixture(n_components=K, random_state=0).fit(data)
seconds = time.perf_counter() - begin
print(f"{n:,} rows × {d}, {path.stat().st_size / 1e9:.3g} GB of float32")
print(f"{seconds:.1f} s for the start and {model.n_iter_} iterations")
