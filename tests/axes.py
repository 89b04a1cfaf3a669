"""What many tests run over, and what only some of CI's modes can show."""

from __future__ import annotations

import os

import numpy as np
import pytest
from registry import CASES, COVARIANCE_TYPES, DTYPES, SMALL_CASES

each_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
# Of matrices; and those where each component has a covariance of its own, which may collapse.
each_matrix_type = pytest.mark.parametrize("covariance_type", ["full", "tied"])
each_type_of_its_own = pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_dtype_by_name = pytest.mark.parametrize("dtype", DTYPES)

JIT_DISABLED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
compiled_only = pytest.mark.skipif(JIT_DISABLED, reason="is about compiled code")
over_registry = pytest.mark.parametrize(
    "case", SMALL_CASES if JIT_DISABLED else CASES, ids=lambda case: case.name
)
