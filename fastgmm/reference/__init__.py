"""The kernels' contract in plain numpy: the oracle of the tests, readable as a textbook.

Every function promotes its input to float64 and rounds only its result to the input's dtype.
"""

from fastgmm.reference.density import log_gaussian_density
from fastgmm.reference.moments import weighted_covariances
from fastgmm.reference.normalization import normalize_responsibilities
from fastgmm.reference.passes import assign, expectation, log_density, responsibilities

__all__ = [
    "assign",
    "expectation",
    "log_density",
    "log_gaussian_density",
    "normalize_responsibilities",
    "responsibilities",
    "weighted_covariances",
]
