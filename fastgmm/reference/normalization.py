"""Log-sum-exp over components, and the responsibilities it normalizes."""

from __future__ import annotations

import numpy as np

from fastgmm._records import FloatArray


def normalize_responsibilities(weighted_log_density: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mixture log-density and responsibilities from log πₖ + log N(xᵢ; μₖ, Σₖ).

    log p(x) = m + log Σₖ exp(aₖ - m),   rₖ = exp(aₖ - log p(x)),   m = maxₖ aₖ

    (Bishop 2006, equation 9.13). A point of zero density under every component belongs to all
    of them in equal parts, so that its responsibilities, too, sum to 1.

    Parameters
    ----------
    weighted_log_density : (n, K) array of float32 or float64
        a = log πₖ + log N(xᵢ; μₖ, Σₖ).

    Returns
    -------
    log_density : (n,) array of the input's dtype
    responsibilities : (n, K) array of the input's dtype

    Examples
    --------
    >>> import numpy as np
    >>> normalize_responsibilities(np.log([[0.1, 0.3]]))
    (array([-0.91629073]), array([[0.25, 0.75]]))
    """
    a = weighted_log_density.astype(np.float64)
    peak = a.max(axis=1, keepdims=True)
    nowhere = np.isneginf(peak)
    terms = np.where(nowhere, 1.0, np.exp(a - np.where(nowhere, 0.0, peak)))
    totals = terms.sum(axis=1, keepdims=True)
    log_density = (peak + np.log(totals))[:, 0]
    dtype = weighted_log_density.dtype
    return log_density.astype(dtype), (terms / totals).astype(dtype)
