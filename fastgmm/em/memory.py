"""How much memory a fit takes."""

from __future__ import annotations

import math

from fastgmm.kernels.low_rank import bytes_of_pass as bytes_of_products
from fastgmm.kernels.partition import bytes_of_pass
from fastgmm.model.families import family_of

# Arrays of the size of the covariances that a fit holds at a time beside those of the pass:
# covariances and factors, of this iteration and the one before.
COVARIANCES_AT_ONCE = 4


def bytes_of_fit(
    n_samples: int,
    n_components: int,
    n_features: int,
    covariance_type: str,
    size: int,
    rank: int = 1,
) -> int:
    """Memory that a fit takes beside its data, roughly.

    `n_samples` are those that the start looks at, `size` is the bytes of a number of the data.
    """
    family = family_of(covariance_type)
    covariances = math.prod(family.shape(n_components, n_features, rank))
    parameters = 8 * COVARIANCES_AT_ONCE * (covariances + n_components * n_features)
    shares = 2 * size * n_samples * n_components
    if family.has_loadings:
        return parameters + shares + bytes_of_products(n_components, n_features, rank)
    one_pass = bytes_of_pass(n_samples, n_components, n_features, family.pass_type, size)
    return parameters + shares + one_pass
