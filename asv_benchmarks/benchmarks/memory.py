"""Peak memory of the process. The input is made, and the kernels compiled, in another process."""

from __future__ import annotations

import numpy as np

from fastgmm import kernels

from .common import TINY, Case
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

    def peakmem_assign(self, covariance_type):
        assert len(kernels.assign(self.X, *self.mixture, covariance_type)) == self.case.n
