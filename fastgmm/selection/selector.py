"""An estimator that chooses its mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from fastgmm._records import COVARIANCE_TYPES, CRITERIA, Criterion, FloatArray
from fastgmm.em.results import RepairAction
from fastgmm.estimator.base import attributes_kept_on_failure
from fastgmm.estimator.validation import check_fit_data
from fastgmm.mixture import GaussianMixture
from fastgmm.selection.select import Selection, select_mixture

OF_MIXTURES = (
    "tol",
    "reg_covar",
    "max_iter",
    "reg_covar_relative",
    "rank",
    "prior",
    "shrinkage",
    "on_degenerate",
    "n_jobs",
)


class MixtureSelector(DensityMixin, BaseEstimator):
    """A Gaussian mixture that chooses its number of components and covariance type.

    `select_mixture` for pipelines: predictions are those of the best model. The arguments from
    `tol` on are those of `GaussianMixture`.

    Parameters
    ----------
    n_components : iterable of int, default=(1, 2, 3, 4, 5, 6, 7, 8, 9)
        Numbers of components that are tried.
    covariance_types : sequence of str, default=('full', 'tied', 'diag', 'spherical')
    criterion : {'bic', 'aic', 'icl', 'held-out', 'stability'}, default='bic'
    n_init : int, default=None
        Starts of each cell; None for 1, or 10 for ``'stability'``.
    tol : float, default=1e-3
    reg_covar : float, default=1e-6
    max_iter : int, default=100
    reg_covar_relative : float, default=0.0
    rank : int, default=1
        Of ``'low_rank'``, the number of loadings of each feature.
    prior : 'conjugate' or dict, default=None
    shrinkage : 'oas' or float, default=None
    on_degenerate : {'raise', 'reset', 'drop', 'floor'}, default='raise'
    random_state : int, RandomState instance or None, default=None
    verbose : int, default=0
        1 shows the progress on a terminal.
    n_jobs : int or None, default=None

    Attributes
    ----------
    selection_ : Selection
        The table of what was tried, and its plot.
    best_model_ : GaussianMixture
    best_n_components_ : int
    best_covariance_type_ : str
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)
        Only where `X` was a data frame whose column names are all strings.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from fastgmm import MixtureSelector
    >>> X = np.random.default_rng(0).normal(size=(200, 1)) + [[0.0], [9.0]] * 100
    >>> selector = MixtureSelector(range(1, 4), ["spherical"], random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), selector).fit(X)
    >>> selector.best_n_components_
    2
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{name: GaussianMixture._parameter_constraints[name] for name in OF_MIXTURES},
        "n_components": "no_validation",  # select_mixture says what is wrong
        "covariance_types": "no_validation",
        "criterion": [StrOptions(set(CRITERIA))],
        "n_init": "no_validation",
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # Wide: those of the mixtures.
    def __init__(
        self,
        n_components: Sequence[int] = tuple(range(1, 10)),
        covariance_types: Sequence[str] = COVARIANCE_TYPES,
        criterion: Criterion = "bic",
        *,
        n_init: int | None = None,
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        reg_covar_relative: float = 0.0,
        rank: int = 1,
        prior: Literal["conjugate"] | dict[str, Any] | None = None,
        shrinkage: Literal["oas"] | float | None = None,
        on_degenerate: Literal["raise"] | RepairAction = "raise",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_types = covariance_types
        self.criterion = criterion
        self.n_init = n_init
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.reg_covar_relative = reg_covar_relative
        self.rank = rank
        self.prior = prior
        self.shrinkage = shrinkage
        self.on_degenerate = on_degenerate
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    @attributes_kept_on_failure
    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit all the mixtures, and keep the best.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Multiplicities of the samples.

        Returns
        -------
        self : the estimator
        """
        data, _ = check_fit_data(self, X, sample_weight, 1)
        selection: Selection = select_mixture(
            data,
            self.n_components,
            self.covariance_types,
            self.criterion,
            n_init=self.n_init,
            random_state=self.random_state,
            sample_weight=sample_weight,
            verbose=self.verbose,
            **{name: getattr(self, name) for name in OF_MIXTURES},
        )
        if hasattr(self, "feature_names_in_"):
            selection.best_model_.feature_names_in_ = self.feature_names_in_
        self.selection_ = selection
        return self

    @property
    def best_model_(self) -> GaussianMixture:
        """The best model, fitted to all the data."""
        check_is_fitted(self)
        return self.selection_.best_model_

    @property
    def best_n_components_(self) -> int:
        """Number of components of the best model."""
        check_is_fitted(self)
        return self.selection_.best_n_components_

    @property
    def best_covariance_type_(self) -> str:
        """Covariance type of the best model."""
        check_is_fitted(self)
        return self.selection_.best_covariance_type_

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Most probable component of each sample; see `GaussianMixture.predict`."""
        return self.best_model_.predict(X)

    def fit_predict(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> np.ndarray:
        """Fit, and return the most probable component of each sample."""
        return self.fit(X, y, sample_weight).predict(X)

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Posterior probability of each component; see `GaussianMixture.predict_proba`."""
        return self.best_model_.predict_proba(X)

    def score_samples(self, X: ArrayLike) -> FloatArray:
        """Log-density at each sample; see `GaussianMixture.score_samples`."""
        return self.best_model_.score_samples(X)

    def score(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Mean log-density of the samples; see `GaussianMixture.score`."""
        return self.best_model_.score(X, sample_weight=sample_weight)

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None
    ) -> tuple[FloatArray, np.ndarray]:
        """Draw samples; see `GaussianMixture.sample`."""
        return self.best_model_.sample(n_samples, random_state)
