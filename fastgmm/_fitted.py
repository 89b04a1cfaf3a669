"""What every fitted mixture can do: predict, score, draw, be compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastgmm import kernels
from fastgmm._criteria import classification_entropy, mean_log_likelihood, total_weight
from fastgmm._interchange import set_by_fit
from fastgmm._maximization import covariances_from_cholesky, n_parameters
from fastgmm._memory import check_memory
from fastgmm._records import CovarianceType, FloatArray, Parameters
from fastgmm._sampling import draw
from fastgmm._threads import on_its_threads
from fastgmm._validation import (
    check_n_samples,
    check_parameters,
    check_predict_data,
    check_sample_weight,
)

__all__ = ["FittedMixture", "untouched_by_failure"]

Method = TypeVar("Method", bound=Callable[..., Any])


def untouched_by_failure(method: Method) -> Method:
    """Have a fit that fails, or is interrupted, leave the fitted attributes as they were."""

    @wraps(method)
    def careful(self: Any, *arguments: Any, **options: Any) -> Any:
        before = set_by_fit(self)
        try:
            return method(self, *arguments, **options)
        except BaseException:
            for name in set_by_fit(self):
                delattr(self, name)
            vars(self).update(before)
            raise

    return cast(Method, careful)


class FittedMixture(DensityMixin, BaseEstimator):
    """The methods of a mixture that has its parameters, whatever they were fitted with."""

    covariance_type: CovarianceType
    random_state: int | np.random.RandomState | None
    n_jobs: int | None
    weights_: FloatArray
    means_: FloatArray
    precisions_cholesky_: FloatArray

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Most probable component of each sample.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        labels : ndarray of shape (n,)
        """
        return self._assign(self._check_predict_data(X))

    @on_its_threads
    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Posterior probability of each component for each sample.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        responsibilities : ndarray of shape (n, K)
            Each row sums to 1.
        """
        X = self._check_predict_data(X)
        arguments = self._arguments(X)
        n_bytes = len(X) * len(arguments[0]) * X.itemsize
        check_memory(n_bytes, "The responsibilities", "predict in parts, or use predict")
        return kernels.responsibilities(X, *arguments)

    @on_its_threads
    def score_samples(self, X: ArrayLike) -> FloatArray:
        """Log-density of the mixture at each sample.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        log_density : ndarray of shape (n,)
        """
        X = self._check_predict_data(X)
        return kernels.log_density(X, *self._arguments(X))

    @on_its_threads
    def score(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Mean log-density of the samples.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Weights of the mean.

        Returns
        -------
        log_likelihood : float
        """
        X, weight = self._check_scored(X, sample_weight)
        return mean_log_likelihood(X, self._parameters().astype(X.dtype), weight)

    def sample(self, n_samples: int = 1) -> tuple[FloatArray, np.ndarray]:
        """Draw samples from the mixture.

        Parameters
        ----------
        n_samples : int, default=1

        Returns
        -------
        X : ndarray of shape (n_samples, d)
        components : ndarray of shape (n_samples,)
            The component that each was drawn from; they come in order.
        """
        check_is_fitted(self)
        check_n_samples(n_samples)
        p = self._parameters()
        n_bytes = 16 * n_samples * p.means.shape[1]
        check_memory(n_bytes, "The samples", "draw fewer at a time")
        return draw(p, n_samples, check_random_state(self.random_state))

    @on_its_threads
    def aic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Akaike's information criterion, -2 log-likelihood + 2 parameters: the lower the better.

        Parameters
        ----------
        X : array-like of shape (n, d)
        sample_weight : array-like of shape (n,), default=None
            Multiplicities of the samples.

        Returns
        -------
        aic : float
        """
        X, weight = self._check_scored(X, sample_weight)
        return self._deviance(X, weight) + 2 * self._n_parameters()

    @on_its_threads
    def bic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Bayesian information criterion, -2 log-likelihood + parameters · log n: lower is better.

        Parameters
        ----------
        X : array-like of shape (n, d)
        sample_weight : array-like of shape (n,), default=None
            Multiplicities of the samples; n is their sum.

        Returns
        -------
        bic : float
        """
        return self._bic(*self._check_scored(X, sample_weight))

    @on_its_threads
    def icl(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Integrated completed likelihood: BIC, and a penalty for components that overlap.

        The penalty is -2 Σᵢ log maxₖ rᵢₖ with the responsibilities r [1]_: the lower the better.

        Parameters
        ----------
        X : array-like of shape (n, d)
        sample_weight : array-like of shape (n,), default=None
            Multiplicities of the samples; n is their sum.

        Returns
        -------
        icl : float

        References
        ----------
        .. [1] Biernacki, Celeux and Govaert, Assessing a mixture model for clustering with the
           integrated completed likelihood, IEEE Transactions on Pattern Analysis and Machine
           Intelligence 22 (2000).
        """
        X, weight = self._check_scored(X, sample_weight)
        entropy = classification_entropy(X, self._parameters().astype(X.dtype), weight)
        return self._bic(X, weight) + 2 * entropy

    @on_its_threads
    def _assign(self, X: FloatArray) -> np.ndarray:
        """Most probable component of each row of X, which is checked already."""
        return kernels.assign(X, *self._arguments(X))

    def _parameters(self, **expected: int | None) -> Parameters:
        """The fitted attributes as a record; they may have been set by hand."""
        weights, means, cholesky = check_parameters(
            self.weights_, self.means_, self.precisions_cholesky_, self.covariance_type, **expected
        )
        covariances = getattr(self, "covariances_", None)
        if covariances is None:
            covariances = covariances_from_cholesky(cholesky, self.covariance_type)
        return Parameters(weights, means, covariances, cholesky, self.covariance_type)

    def _arguments(
        self, X: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, CovarianceType]:
        """What the kernels want after X, in X's dtype."""
        return self._parameters().astype(X.dtype).arguments

    def _check_predict_data(self, X: ArrayLike) -> FloatArray:
        check_is_fitted(self)
        return check_predict_data(self, X, self._parameters().means.shape[1])

    def _check_scored(
        self, X: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[FloatArray, FloatArray | None]:
        X = self._check_predict_data(X)
        return X, check_sample_weight(sample_weight, X)

    def _bic(self, X: FloatArray, sample_weight: FloatArray | None) -> float:
        n = total_weight(X, sample_weight)
        return self._deviance(X, sample_weight) + math.log(n) * self._n_parameters()

    def _deviance(self, X: FloatArray, sample_weight: FloatArray | None) -> float:
        """-2 log-likelihood."""
        p = self._parameters().astype(X.dtype)
        return -2 * mean_log_likelihood(X, p, sample_weight) * total_weight(X, sample_weight)

    def _n_parameters(self) -> int:
        """Number of free parameters, under scikit-learn's name for it."""
        return n_parameters(self.covariance_type, *self.means_.shape)
