"""A mixture of the values behind measurements whose errors are known."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import _fit_context

from fastgmm._records import FloatArray
from fastgmm.data.criteria import mean_log_likelihood
from fastgmm.data.source import Source
from fastgmm.data.uncertain import UncertainSource
from fastgmm.estimator.base import EMMixture
from fastgmm.estimator.distribution import MixtureAsDistribution
from fastgmm.estimator.given import check_errors
from fastgmm.estimator.hooks import HOOKS, originals, overridden
from fastgmm.estimator.validation import check_sample_weight
from fastgmm.system.threads import on_its_threads


@originals
class MixtureOfMeasurements(EMMixture, MixtureAsDistribution):
    """`fit` and predictions that take errors; without them they are those of any mixture."""

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        errors: ArrayLike | None = None,
    ) -> Self:
        """Fit the mixture to the samples.

        Parameters
        ----------
        X : array-like of shape (n, d), or data that are read in every pass
            Samples. float32 and float64 arrays of any memory order are used as they are, and so
            are maps of files. Not in memory all at once are the rows of

            - files: a path, a pattern or a list of ``.npy``, Parquet (pyarrow), or text files;
            - what slices by rows, such as a data set of h5py or zarr;
            - blocks: a list of arrays (m, d), or a function without arguments that returns an
              iterator of them. A block may be a pair of rows and their weights.
        y : array-like of shape (n,), default=None
            Known components, with `semi_supervised`; else ignored, except by callbacks.
        sample_weight : array-like of shape (n,) or str, default=None
            Multiplicities of the samples; of files, the name of the column that has them, or its
            number where columns have no names.
        errors : array-like of shape (n, d) or (n, d, d), default=None
            Variances or covariances of the errors that each sample is measured with: the mixture is
            that of the values without errors, by extreme deconvolution [1]_.

        Returns
        -------
        self : the estimator

        References
        ----------
        .. [1] Bovy, Hogg and Roweis, Extreme deconvolution: inferring complete distribution
           functions from noisy, heterogeneous and incomplete observations, Annals of Applied
           Statistics 5 (2011).
        """
        if errors is None:
            return super().fit(X, y, sample_weight)
        return self._fit_measured(X, y, sample_weight, errors)

    def fit_predict(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        errors: ArrayLike | None = None,
    ) -> np.ndarray:
        """Fit the mixture and return the most probable component of each sample.

        Parameters
        ----------
        X : array-like of shape (n, d), or other data that `fit` takes
        y : array-like of shape (n,), default=None
            As of `fit`.
        sample_weight : array-like of shape (n,) or str, default=None
            Multiplicities of the samples; of files, the name of the column that has them, or its
            number where columns have no names.
        errors : array-like of shape (n, d) or (n, d, d), default=None
            Variances or covariances of the errors of the samples.

        Returns
        -------
        labels : ndarray of shape (n,)
        """
        if errors is None:
            return super().fit_predict(X, y, sample_weight)
        return self.fit(X, y, sample_weight, errors=errors).predict(X, errors=errors)

    def predict(self, X: ArrayLike, *, errors: ArrayLike | None = None) -> np.ndarray:
        """Most probable component of each sample.

        Parameters
        ----------
        X : array-like of shape (n, d), or other data that `fit` takes
        errors : array-like of shape (n, d) or (n, d, d), default=None
            Variances or covariances of the errors of the samples.

        Returns
        -------
        labels : ndarray of shape (n,)
            From 0 to K - 1, or -1 for noise, if there is any.
        """
        if errors is None:
            return super().predict(X)
        return np.argmax(self.predict_proba(X, errors=errors), axis=1)

    @on_its_threads
    def predict_proba(self, X: ArrayLike, *, errors: ArrayLike | None = None) -> FloatArray:
        """Posterior probability of each component for each sample.

        Parameters
        ----------
        X : array-like of shape (n, d), or other data that `fit` takes
        errors : array-like of shape (n, d) or (n, d, d), default=None
            Variances or covariances of the errors of the samples.

        Returns
        -------
        responsibilities : ndarray of shape (n, K)
            Each row sums to 1. With noise, that has a further column at the end.
        """
        if errors is None:
            return super().predict_proba(X)
        return self._measured(X, errors).all_responsibilities(self._parameters())

    @on_its_threads
    def score_samples(self, X: ArrayLike, *, errors: ArrayLike | None = None) -> FloatArray:
        """Log-density of the mixture at each sample.

        Parameters
        ----------
        X : array-like of shape (n, d), or other data that `fit` takes
        errors : array-like of shape (n, d) or (n, d, d), default=None
            Variances or covariances of the errors of the samples, which the mixture is convolved
            with.

        Returns
        -------
        log_density : ndarray of shape (n,)
        """
        if errors is None:
            return super().score_samples(X)
        return self._measured(X, errors).log_density(self._parameters())

    @on_its_threads
    def score(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        errors: ArrayLike | None = None,
    ) -> float:
        """Mean log-density of the samples.

        Parameters
        ----------
        X : array-like of shape (n, d), or other data that `fit` takes
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Weights of the mean.
        errors : array-like of shape (n, d) or (n, d, d), default=None
            Variances or covariances of the errors of the samples.

        Returns
        -------
        log_likelihood : float
        """
        if errors is None:
            return super().score(X, y, sample_weight)
        return mean_log_likelihood(self._measured(X, errors, sample_weight), self._parameters())

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit_measured(
        self, X: ArrayLike, y: object, sample_weight: ArrayLike | None, errors: ArrayLike
    ) -> Self:
        self._refuse_errors_elsewhere()
        self._fit(X, y, sample_weight, errors=errors)
        return self

    def _measured(
        self, X: ArrayLike, errors: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> UncertainSource:
        data = self._check_predict_data(X, may_miss=False)
        weight = check_sample_weight(sample_weight, data)
        return UncertainSource(data, check_errors(errors, data), weight)

    def _source_of(
        self, X: FloatArray, sample_weight: FloatArray | None, errors: ArrayLike | None = None
    ) -> Source:
        if errors is None:
            return super()._source_of(X, sample_weight)
        return UncertainSource(X, check_errors(errors, X), sample_weight)

    def _refuse_errors_elsewhere(self) -> None:
        """Refuse what does not know of errors."""
        unknown = {
            "missing='em'": getattr(self, "missing", "raise") == "em",
            "noise": bool(getattr(self, "noise", False)),
            "semi_supervised": getattr(self, "semi_supervised", False),
            **{f"an overridden {name}": True for name in overridden(self, HOOKS)},
        }
        given = [name for name, is_given in unknown.items() if is_given]
        if given:
            raise ValueError(f"errors do not go with {', '.join(given)} yet; leave one out.")
