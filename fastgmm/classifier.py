"""A classifier that has a mixture for each class."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite, check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from fastgmm._records import INIT_METHODS, FloatArray, InitFunction, InitMethod
from fastgmm.em.results import RepairAction
from fastgmm.estimator.base import attributes_kept_on_failure
from fastgmm.estimator.validation import check_fit_data, check_predict_data
from fastgmm.mixture import GaussianMixture
from fastgmm.model.factors import IllDefinedCovariance

__all__ = ["GaussianMixtureClassifier"]

# Arguments of the mixtures, under their own names.
OF_MIXTURES = (
    "n_components", "covariance_type", "tol", "reg_covar", "max_iter", "n_init", "init_params",
    "reg_covar_relative", "rank", "prior", "shrinkage", "on_degenerate", "n_jobs",
)  # fmt: skip


class GaussianMixtureClassifier(ClassifierMixin, BaseEstimator):
    """Classification by Bayes' rule, with a Gaussian mixture for each class.

    With one component it is quadratic discriminant analysis; several follow a class that has
    several shapes. The arguments from `tol` on are those of `GaussianMixture`.

    Parameters
    ----------
    n_components : int, default=1
        Number of components of each class.
    covariance_type : {'full', 'tied', 'diag', 'spherical', 'tied_diag', 'tied_spherical'}, \
default='full'
        ``'tied'`` ones are shared by the components of a class. One with fewer samples than
        features has nothing but `reg_covar` in some directions: ``'diag'``, or a larger
        `reg_covar` or `reg_covar_relative`, keeps it from being certain of everything.
    priors : array-like of shape (n_classes,), default=None
        Probabilities of the classes, in the order of `classes_`; None for their shares of the
        samples.
    tol : float, default=1e-3
    reg_covar : float, default=1e-6
    max_iter : int, default=100
    n_init : int, default=1
    init_params : str or callable, default='kmeans'
    reg_covar_relative : float, default=0.0
        Relative to the variances within a class.
    rank : int, default=1
        Of ``'low_rank'``, the number of loadings of each feature.
    prior : 'conjugate' or dict, default=None
    shrinkage : 'oas' or float, default=None
    on_degenerate : {'raise', 'reset', 'drop', 'floor'}, default='raise'
    random_state : int, RandomState instance or None, default=None
    n_jobs : int or None, default=None

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    class_prior_ : ndarray of shape (n_classes,)
        Probabilities of the classes.
    mixtures_ : list of GaussianMixture
        Fitted, one for each class.
    n_iter_ : int
        Most iterations that a mixture took.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)
        Only where `X` was a data frame whose column names are all strings.

    References
    ----------
    Hastie and Tibshirani, Discriminant analysis by Gaussian mixtures, Journal of the Royal
    Statistical Society B 58 (1996). Fraley and Raftery, Model-based clustering, discriminant
    analysis, and density estimation, Journal of the American Statistical Association 97 (2002).

    Examples
    --------
    >>> from fastgmm import GaussianMixtureClassifier
    >>> X = [[0.0], [1.0], [10.0], [11.0], [4.0], [5.0], [6.0], [7.0]]
    >>> y = ["outside"] * 4 + ["inside"] * 4
    >>> classifier = GaussianMixtureClassifier(2, covariance_type="tied", random_state=0)
    >>> classifier.fit(X, y).predict([[0.2], [5.3], [11.5]])
    array(['outside', 'inside', 'outside'], dtype='<U7')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{name: GaussianMixture._parameter_constraints[name] for name in OF_MIXTURES},
        "init_params": [StrOptions(set(INIT_METHODS)), callable],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "priors": ["array-like", None],
        "reg_covar_relative": [Interval(Real, 0.0, None, closed="left")],
        "random_state": ["random_state"],
    }

    # Wide: those of the mixtures.
    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        priors: ArrayLike | None = None,
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: InitMethod | InitFunction = "kmeans",
        reg_covar_relative: float = 0.0,
        rank: int = 1,
        prior: Literal["conjugate"] | dict[str, Any] | None = None,
        shrinkage: Literal["oas"] | float | None = None,
        on_degenerate: Literal["raise"] | RepairAction = "raise",
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.priors = priors
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.reg_covar_relative = reg_covar_relative
        self.rank = rank
        self.prior = prior
        self.shrinkage = shrinkage
        self.on_degenerate = on_degenerate
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    @attributes_kept_on_failure
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit a mixture to the samples of each class.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,)
            The class of each sample, any labels.
        sample_weight : array-like of shape (n,), default=None
            Multiplicities of the samples. A class without weight is left out.

        Returns
        -------
        self : the classifier

        Raises
        ------
        ValueError
            If a class has fewer samples than components, or priors are not those of the classes.
        """
        if y is None:
            raise ValueError(
                "This GaussianMixtureClassifier estimator requires y to be passed, but the target "
                "y is None."
            )
        data, weight = check_fit_data(self, X, sample_weight, 1)
        labels = column_or_1d(y, warn=True)
        assert_all_finite(labels, input_name="y")
        check_consistent_length(data, labels)
        check_classification_targets(labels)
        weighted = np.ones(len(data), bool) if weight is None else weight > 0
        classes, numbers = np.unique(labels[weighted], return_inverse=True)
        own = [np.flatnonzero(weighted)[numbers == number] for number in range(len(classes))]
        self._check_sizes(classes, own)
        total = [len(rows) if weight is None else weight[rows].sum() for rows in own]
        priors = self._priors(classes, np.asarray(total, np.float64))
        random = check_random_state(self.random_state)
        mixtures = []
        for label, rows in zip(classes, own, strict=True):
            mixture = GaussianMixture(
                **{name: getattr(self, name) for name in OF_MIXTURES},
                random_state=random.randint(np.iinfo(np.int32).max),
            )
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)  # told of below
                    mixture.fit(*_enough(data[rows], None if weight is None else weight[rows]))
            except IllDefinedCovariance as error:
                raise ValueError(f"Class {label!s}: {error}") from error
            mixtures.append(mixture)
        unfinished = [c for c, m in zip(classes, mixtures, strict=True) if not m.converged_]
        if unfinished:
            warnings.warn(
                f"The mixture of class {', '.join(map(str, unfinished))} did not converge in "
                f"{self.max_iter} iterations; increase max_iter or tol.",
                ConvergenceWarning,
                stacklevel=4,
            )
        self.classes_, self.class_prior_, self.mixtures_ = classes, priors, mixtures
        self.n_iter_ = max(mixture.n_iter_ for mixture in mixtures)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Most probable class of each sample.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        labels : ndarray of shape (n,)
        """
        joint = self._joint(X)
        return np.asarray(self.classes_[joint.argmax(axis=1)])

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Posterior probability of each class for each sample.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            Each row sums to 1.
        """
        return np.asarray(np.exp(self.predict_log_proba(X)))

    def predict_log_proba(self, X: ArrayLike) -> FloatArray:
        """Logarithm of the posterior probability of each class for each sample.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        log_probabilities : ndarray of shape (n, n_classes)
        """
        joint = self._joint(X)
        joint -= joint.max(axis=1, keepdims=True)  # far from the data a logarithm would be lost
        joint -= logsumexp(joint, axis=1, keepdims=True)
        return joint.astype(self.mixtures_[0].means_.dtype)

    def score_samples(self, X: ArrayLike) -> FloatArray:
        """Log-density of each sample, whatever its class.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        log_density : ndarray of shape (n,)
        """
        log_density = logsumexp(self._joint(X), axis=1)
        return np.asarray(log_density, self.mixtures_[0].means_.dtype)

    def _joint(self, X: ArrayLike) -> FloatArray:
        """log p(x, class), (n, n_classes), in float64."""
        check_is_fitted(self)
        data = check_predict_data(self, X)
        with np.errstate(divide="ignore"):  # priors may be 0
            priors = np.log(self.class_prior_)
        densities = [mixture.score_samples(data) for mixture in self.mixtures_]
        return np.stack(densities, axis=1).astype(np.float64) + priors

    def _check_sizes(self, classes: np.ndarray, own: list[np.ndarray]) -> None:
        for label, rows in zip(classes, own, strict=True):
            if len(rows) < self.n_components:
                raise ValueError(
                    f"Class {label!s} has {len(rows)} sample(s), fewer than n_components = "
                    f"{self.n_components}; use fewer components, or leave the class out."
                )

    def _priors(self, classes: np.ndarray, totals: FloatArray) -> FloatArray:
        """Probabilities of the classes, as they were given or as the samples have them."""
        if self.priors is None:
            return np.asarray(totals / totals.sum())
        priors = np.asarray(self.priors, np.float64)
        if priors.shape != (len(classes),):
            raise ValueError(
                f"priors has shape {priors.shape}; give one for each of the {len(classes)} classes "
                f"({', '.join(map(str, classes))})."
            )
        if not np.all(priors >= 0) or not np.isclose(priors.sum(), 1.0):
            raise ValueError("priors should be 0 or more and sum to 1; divide them by their sum.")
        return priors


def _enough(X: FloatArray, weight: FloatArray | None) -> tuple[FloatArray, None, FloatArray | None]:
    """What `fit` is given: of a single sample two halves, since it wants two."""
    if len(X) > 1:
        return X, None, weight
    half = np.full(2, 0.5 if weight is None else weight[0] / 2, X.dtype)
    return np.repeat(X, 2, axis=0), None, half
