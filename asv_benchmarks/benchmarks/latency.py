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
start = time.perf_counter()
import numpy as np
from fastgmm import GaussianMixture
X = np.random.default_rng(0).standard_normal((20_000, 4))
model = GaussianMixture(2, means_init=X[:2], random_state=0, tol=1e9).fit(X)
assert model.converged_ and model.predict(X).shape == (20_000,)
print(time.perf_counter() - start)
"""


class Import:
    """Each import in a process of its own, the start of Python not counted."""

    def timeraw_import_fastgmm(self):
        return "import fastgmm; assert fastgmm.__all__"

    def timeraw_import_estimator(self):
        return "from fastgmm import GaussianMixture; assert GaussianMixture.fit"

    def timeraw_import_kernels(self):
        return "from fastgmm.kernels import expectation; assert callable(expectation)"


class FirstFit:
    """Import, fit and predict in a new process, with an empty and a filled cache of kernels."""

    params = (["cold", "warm"],)
    param_names = ("cache",)
    timeout = 600
    unit = "seconds"

    def setup(self, cache):
        self.folder = tempfile.mkdtemp()
        self.environment = {**os.environ, "NUMBA_CACHE_DIR": self.folder}
        if TINY:  # compiling takes seconds however small the data are
            self.environment["NUMBA_DISABLE_JIT"] = "1"
        if cache == "warm":
            self.track_first_fit(cache)

    def teardown(self, cache):
        shutil.rmtree(self.folder)

    def track_first_fit(self, cache):
        process = subprocess.run(
            [sys.executable, "-c", FIRST_FIT.replace("20_000", "40" if TINY else "20_000")],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        seconds = float(process.stdout)
        assert seconds > 0
        return seconds
