"""Criteria by which mixtures of the highest likelihood are compared."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fastgmm.data.criteria import classification_entropy, mean_log_likelihood
from fastgmm.data.source import Source
from fastgmm.estimator.fitted import PREDICTIONS, FittedMixture
from fastgmm.estimator.hooks import ESTIMATES, originals, overridden
from fastgmm.estimator.validation import check_sample_weight, check_total_weight
from fastgmm.model.families import family_of
from fastgmm.system.threads import on_its_threads


@originals
class MixtureWithCriteria(FittedMixture):
    """Likelihood against the number of parameters, of a mixture that has its parameters."""

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
        return self._deviance(X, sample_weight)[0] + 2 * self._n_parameters()

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
        deviance, n = self._deviance(X, sample_weight)
        return deviance + math.log(n) * self._n_parameters()

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
        if overridden(self, (*PREDICTIONS, "score_samples", "score", "predict_proba")):
            deviance, n = self._deviance(X, sample_weight)
            logarithms = np.log(np.max(self.predict_proba(X), axis=1))
            weight = check_sample_weight(sample_weight, logarithms)
            entropy = -float(np.average(logarithms, weights=weight)) * n
        else:
            source = self._scored(X, sample_weight)
            p = self._of_density().astype(source.dtype)
            mean = mean_log_likelihood(source, p)
            n = _total_weight(source, sample_weight)
            deviance = -2 * mean * n
            entropy = classification_entropy(source, p) * (n / source.total_weight)
        return deviance + math.log(n) * self._n_parameters() + 2 * entropy

    def _deviance(self, X: ArrayLike, sample_weight: ArrayLike | None) -> tuple[float, float]:
        """-2 log-likelihood, and the number of samples or the sum of their weights."""
        if overridden(self, (*ESTIMATES, "score_samples", "score")):
            options = {} if sample_weight is None else {"sample_weight": sample_weight}
            data = self._check_hooks_data(X)
            n = check_total_weight(sample_weight, data)
            return -2 * float(self.score(X, **options)) * n, n
        source = self._scored(X, sample_weight)
        p = self._of_density().astype(source.dtype)
        mean = mean_log_likelihood(source, p)  # before the number of rows is asked for
        n = _total_weight(source, sample_weight)
        return -2 * mean * n, n

    def _n_parameters(self) -> int:
        """Number of free parameters, under scikit-learn's name for it."""
        own = family_of(self.covariance_type).n_parameters(*self.means_.shape)
        return own + 2 * self._has_noise  # its share, and its volume


def _total_weight(source: Source, sample_weight: ArrayLike | None) -> float:
    """Number of samples that count, or the sum of their weights as they were given."""
    if source.sample_weight is None:  # nor are weights of blocks divided by anything
        return source.total_weight
    rows = np.empty(source.n_rows, source.dtype)
    return source.part_that_counts * check_total_weight(sample_weight, rows)
