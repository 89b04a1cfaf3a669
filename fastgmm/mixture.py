"""The scikit-learn estimator: what users call; all the mathematics is elsewhere."""

from __future__ import annotations

import math
import warnings
from numbers import Integral, Real
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples, check_is_fitted

from fastgmm import kernels
from fastgmm._em import run_em
from fastgmm._initialization import InitMethod, initial_parameters
from fastgmm._maximization import (
    covariances_from_cholesky,
    n_parameters,
    precisions_from_cholesky,
)
from fastgmm._progress import Progress
from fastgmm._records import (
    COVARIANCE_TYPES,
    CovarianceType,
    EMResult,
    FloatArray,
    Parameters,
    Statistics,
)
from fastgmm._sampling import draw
from fastgmm._threads import blas_on_one_thread
from fastgmm._validation import (
    check_fit_data,
    check_initial_values,
    check_n_samples,
    check_parameters,
    check_predict_data,
    check_sample_weight,
)

__all__ = ["GaussianMixture"]


class GaussianMixture(DensityMixin, BaseEstimator):
    """Gaussian mixture, fitted by expectation-maximization in compiled multicore kernels.

    Takes the place of :class:`sklearn.mixture.GaussianMixture`: the same arguments, attributes
    and methods, and from the same start the same steps to the same result. Adds sample weights,
    and seeds on a subset of large data.

    Parameters
    ----------
    n_components : int, default=1
        Number of components K.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        A covariance matrix for each component, one for all of them, a diagonal one for each, or
        a single variance for each.
    tol : float, default=1e-3
        EM has converged when the mean log-likelihood changes by less.
    reg_covar : float, default=1e-6
        Added to the variances, so that covariances stay positive definite.
    max_iter : int, default=100
        Most iterations of EM; 0 keeps the start.
    n_init : int, default=1
        Number of starts, of which the one with the highest lower bound is kept.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'}, default='kmeans'
        Starting responsibilities: the clusters of k-means, single points chosen by k-means++ or
        at random, or random shares of every point.
    weights_init : array-like of shape (K,), default=None
        Starting proportions, in place of those that `init_params` gives.
    means_init : array-like of shape (K, d), default=None
        Starting means.
    precisions_init : array-like, default=None
        Starting precisions, inverses of the covariances: of shape (K, d, d) for ``'full'``,
        (d, d) for ``'tied'``, (K, d) for ``'diag'``, (K,) for ``'spherical'``.
    random_state : int, RandomState instance or None, default=None
        Seed of the start, and of `sample`.
    warm_start : bool, default=False
        Whether to start from the last fit.
    verbose : int, default=0
        1 prints the iterations, 2 times and changes too.
    verbose_interval : int, default=10
        Iterations between two lines of print.
    init_size : int or None, default=20_000
        With more rows than this, the start is estimated from a random subset of this size (of
        K rows at least); None for all the rows always.

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
        Proportions of the components.
    means_ : ndarray of shape (K, d)
    covariances_ : ndarray
        Of shape (K, d, d) for ``'full'``, (d, d) for ``'tied'``, (K, d) for ``'diag'``, (K,) for
        ``'spherical'``.
    precisions_ : ndarray
        Their inverses.
    precisions_cholesky_ : ndarray
        Upper triangular U with ``precisions_ = U @ U.T``; square roots for ``'diag'`` and
        ``'spherical'``.
    converged_ : bool
        Whether the lower bound settled in the best run.
    n_iter_ : int
        Iterations of the best run.
    lower_bound_ : float
        Mean log-likelihood, per unit of weight, before the last maximization of the best run.
    lower_bounds_ : list of float
        The same for each of its iterations.
    n_features_in_ : int
        Number of features d.
    feature_names_in_ : ndarray of shape (d,)
        Names of the features, where `X` was a data frame whose column names are all strings.

    Notes
    -----
    A sample weight is a multiplicity: a weight of 2 is the sample twice, a weight of 0 its
    absence. All the fitted arrays have the dtype of `X`, float32 or float64.

    References
    ----------
    .. [1] Dempster, Laird and Rubin, Maximum likelihood from incomplete data via the EM
       algorithm, Journal of the Royal Statistical Society B 39 (1977).
    .. [2] Bishop, Pattern Recognition and Machine Learning, Springer (2006), section 9.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture
    >>> X = np.array([[1.0, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> mixture = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> mixture.means_.round(6)
    array([[10.,  2.],
           [ 1.,  2.]])
    >>> mixture.predict([[0, 0], [12, 3]])
    array([1, 0])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions(set(COVARIANCE_TYPES))],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions({"kmeans", "k-means++", "random", "random_from_data"})],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "init_size": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: InitMethod = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        init_size: int | None = 20_000,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.init_size = init_size

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> GaussianMixture:
        """Fit the mixture to the samples.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Samples. float32 and float64 arrays of any memory order are used as they are.
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Multiplicities of the samples.

        Returns
        -------
        self : GaussianMixture
        """
        self._fit(X, sample_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_predict(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> np.ndarray:
        """Fit the mixture and return the most probable component of each sample.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Multiplicities of the samples.

        Returns
        -------
        labels : ndarray of shape (n,)
        """
        X = self._fit(X, sample_weight)
        return kernels.assign(X, *self._arguments(X))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Most probable component of each sample.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        labels : ndarray of shape (n,)
        """
        X = self._check_predict_data(X)
        return kernels.assign(X, *self._arguments(X))

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
        return kernels.responsibilities(X, *self._arguments(X))

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
        X = self._check_predict_data(X)
        weight = check_sample_weight(sample_weight, X)
        log_density = kernels.log_density(X, *self._arguments(X)).astype(np.float64, copy=False)
        return float(np.average(log_density, weights=weight))

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
        return draw(self._parameters(), n_samples, check_random_state(self.random_state))

    def aic(self, X: ArrayLike) -> float:
        """Akaike's information criterion, -2 log-likelihood + 2 parameters: the lower the better.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        aic : float
        """
        return -2 * self.score(X) * _num_samples(X) + 2 * self._n_parameters()

    def bic(self, X: ArrayLike) -> float:
        """Bayesian information criterion, -2 log-likelihood + parameters · log n: lower is better.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        bic : float
        """
        deviance = -2 * self.score(X) * _num_samples(X)
        return deviance + math.log(_num_samples(X)) * self._n_parameters()

    @blas_on_one_thread()
    def _fit(self, X: ArrayLike, sample_weight: ArrayLike | None) -> FloatArray:
        """Validate, run EM from each start, keep the best run; return X as it was used."""
        X, weight = check_fit_data(self, X, sample_weight, self.n_components)
        given = check_initial_values(
            self.weights_init,
            self.means_init,
            self.precisions_init,
            covariance_type=self.covariance_type,
            n_components=self.n_components,
            n_features=X.shape[1],
        )
        resumed = self.warm_start and hasattr(self, "converged_")
        if resumed:
            self._parameters(n_components=self.n_components, n_features=X.shape[1])
        random_state = check_random_state(self.random_state)
        progress = self._progress()

        def expectation(p: Parameters) -> Statistics:
            return kernels.expectation(
                X, p.weights, p.means, p.precisions_cholesky, p.covariance_type, weight
            )

        results = []
        for run in range(1 if resumed else self.n_init):
            progress.run_begins(run)
            if resumed:
                start, lower_bound = self._parameters().astype(X.dtype), self.lower_bound_
            else:
                lower_bound = -np.inf
                start = initial_parameters(
                    X,
                    self.n_components,
                    self.covariance_type,
                    init_params=self.init_params,
                    given=given,
                    reg_covar=self.reg_covar,
                    init_size=self.init_size,
                    random_state=random_state,
                    sample_weight=weight,
                )
            result = run_em(
                expectation,
                start,
                reg_covar=self.reg_covar,
                tol=self.tol,
                max_iter=self.max_iter,
                lower_bound=lower_bound,
                on_iteration=progress.iteration_ends,
            )
            progress.run_ends(result)
            results.append(result)
        # Without iterations no run is better than another and, as in scikit-learn, the last counts.
        best = results[-1] if self.max_iter == 0 else max(results, key=attrgetter("lower_bound"))
        if not best.converged and self.max_iter > 0:
            warnings.warn(
                f"No start converged in max_iter={self.max_iter} iterations. Increase max_iter "
                "or tol, try another init_params, or look for degenerate data.",
                ConvergenceWarning,
                stacklevel=5,
            )
        self._keep(best)
        return X

    def _progress(self) -> Progress:
        """What is told of each step of a fit; the command line puts its display here."""
        return Progress(self.verbose, self.verbose_interval)

    def _keep(self, result: EMResult) -> None:
        """Set the fitted attributes."""
        p = result.parameters
        self.weights_ = p.weights
        self.means_ = p.means
        self.covariances_ = p.covariances
        self.precisions_cholesky_ = p.precisions_cholesky
        self.precisions_ = precisions_from_cholesky(p.precisions_cholesky, p.covariance_type)
        self.converged_ = result.converged
        self.n_iter_ = result.n_iter
        self.lower_bound_ = result.lower_bound
        self.lower_bounds_ = result.lower_bounds

    def _parameters(self, **expected: int) -> Parameters:
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
        p = self._parameters().astype(X.dtype)
        return p.weights, p.means, p.precisions_cholesky, p.covariance_type

    def _check_predict_data(self, X: ArrayLike) -> FloatArray:
        check_is_fitted(self)
        return check_predict_data(self, X, self._parameters().means.shape[1])

    def _n_parameters(self) -> int:
        """Number of free parameters, under scikit-learn's name for it."""
        return n_parameters(self.covariance_type, *self.means_.shape)
