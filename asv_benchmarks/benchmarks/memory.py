"""Peak memory, of the process and of numpy's allocations.

The input is made, and the kernels compiled, in another process.
"""

from __future__ import annotations

import tracemalloc

import numpy as np

from fastgmm import GaussianMixture, kernels, reference

from .common import TINY, Case, assert_agree, parameters_of
from .fit import fit, unfitted_model

CASES = {
    covariance_type: Case(covariance_type, "float64", 500 if TINY else 1_000_000, 8, 16)
    for covariance_type in ("full", "diag")
}


class PeakMemory:
    """A million points of 8 features (64 MB); an n × K array would add 128 MB."""

    params = (list(CASES),)
    param_names = ("covariance_type",)

    def setup_cache(self):
        for covariance_type, case in CASES.items():
            X, weights, means, factors, _ = case.make()
            np.savez(f"{covariance_type}.npz", X=X, weights=weights, means=means, factors=factors)
            kernels.expectation(X, weights, means, factors, covariance_type)
            fit(unfitted_model(case, (weights, means, factors), max_iter=1), X)

    def setup(self, covariance_type):
        self.case = CASES[covariance_type]
        with np.load(f"{covariance_type}.npz") as file:
            self.X = file["X"]
            self.mixture = file["weights"], file["means"], file["factors"]

    def peakmem_input(self, covariance_type):
        """The input alone, to be subtracted from the others."""
        assert len(self.X) == self.case.n

    def peakmem_expectation(self, covariance_type):
        statistics = kernels.expectation(self.X, *self.mixture, covariance_type)
        assert abs(statistics.counts.sum() / self.case.n - 1) < 1e-9

    def peakmem_fit(self, covariance_type):
        model = fit(unfitted_model(self.case, self.mixture, max_iter=2), self.X)
        assert model.n_iter_ == 2
        assert model.lower_bounds_[1] > model.lower_bounds_[0]

    def peakmem_assign(self, covariance_type):
        labels = kernels.assign(self.X, *self.mixture, covariance_type)
        assert len(labels) == self.case.n
        expected = reference.assign(self.X[:100], *self.mixture, covariance_type)
        assert np.array_equal(labels[:100], expected)


class TracedMemory:
    """What is allocated beyond the input, in megabytes: no copy of it, and no n × K array.

    numpy tells `tracemalloc` of its arrays, so that this counts them to the byte, which a peak
    of the process does not: it holds libraries, and what was freed before.
    """

    params = (["fit", "predict", "score_samples"],)
    param_names = ("method",)
    unit = "MB"

    def setup(self, method):
        n = 100_000 if TINY else 1_000_000  # a start sees 20,000
        self.X = np.random.default_rng(0).standard_normal((n, 8))
        self.model = GaussianMixture(16, covariance_type="diag", max_iter=2, random_state=0)
        fit(self.model, self.X[:5_000])  # what loads once, loads here
        few = self.X[:100]
        log_densities = reference.log_density(few, *parameters_of(self.model))
        assert_agree(self.model.score_samples(few), log_densities, "float64")
        labels = reference.assign(few, *parameters_of(self.model))
        assert np.array_equal(self.model.predict(few), labels)
        for predict in (self.model.predict, self.model.score_samples):
            predict(self.X[:5_000])  # too many for what solves small problems

    def track_allocated(self, method):
        call = {"fit": lambda X: fit(self.model, X).weights_}.get(method)
        tracemalloc.start()
        try:
            result = (call or getattr(self.model, method))(self.X)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert len(result) == (16 if method == "fit" else len(self.X))
        assert np.all(np.isfinite(result))
        assert result.nbytes <= peak < self.X.nbytes, "neither a copy nor an n × K array"
        return peak / 1e6
