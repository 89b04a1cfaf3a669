"""What every fitted mixture can do: predict, score, draw, be compared."""

from __future__ import annotations

import warnings
from copy import copy
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastgmm import kernels
from fastgmm._records import CovarianceType, FloatArray, Parameters
from fastgmm.data.criteria import mean_log_likelihood
from fastgmm.data.missing import source_of
from fastgmm.data.source import ArraySource, Source
from fastgmm.estimator.collections import Collection, recognized
from fastgmm.estimator.given import check_parameters
from fastgmm.estimator.hooks import ESTIMATES, MixtureHooks, call, originals, overridden
from fastgmm.estimator.interchange import from_sklearn, to_sklearn
from fastgmm.estimator.notebook import NotebookRepr
from fastgmm.estimator.validation import (
    check_n_features,
    check_n_samples,
    check_predict_data,
    check_sample_weight,
    knows_missing,
)
from fastgmm.model import missing
from fastgmm.model.factors import (
    FROM_PARAMETERS,
    contradictions,
    covariances_from_cholesky,
    upper_factors,
)
from fastgmm.model.families import arguments_of_pass
from fastgmm.model.noise import Noisy
from fastgmm.model.sampling import draw, draw_noisy
from fastgmm.system.callers import level_of_caller
from fastgmm.system.memory import check_memory
from fastgmm.system.threads import on_its_threads

# What probabilities are made of, beside log-densities.
PREDICTIONS = (*ESTIMATES, "_estimate_log_prob_resp")

Mixture = TypeVar("Mixture", bound="FittedMixture")


@originals
class FittedMixture(NotebookRepr, MixtureHooks, DensityMixin, BaseEstimator):
    """The methods of a mixture that has its parameters, whatever they were fitted with.

    Where one of scikit-learn's methods that these are made of there is overridden, they are made
    of it here too.
    """

    _is_in_loop = False  # of scikit-learn, whose hooks set the parameters one after another
    missing = "raise"  # unless an argument says otherwise
    covariance_type: str
    random_state: int | np.random.RandomState | None
    n_jobs: int | None
    weights_: FloatArray
    means_: FloatArray
    precisions_cholesky_: FloatArray

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Most probable component of each sample.

        Parameters
        ----------
        X : array-like of shape (n, d), or other data that `fit` takes

        Returns
        -------
        labels : ndarray of shape (n,)
            From 0 to K - 1, or -1 for noise, if there is any.
        """
        collection = recognized(X)
        if collection is not None:
            return self._mapped(collection, "predict")
        if overridden(self, ESTIMATES):
            data = self._check_hooks_data(X)
            return np.argmax(self._estimate_weighted_log_prob(data), axis=1)
        return self._assign(self._check_predict_data(X))

    @on_its_threads
    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Posterior probability of each component for each sample.

        Parameters
        ----------
        X : array-like of shape (n, d), or other data that `fit` takes

        Returns
        -------
        responsibilities : ndarray of shape (n, K)
            Each row sums to 1. With noise, that has a further column at the end.
        """
        collection = recognized(X)
        if collection is not None:
            return self._mapped(collection, "predict_proba")
        if overridden(self, PREDICTIONS):
            data = self._check_hooks_data(X)
            return np.exp(call(self._estimate_log_prob_resp, data, xp=np)[1])
        X = self._check_predict_data(X)
        n_bytes = len(X) * len(self.weights_) * X.itemsize
        check_memory(n_bytes, "The responsibilities", "predict in parts, or use predict")
        if self.missing == "em" and self._has_missing(X):
            return missing.responsibilities(X, self._parameters())
        return kernels.responsibilities(X, *self._arguments(X))

    @on_its_threads
    def score_samples(self, X: ArrayLike) -> FloatArray:
        """Log-density of the mixture at each sample.

        Parameters
        ----------
        X : array-like of shape (n, d), or other data that `fit` takes

        Returns
        -------
        log_density : ndarray of shape (n,)
        """
        collection = recognized(X)
        if collection is not None:
            return self._mapped(collection, "score_samples")
        if overridden(self, ESTIMATES):
            data = self._check_hooks_data(X)
            return logsumexp(self._estimate_weighted_log_prob(data), axis=1)
        X = self._check_predict_data(X)
        if self.missing == "em" and self._has_missing(X):
            return missing.log_density(X, self._parameters())
        return kernels.log_density(X, *self._arguments(X))

    @on_its_threads
    def score(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Mean log-density of the samples.

        Parameters
        ----------
        X : array-like of shape (n, d), or other data that `fit` takes
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Weights of the mean.

        Returns
        -------
        log_likelihood : float
        """
        if recognized(X) is None and overridden(self, (*ESTIMATES, "score_samples")):
            log_density = np.asarray(self.score_samples(X))
            weight = check_sample_weight(sample_weight, log_density)
            return float(np.average(log_density, weights=weight))
        source = self._scored(X, sample_weight)
        return mean_log_likelihood(source, self._of_density().astype(source.dtype))

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None
    ) -> tuple[FloatArray, np.ndarray]:
        """Draw samples from the mixture.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None
            Seed; None for the mixture's own `random_state`.

        Returns
        -------
        X : ndarray of shape (n_samples, d)
        components : ndarray of shape (n_samples,)
            The component that each was drawn from, -1 for noise; they come in order.
        """
        check_is_fitted(self)
        check_n_samples(n_samples)
        p = self._drawn_from()
        n_bytes = 16 * n_samples * p.means.shape[1]
        check_memory(n_bytes, "The samples", "draw fewer at a time")
        seed = self.random_state if random_state is None else random_state
        generator = check_random_state(seed)
        if self._has_noise:
            return draw_noisy(self._of_density(), n_samples, generator)
        return draw(p, n_samples, generator)

    @classmethod
    def from_sklearn(cls: type[Mixture], model: Any) -> Mixture:
        """Make a mixture of scikit-learn's: same arguments, and fitted if it is.

        Parameters
        ----------
        model : sklearn.mixture.GaussianMixture

        Returns
        -------
        mixture : GaussianMixture

        Raises
        ------
        TypeError
            If `model` is anything else.
        """
        return from_sklearn(cls, model)

    def to_sklearn(self) -> Any:
        """Make scikit-learn's mixture of this one: same arguments, and fitted if it is.

        Arguments that scikit-learn's does not have are left out, and a start that it does not
        know becomes ``'kmeans'``.

        Returns
        -------
        model : sklearn.mixture.GaussianMixture
        """
        return to_sklearn(self)

    @on_its_threads
    def _assign(self, X: FloatArray) -> np.ndarray:
        """Most probable component of each row of X, which is checked already."""
        if self.missing == "em" and self._has_missing(X):
            return missing.assign(X, self._parameters())
        labels = kernels.assign(X, *self._arguments(X))
        if "noise_weight_" in self.__dict__:
            labels[labels == len(self.weights_)] = -1
        return labels

    def _parameters(
        self, n_components: int | None = None, n_features: int | None = None
    ) -> Parameters:
        """The fitted attributes as a record; they may have been set by hand.

        Lower factors become upper ones here, and nowhere else. So it is here that attributes are
        seen to contradict each other: the numbers are then scikit-learn's, with a warning.
        """
        self._require("weights_", "means_", "precisions_cholesky_")
        weights, means, cholesky = check_parameters(
            self.weights_,
            self.means_,
            self.precisions_cholesky_,
            self.covariance_type,
            n_components=n_components,
            n_features=n_features,
        )
        cholesky = upper_factors(cholesky, self.covariance_type)
        covariances = self._covariances_of_shape(cholesky.shape)
        if covariances is None:
            covariances = covariances_from_cholesky(cholesky, self.covariance_type)
        p = Parameters(weights, means, covariances, cholesky, self.covariance_type)
        # Of a start alone not even scikit-learn's weights sum to 1.
        starts = getattr(self, "max_iter", None) == 0
        for contradiction in () if self._is_in_loop else contradictions(p, proportions=not starts):
            warnings.warn(
                f"{contradiction}: predictions and scores are of weights_, means_ and "
                "precisions_cholesky_, samples of covariances_. Change all of them together, in "
                f"the same order of components. {FROM_PARAMETERS}.",
                UserWarning,
                stacklevel=level_of_caller(),
            )
        return p

    def _covariances_of_shape(self, shape: tuple[int, ...]) -> FloatArray | None:
        """Return `covariances_` if there are any, rather than something that keeps their place."""
        covariances = np.asarray(getattr(self, "covariances_", None))
        usable = covariances.shape == shape and covariances.dtype.kind in "fiu"
        return covariances if usable and np.all(np.isfinite(covariances)) else None

    def _require(self, *names: str) -> None:
        """Refuse to go on without these attributes, in a mixture that was made by hand."""
        missing = [name for name in names if getattr(self, name, None) is None]
        if missing:
            raise NotFittedError(
                f"This {type(self).__name__} has no {' nor '.join(missing)}, and needs "
                f"{', '.join(names)}. Fit it, or set them all: {FROM_PARAMETERS}."
            )

    def _drawn_from(self) -> Parameters:
        """Return the parameters, of which samples do not need `precisions_cholesky_`."""
        if getattr(self, "precisions_cholesky_", None) is not None:
            return self._parameters()
        self._require("weights_", "means_", "covariances_")
        arrays = check_parameters(
            *(self.weights_, self.means_, self.covariances_, self.covariance_type),
            third="covariances_",
        )
        return Parameters(*arrays, arrays[-1], self.covariance_type)

    def _arguments(
        self, X: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, CovarianceType, FloatArray | None]:
        """What the kernels want after X, in X's dtype."""
        return arguments_of_pass(self._of_density().astype(X.dtype))

    def _of_density(self) -> Any:
        """What densities are of; other estimators know more than `Parameters`."""
        if "noise_weight_" not in self.__dict__:
            return self._parameters()
        noise: Any = self
        return Noisy(
            self._parameters(), noise.noise_weight_, noise.noise_log_volume_, noise.noise_box_
        )

    @property
    def _has_noise(self) -> bool:
        return "noise_weight_" in self.__dict__

    def _check_predict_data(self, X: ArrayLike, *, may_miss: bool | None = None) -> FloatArray:
        check_is_fitted(self)
        self._require("weights_", "means_", "precisions_cholesky_")
        return check_predict_data(self, X, np.shape(self.means_)[-1], may_miss=may_miss)

    def _has_missing(self, X: FloatArray) -> bool:
        """Whether values are missing, which costs a look at all."""
        return bool(np.isnan(X).any())

    def _check_hooks_data(self, X: ArrayLike) -> FloatArray:
        """Check X alone: what there is of a mixture's attributes, the hooks know."""
        check_is_fitted(self)
        return check_predict_data(self, X)

    def _mapped(self, collection: Collection, method: str) -> Any:
        """What a method makes of the rows of a collection, whose features are compared first."""
        check_is_fitted(self)
        self._check_knows_collections()
        model = copy(self)  # what is lazy is of the mixture as it is now
        if hasattr(self, "feature_names_in_"):  # arrays have no names
            collection = collection.of_features(list(self.feature_names_in_))
            del model.feature_names_in_
        return collection.map(getattr(model, method))

    def _check_knows_collections(self) -> None:
        """Refuse what is for arrays alone."""
        if knows_missing(self):
            raise ValueError(
                "missing='em' is for arrays, as patterns of missing values are of all rows; pass "
                "an array, or impute and pass what has no holes."
            )

    def _scored(self, X: ArrayLike, sample_weight: ArrayLike | None) -> Source:
        collection = recognized(X)
        if collection is not None:
            return self._scored_collection(collection, sample_weight)
        data = self._check_predict_data(X)
        source = self._source_of(data, check_sample_weight(sample_weight, data))
        if source.total_weight == 0:
            raise ValueError("No row of X has weight and an observed value; there is no score.")
        return source

    def _scored_collection(self, collection: Collection, sample_weight: Any) -> Source:
        check_is_fitted(self)
        self._require("weights_", "means_", "precisions_cholesky_")
        self._check_knows_collections()
        own = overridden(self, (*ESTIMATES, "score_samples"))
        if own:
            raise ValueError(
                f"{', '.join(own)} of {type(self).__name__} is overridden, so that a score is of "
                "arrays alone; pass an array, or the mean of score_samples."
            )
        if hasattr(self, "feature_names_in_"):
            collection = collection.of_features(list(self.feature_names_in_))
        source = collection.source(sample_weight, self.n_jobs)
        check_n_features(source.n_features, np.shape(self.means_)[-1])
        return source

    def _source_of(self, X: FloatArray, sample_weight: FloatArray | None) -> Source:
        return (source_of if knows_missing(self) else ArraySource)(X, sample_weight)
