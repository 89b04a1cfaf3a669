"""The processor that numba compiles for, which need not be the one at hand."""

from __future__ import annotations

from numba import config
from numba.core.codegen import get_host_cpu_features

JIT_DISABLED = bool(config.DISABLE_JIT)


def target_features() -> str:
    """Features of the processor that numba compiles for, as LLVM spells them."""
    features = config.CPU_FEATURES
    return get_host_cpu_features() if features is None else features


# Bytes of a vector register, and the vectors in a row of a block of four rows: 16 of the 32
# registers that AVX-512 has, 8 of the 16 elsewhere. What counts is the processor that numba
# compiles for (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES, NUMBA_ENABLE_AVX), not the one at hand.
VECTOR_BYTES, VECTORS = (64, 4) if "+avx512f" in target_features().split(",") else (32, 2)
CHUNK_BYTES = VECTOR_BYTES * VECTORS
