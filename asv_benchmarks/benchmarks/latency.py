"""What a user waits for before anything is computed: imports, and the first fit of a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

from .common import TINY

FIRST_FIT = """
import time
import numpy as np
import sklearn.cluster
from fastgmm import GaussianMixture
X = np.random.default_rng(0).standard_normal((n, d))
model = GaussianMixture(2, covariance_type=kind, means_init=X[:2], random_state=0, tol=1e9)
for first in "fit", "predict":
    start = time.perf_counter()
    getattr(model, first)(X)
    print(time.perf_counter() - start)
assert model.converged_
"""


class Import:
    """Each import in a process of its own, the start of Python not counted."""

    def timeraw_import_fastgmm(self):
        return "import fastgmm; assert fastgmm.__all__"

    def timeraw_import_estimator(self):
        return "from fastgmm import GaussianMixture; assert GaussianMixture.fit"

    def timeraw_import_kernels(self):
        return "from fastgmm.kernels import expectation; assert callable(expectation)"


class First:
    """The first fit and the first prediction of a process, imports not counted.

    With an empty and a filled cache of kernels; full covariances of few and of many features are
    compiled apart. The second ones take a few milliseconds.
    """

    params = (["cold", "warm"], ["full", "tied", "diag", "spherical"], [8, 24])
    param_names = ("cache", "covariance_type", "d")
    timeout = 600
    unit = "seconds"

    def setup(self, cache, covariance_type, d):
        self.folder = tempfile.mkdtemp()
        self.environment = {**os.environ, "NUMBA_CACHE_DIR": self.folder}
        if TINY:  # compiling takes seconds however small the data are
            self.environment["NUMBA_DISABLE_JIT"] = "1"
        if cache == "warm":
            self.first(covariance_type, d)

    def teardown(self, cache, covariance_type, d):
        shutil.rmtree(self.folder)

    def track_first_fit(self, cache, covariance_type, d):
        return self.first(covariance_type, d)[0]

    def track_first_predict(self, cache, covariance_type, d):
        return self.first(covariance_type, d)[1]

    def first(self, covariance_type, d):
        problem = f"n, d, kind = {40 if TINY else 20_000}, {d}, {covariance_type!r}"
        process = subprocess.run(
            [sys.executable, "-c", problem + "\n" + FIRST_FIT],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        fit, predict = map(float, process.stdout.split())
        return fit, predict
