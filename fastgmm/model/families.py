"""Covariance families: what a covariance may be, one row for each `covariance_type`.

The points of a family go through one of the kernels' four passes. What its arrays look like
follows from their axes, and one function makes its covariances of those of the pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fastgmm._records import CovarianceType, FloatArray, Parameters
from fastgmm.model.constrained import common_axes, eev, eve, evi, evv, vee, vei, vev, vve


class Distribution(Protocol):
    """A record with the fields of `Parameters`, whose log-weights are constants of its own."""

    weights: FloatArray
    means: FloatArray
    precisions_cholesky: FloatArray
    covariance_type: str

    @property
    def log_constants(self) -> FloatArray:
        """Added to the log-densities of the components, (K,)."""


# (covariances of the pass's type, expected counts, covariances of the iteration before or None)
# → covariances of the family
Combination = Callable[[FloatArray, FloatArray, FloatArray | None], FloatArray]


def as_they_are(
    covariances: FloatArray, counts: FloatArray, before: FloatArray | None = None
) -> FloatArray:
    """Return the covariances of the pass."""
    return covariances


def pooled(
    covariances: FloatArray, counts: FloatArray, before: FloatArray | None = None
) -> FloatArray:
    """Σₖ Nₖ Σₖ / Σₖ Nₖ: the one covariance of the highest likelihood that all components share.

    References
    ----------
    Banfield and Raftery, Model-based Gaussian and non-Gaussian clustering, Biometrics 49 (1993).
    """
    return np.asarray(np.tensordot(counts / counts.sum(), covariances, 1))


@dataclass(frozen=True, slots=True)
class Family:
    """What the covariances of a mixture may be."""

    # Of covariances, precisions and factors: 'K' for components, 'd' for features, 'r' for loadings
    # and the variances after them. Without a 'K' all components share one covariance.
    axes: tuple[str, ...]
    pass_type: CovarianceType  # of the pass that takes the moments
    # From the covariances of the pass, those of the highest likelihood in this family.
    combine: Combination = as_they_are
    # What is free in the covariances, where that is not all of them: what each letter of mclust's
    # name says of volume, shape and orientation.
    free: str = ""

    @property
    def is_matrix(self) -> bool:
        """Whether covariances have off-diagonal elements, and factors are triangular."""
        return self.axes[-2:] == ("d", "d")

    @property
    def has_loadings(self) -> bool:
        """Whether covariances are loadings (d, r) and variances (d,) beside them, W Wᵀ + Ψ."""
        return self.axes[-1:] == ("r",)

    @property
    def is_shared(self) -> bool:
        """Whether all components have the same covariance."""
        return "K" not in self.axes

    @property
    def fewest_features(self) -> int:
        """One feature has neither shape nor orientation that could be shared."""
        return 2 if self.free else 1

    def combined(
        self, covariances: FloatArray, counts: FloatArray, before: FloatArray | None = None
    ) -> FloatArray:
        """Combine; what cannot be, since a covariance is singular, is NaN."""
        if self.combine is as_they_are:
            return covariances
        try:
            with np.errstate(divide="ignore", invalid="ignore"):
                return self.combine(covariances, counts, before)
        except np.linalg.LinAlgError:
            K, d = len(counts), covariances.shape[-1]
            return np.full(self.shape(K, d), np.nan)

    def shape(self, n_components: int, n_features: int, rank: int = 1) -> tuple[int, ...]:
        """Shape of the covariances, the precisions and their Cholesky factors."""
        sizes = {"K": n_components, "d": n_features, "r": rank + 1}
        return tuple(sizes[axis] for axis in self.axes)

    def shape_like(self, array: FloatArray, n_components: int, n_features: int) -> tuple[int, ...]:
        """Return the shape that an array of this family should have, of whatever rank it is."""
        rank = array.shape[-1] - 1 if array.ndim == 3 and array.shape[-1] > 1 else 1
        return self.shape(n_components, n_features, rank)

    def n_parameters(self, n_components: int, n_features: int, rank: int = 1) -> int:
        """Number of free parameters of the mixture."""
        K, d = n_components, n_features
        if self.free:
            sizes = (1, d - 1, d * (d - 1) // 2)
            of_each = {"E": 1, "V": K, "I": 0}
            return (
                sum(of_each[letter] * size for letter, size in zip(self.free, sizes, strict=True))
                + K * d
                + K
                - 1
            )
        in_covariance = n_features * (n_features + 1) // 2 if self.is_matrix else 1
        if self.has_loadings:  # which may be rotated
            in_covariance = d * (rank + 1) - rank * (rank - 1) // 2
        if self.axes[-1:] == ("d",) and not self.is_matrix:
            in_covariance = n_features
        n_covariances = 1 if self.is_shared else n_components
        return n_covariances * in_covariance + n_components * n_features + n_components - 1

    def diagonals(self, array: FloatArray) -> FloatArray:
        """What is positive in covariances, precisions or factors: diagonals, or all there is."""
        if self.is_matrix:
            return np.diagonal(array, axis1=-2, axis2=-1)
        return array[..., -1] if self.has_loadings else array

    def variances(self, covariances: FloatArray, n_components: int, n_features: int) -> FloatArray:
        """Variance (K, d) of each feature in each component."""
        own = np.asarray(covariances)
        if self.is_matrix:
            own = np.diagonal(own, axis1=-2, axis2=-1)
        elif self.has_loadings:
            own = np.sum(own[..., :-1] ** 2, axis=-1) + own[..., -1]
        elif "d" not in self.axes:
            own = own[..., None]
        return np.broadcast_to(own, (n_components, n_features))

    def dense(self, covariances: FloatArray, n_components: int, n_features: int) -> FloatArray:
        """Covariance matrices (K, d, d)."""
        K, d = n_components, n_features
        if self.is_matrix:
            return np.broadcast_to(covariances, (K, d, d))
        if self.has_loadings:
            loadings = covariances[..., :-1]
            matrices = loadings @ loadings.swapaxes(1, 2)
            np.einsum("kii->ki", matrices)[...] += covariances[..., -1]
            return np.asarray(matrices)
        return self.variances(covariances, K, d)[:, :, None] * np.eye(d)

    def identity(self, n_components: int, n_features: int) -> FloatArray:
        """Covariances, precisions and factors of standard normal components."""
        shape = self.shape(n_components, n_features)
        one = np.eye(n_features) if self.is_matrix else np.ones(())
        return np.array(np.broadcast_to(one, shape))

    def log_determinants(self, factors: FloatArray, n_features: int) -> FloatArray:
        """Logarithms of the determinants of factors, (K,), or one for all."""
        U = np.asarray(factors, np.float64)
        if self.has_loadings:
            L = U[..., :-1]
            inner = np.eye(L.shape[-1]) + L.swapaxes(1, 2) @ L
            return np.asarray(
                np.log(U[..., -1]).sum(axis=1) - 0.5 * np.linalg.slogdet(inner).logabsdet
            )
        if self.is_matrix:
            return np.asarray(np.log(np.diagonal(U, axis1=-2, axis2=-1)).sum(axis=-1))
        return np.asarray(np.log(U).sum(axis=-1) if "d" in self.axes else n_features * np.log(U))

    def add_to_variances(self, covariances: FloatArray, addend: float | FloatArray) -> None:
        """Add a number to all variances, or one for each feature, in place."""
        if self.is_matrix and covariances.flags.c_contiguous:  # soonest
            d = covariances.shape[-1]
            covariances.reshape(-1, d * d)[:, :: d + 1] += addend
        elif self.is_matrix:
            np.einsum("...ii->...i", covariances)[...] += addend
        elif self.has_loadings:
            covariances[..., -1] += addend
        elif "d" in self.axes:
            covariances += addend
        else:
            covariances += addend if isinstance(addend, float) else np.mean(addend)


# Tied diagonal and spherical ones are EEI and EII of Banfield and Raftery (1993).
FAMILIES: dict[str, Family] = {
    "full": Family(("K", "d", "d"), "full"),
    "tied": Family(("d", "d"), "tied"),
    "diag": Family(("K", "d"), "diag"),
    "spherical": Family(("K",), "spherical"),
    "tied_diag": Family(("d",), "diag", pooled),
    "tied_spherical": Family((), "spherical", pooled),
}
# mclust's names: of volume, shape and orientation, which are equal, vary or are the identity.
FAMILIES |= {
    "EII": FAMILIES["tied_spherical"],
    "VII": FAMILIES["spherical"],
    "EEI": FAMILIES["tied_diag"],
    "VEI": Family(("K", "d"), "diag", vei, "VEI"),
    "EVI": Family(("K", "d"), "diag", evi, "EVI"),
    "VVI": FAMILIES["diag"],
    "EEE": FAMILIES["tied"],
    "VEE": Family(("K", "d", "d"), "full", vee, "VEE"),
    "EVE": Family(("K", "d", "d"), "full", eve, "EVE"),
    "VVE": Family(("K", "d", "d"), "full", vve, "VVE"),
    "EEV": Family(("K", "d", "d"), "full", eev, "EEV"),
    "VEV": Family(("K", "d", "d"), "full", vev, "VEV"),
    "EVV": Family(("K", "d", "d"), "full", evv, "EVV"),
    "VVV": FAMILIES["full"],
    "common_axes": Family(("K", "d", "d"), "full", common_axes, "VVE"),
}
# Mixtures of factor analyzers (Ghahramani and Hinton 1996). Its moments are taken along directions
# that follow from the parameters before, so that it has a maximization of its own.
LOW_RANK: dict[str, Family] = {"low_rank": Family(("K", "d", "r"), "low_rank")}


def family_of(covariance_type: str) -> Family:
    """Return the row of a covariance type; ValueError if there is no such type."""
    family = FAMILIES.get(covariance_type) or LOW_RANK.get(covariance_type)
    if family is None:
        known = ", ".join([*FAMILIES, *LOW_RANK])
        raise ValueError(f"covariance_type should be one of {known}, but is {covariance_type!r}.")
    return family


def arguments_of_pass(
    parameters: Parameters | Distribution,
) -> tuple[FloatArray, FloatArray, FloatArray, CovarianceType, FloatArray | None]:
    """What the kernels are given after the points; a shared factor stands for each component."""
    log_constants = None
    if isinstance(parameters, Parameters):
        weights, means, _, factors, covariance_type = parameters
    else:
        weights, means = np.ones_like(parameters.weights), parameters.means
        factors, covariance_type = parameters.precisions_cholesky, parameters.covariance_type
        log_constants = parameters.log_constants
    pass_type = family_of(covariance_type).pass_type
    if pass_type != covariance_type:
        factors = np.broadcast_to(factors, family_of(pass_type).shape(*means.shape))
    return weights, means, factors, pass_type, log_constants
