"""The compiled pass: the same functions as `fastgmm.reference`, as numba kernels.

Nothing is compiled at import; machine code is kept on disk between processes.
"""

from fastgmm.kernels.covariances import weighted_covariances
from fastgmm.kernels.passes import (
    assign,
    expectation,
    log_density,
    log_gaussian_density,
    normalize_responsibilities,
    responsibilities,
)

__all__ = [
    "assign",
    "expectation",
    "log_density",
    "log_gaussian_density",
    "normalize_responsibilities",
    "responsibilities",
    "weighted_covariances",
]
