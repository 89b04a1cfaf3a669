"""What a fitted mixture says as a distribution: entropy, divergence, outliers, Fisher vectors."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Iterator
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2
from sklearn.utils import check_random_state

from fastgmm import kernels
from fastgmm._records import FloatArray
from fastgmm.data.source import ArraySource
from fastgmm.estimator.components import MixtureOfComponents
from fastgmm.estimator.fitted import PREDICTIONS, FittedMixture
from fastgmm.estimator.hooks import ESTIMATES, overridden
from fastgmm.estimator.interchange import COUNTERPARTS, Peer, from_sklearn
from fastgmm.estimator.validation import check_n_samples
from fastgmm.model.families import arguments_of_pass, family_of
from fastgmm.model.information import (
    by_feature,
    divergence,
    entropy,
    fisher_vector,
    statistics_of_shares,
)
from fastgmm.model.sampling import draw
from fastgmm.system.threads import on_its_threads

# Of integrals without a closed form: points that are drawn, and those in memory at a time.
N_SAMPLES, AT_ONCE = 100_000, 2**22
Seed = int | np.random.RandomState | None


class MixtureAsDistribution(MixtureOfComponents):
    """Integrals over the density of a mixture that has its parameters, and what follows."""

    @overload
    def entropy(
        self, n_samples: int = ..., random_state: Seed = ..., *, return_std: Literal[False] = ...
    ) -> float: ...
    @overload
    def entropy(
        self, n_samples: int = ..., random_state: Seed = ..., *, return_std: Literal[True]
    ) -> tuple[float, float]: ...
    @on_its_threads
    def entropy(
        self,
        n_samples: int = N_SAMPLES,
        random_state: Seed = None,
        *,
        return_std: bool = False,
    ) -> float | tuple[float, float]:
        """Differential entropy of the mixture, -∫ p log p, in nats.

        Exact for one component; the mean over points that are drawn from the mixture otherwise, as
        there is no closed form.

        Parameters
        ----------
        n_samples : int, default=100_000
            Points that are drawn. The error falls with their square root.
        random_state : int, RandomState instance or None, default=None
            Seed; None for the mixture's own `random_state`.
        return_std : bool, default=False
            Whether to return the standard error, too.

        Returns
        -------
        entropy : float
        standard_error : float
            If `return_std`; 0 for one component.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> GaussianMixture.from_parameters([1.0], [[0.0]], [1.0], "spherical").entropy()
        1.4189385332046727
        """
        p = self._checked_parameters()
        if len(p.means) == 1 and self._is_plain:
            return (entropy(p), 0.0) if return_std else entropy(p)
        densities = [self._log_density(X) for X in self._drawn(n_samples, random_state)]
        return _mean(-np.concatenate(densities), return_std)

    @overload
    def kl_divergence(
        self,
        other: Any,
        n_samples: int = ...,
        random_state: Seed = ...,
        *,
        return_std: Literal[False] = ...,
    ) -> float: ...
    @overload
    def kl_divergence(
        self,
        other: Any,
        n_samples: int = ...,
        random_state: Seed = ...,
        *,
        return_std: Literal[True],
    ) -> tuple[float, float]: ...
    @on_its_threads
    def kl_divergence(
        self,
        other: Any,
        n_samples: int = N_SAMPLES,
        random_state: Seed = None,
        *,
        return_std: bool = False,
    ) -> float | tuple[float, float]:
        """Kullback-Leibler divergence from this mixture p to another q, ∫ p log(p / q), in nats.

        Exact where both have one component; the mean over points that are drawn from this mixture
        otherwise, or 0 where that is less.

        Parameters
        ----------
        other : GaussianMixture
            Of the same features; also scikit-learn's.
        n_samples : int, default=100_000
            Points that are drawn. The error falls with their square root.
        random_state : int, RandomState instance or None, default=None
            Seed; None for the mixture's own `random_state`.
        return_std : bool, default=False
            Whether to return the standard error, too.

        Returns
        -------
        divergence : float
        standard_error : float
            If `return_std`; 0 where the divergence is exact.

        Raises
        ------
        TypeError
            If `other` is not a mixture.
        ValueError
            If it is of other features.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> one = GaussianMixture.from_parameters([1.0], [[0.0]], [1.0], "spherical")
        >>> other = GaussianMixture.from_parameters([1.0], [[2.0]], [1.0], "spherical")
        >>> one.kl_divergence(other)
        2.0
        """
        p, theirs = self._checked_parameters(), self._comparable(other)
        q = theirs._checked_parameters()
        if len(p.means) == len(q.means) == 1 and self._is_plain and theirs._is_plain:
            return (divergence(p, q), 0.0) if return_std else divergence(p, q)
        ratios = [
            self._log_density(X) - theirs._log_density(X)
            for X in self._drawn(n_samples, random_state)
        ]
        return _mean(np.concatenate(ratios), return_std, least=0.0)

    @on_its_threads
    def outlier_score(
        self,
        X: ArrayLike,
        quantile: float | None = None,
        *,
        n_samples: int = N_SAMPLES,
        random_state: Seed = None,
    ) -> FloatArray:
        """How unlikely each sample is: its negative log-density, the higher the more outlying.

        With a `quantile`, the threshold is subtracted: scores above 0 are of samples that lie
        outside the region of highest density that holds this share of the mixture. The threshold
        does not depend on `X`. It is exact for one component, and otherwise that of points that are
        drawn from the mixture.

        Parameters
        ----------
        X : array-like of shape (n, d)
        quantile : float, default=None
            Within (0, 1): 0.99 takes 1 in 100 samples of the mixture for outliers.
        n_samples : int, default=100_000
            Points that are drawn for the threshold.
        random_state : int, RandomState instance or None, default=None
            Seed; None for the mixture's own `random_state`.

        Returns
        -------
        scores : ndarray of shape (n,)

        Raises
        ------
        ValueError
            If the quantile is not between 0 and 1.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0.0]], [1.0], "spherical")
        >>> mixture.outlier_score([[0.0], [1.9], [2.1]], quantile=0.95) > 0
        array([False, False,  True])
        """
        if quantile is not None and not 0 < quantile < 1:
            raise ValueError(
                f"quantile should be a number between 0 and 1, such as 0.99; got {quantile!r}."
            )
        if self._has_noise:  # which an outlier would be
            scores = -self._log_density(self._check_predict_data(X))
        else:
            scores = -np.asarray(self.score_samples(X))
        if quantile is None:
            return scores
        p = self._checked_parameters()
        if len(p.means) == 1 and self._is_plain:
            d = p.means.shape[1]
            # Squared distances are as χ² with d degrees of freedom, whose mean is d.
            return scores - (entropy(p) + 0.5 * (float(chi2.ppf(quantile, d)) - d))
        drawn = [-self._log_density(X) for X in self._drawn(n_samples, random_state)]
        return scores - float(np.quantile(np.concatenate(drawn), quantile))

    @on_its_threads
    def fisher_vector(self, X: ArrayLike, *, improved: bool = False) -> FloatArray:
        """Fisher vector of samples: how the mixture would have to change to fit them better.

        The gradients of their mean log-likelihood by the parameters, each divided by the root of
        its Fisher information [1]_. It describes a set of any size by one vector, such as the
        local descriptors of an image.

        Parameters
        ----------
        X : array-like of shape (n, d)
        improved : bool, default=False
            Whether each element is replaced by its signed root, and the whole scaled to length 1.

        Returns
        -------
        vector : ndarray of shape (K + 2 K d,)
            Gradients by the weights (K), the means (K, d) and the standard deviations (K, d).

        Raises
        ------
        ValueError
            If the covariances have off-diagonal elements.

        References
        ----------
        .. [1] Sánchez, Perronnin, Mensink and Verbeek, Image classification with the Fisher
           vector, International Journal of Computer Vision 105 (2013).

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0.0]], [4.0], "spherical")
        >>> mixture.fisher_vector([[2.0], [4.0]]).round(3)
        array([0.   , 1.5  , 1.061])
        """
        family = family_of(self.covariance_type)
        if family.is_matrix or family.has_loadings:
            raise ValueError(
                f"Fisher vectors need a variance for each feature, and covariance_type is "
                f"{self.covariance_type!r}; fit with covariance_type='diag'."
            )
        data = self._check_predict_data(X, may_miss=False)
        p = by_feature(self._checked_parameters()).astype(data.dtype)
        if overridden(self, PREDICTIONS):
            statistics = statistics_of_shares(p, data, np.asarray(self.predict_proba(X)))
        else:
            statistics = ArraySource(data).expectation(p)
        vector = fisher_vector(p, statistics)
        if improved:
            vector = np.sign(vector) * np.sqrt(np.abs(vector))
            length = np.linalg.norm(vector)
            vector = vector / length if length > 0 else vector
        return vector.astype(data.dtype)

    def _comparable(self, other: Any) -> MixtureAsDistribution:
        """Return another mixture as one of ours, of the same features."""
        if isinstance(other, Peer) and not isinstance(other, FittedMixture):
            other = from_sklearn(COUNTERPARTS[Peer], other)
        if not isinstance(other, MixtureAsDistribution):
            raise TypeError(
                f"A mixture is compared with another one; got {type(other).__name__}. "
                "GaussianMixture.from_parameters makes one of given parameters."
            )
        n_own, n_other = (mixture._checked_parameters().means.shape[1] for mixture in (self, other))
        own, theirs = (getattr(mixture, "feature_names_in_", None) for mixture in (self, other))
        if n_own != n_other:
            raise ValueError(
                f"The mixtures have {n_own} and {n_other} features; compare those of the same "
                "ones, such as marginals."
            )
        if own is not None and theirs is not None and list(own) != list(theirs):
            raise ValueError(
                f"The features of this mixture are {', '.join(own)}, and those of the other one "
                f"{', '.join(theirs)}; bring them into the same order by marginal."
            )
        return other

    def _drawn(self, n_samples: int, random_state: Seed) -> Iterator[FloatArray]:
        """Draw points, so many at a time that they need no memory to speak of."""
        try:
            n_left = operator.index(n_samples)
        except TypeError:
            raise TypeError(f"n_samples should be an integer; got {n_samples!r}.") from None
        check_n_samples(n_left)
        p = self._checked_parameters()
        random = check_random_state(self.random_state if random_state is None else random_state)
        step = max(1, AT_ONCE // p.means.shape[1])
        while n_left > 0:
            yield draw(p, min(step, n_left), random)[0]
            n_left -= step

    @property
    def _is_plain(self) -> bool:
        """Whether the density is that of the parameters, and no method of a subclass says more."""
        return not overridden(self, (*ESTIMATES, "score_samples"))

    def _log_density(self, X: FloatArray) -> FloatArray:
        """Log-densities in float64 of points that need no check."""
        if not self._is_plain:
            with warnings.catch_warnings():  # the points come from the mixture
                warnings.filterwarnings("ignore", "X does not have valid feature names")
                return np.asarray(self.score_samples(X), np.float64)
        return kernels.log_density(X, *arguments_of_pass(self._parameters().astype(X.dtype)))


def _mean(
    values: FloatArray, return_std: bool, least: float = -math.inf
) -> float | tuple[float, float]:
    mean = max(float(values.mean()), least)
    if not return_std:
        return mean
    return mean, float(values.std() / math.sqrt(len(values)))
