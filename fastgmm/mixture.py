"""The scikit-learn estimator: what users call; all the mathematics is elsewhere."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from fastgmm import kernels
from fastgmm._records import (
    COVARIANCE_TYPES,
    INIT_METHODS,
    CovarianceType,
    FloatArray,
    InitFunction,
    InitMethod,
    Parameters,
    Statistics,
)
from fastgmm.data.criteria import mean_log_likelihood
from fastgmm.data.moments import spread_of
from fastgmm.em.degeneracy import Caretaker
from fastgmm.em.initialization import initial_parameters
from fastgmm.em.loop import run_em
from fastgmm.em.progress import Progress
from fastgmm.em.restarts import best_of_starts
from fastgmm.em.results import EMResult, Iteration, RepairAction, Status
from fastgmm.estimator.callbacks import CallbackSupport, callbacks_of
from fastgmm.estimator.fitted import FittedMixture, untouched_by_failure
from fastgmm.estimator.hooks import HOOKS, fit_with_hooks, originals, overridden
from fastgmm.estimator.interchange import fitted_attributes, in_scikit_learns_place, is_kept
from fastgmm.estimator.validation import (
    check_fit_data,
    check_given_parameters,
    check_init_params,
    check_initial_values,
    check_magnitude,
)
from fastgmm.model.maximization import IllDefinedCovariance, precisions_cholesky_from_covariances
from fastgmm.system.memory import bytes_of_fit, check_memory
from fastgmm.system.threads import blas_on_one_thread, on_its_threads

__all__ = ["GaussianMixture"]

# Numbers whose size is looked at before a fit; that of more only after it has failed.
CHECKED_FIRST = 2**20


@originals
@in_scikit_learns_place
class GaussianMixture(CallbackSupport, FittedMixture):
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
    init_params : str, callable or array-like, default='kmeans'
        The start. ``'kmeans'``: the clusters of k-means. ``'k-means++'``, ``'random_from_data'``:
        single points, chosen by k-means++ or at random. ``'random'``: random shares of every
        point. ``'random_means'``: points chosen at random are the means, and every component has
        the covariance of all the data. An array of shape (n, K) holds responsibilities, one of
        shape (n,) labels from 0 to K - 1. A function takes the rows to start from, K and a
        RandomState, and returns either.
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
        K rows at least); None for all the rows always. An array in `init_params` is for all.
    init_whiten : bool, default=False
        Whether k-means and k-means++ see the data whitened, so that neither the scales of the
        features nor their correlations matter.
    fit_history : bool, default=False
        Whether to keep the parameters of every iteration, in `fit_history_`.
    reg_covar_relative : float, default=0.0
        Times the variances of the data, added to those of the components: a floor that knows
        the scales of the features.
    on_degenerate : {'raise', 'reset', 'drop', 'floor'}, default='raise'
        What to do about a component that has collapsed, onto too few samples for its covariance
        or onto one, or that is empty. ``'raise'``: as scikit-learn, raise where a covariance is
        not positive definite after `reg_covar` is added, and go on otherwise. ``'reset'``: start
        it again at the worst-explained samples, with the covariance of all the data, and drop
        what collapses time and again. ``'drop'``: leave it out, so that there are fewer
        components. ``'floor'``: add a millionth of the data's variances to its own. Where all
        components have collapsed, there is nothing to reset or to drop.
    keep_on_interrupt : bool, default=False
        Whether Ctrl-C ends a fit with the last complete iteration and a warning, rather than
        leave the estimator as it was and raise KeyboardInterrupt.
    n_jobs : int, default=None
        Threads of the kernels: None for numba's number of threads, -1 for all, -2 for all but one.

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
        Whether the lower bound changed by less than `tol` in the last iteration of the best run,
        up or down.
    n_iter_ : int
        Iterations of the best run.
    lower_bound_ : float
        Mean log-likelihood, per unit of weight, before the last maximization of the best run.
    lower_bounds_ : list of float
        The same for each of its iterations.
    log_likelihood_ : float
        Mean log-likelihood, per unit of weight, of the data under the fitted parameters, which
        come after `lower_bound_`; NaN where there were no data or no time.
    largest_fall_ : float
        The most that the lower bound fell from one iteration of the best run to the next, as it
        may where `reg_covar` is not small beside the variances; 0 if it never did. What a repair
        changes does not count.
    degenerate_components_ : ndarray of int
        The components that are empty or have collapsed: the data give them no extent in some
        direction, where they have nothing but what `reg_covar` or a repair adds.
    fit_history_ : list of Parameters
        With `fit_history`, the start and the parameters after each iteration of the best run;
        empty without.
    repairs_ : list of Repair
        What was done about degenerate components in the best run: each has `n_iter`, the
        iteration, `components`, their numbers at that time, and `action`.
    n_features_in_ : int
        Number of features d.
    feature_names_in_ : ndarray of shape (d,)
        Names of the features, where `X` was a data frame whose column names are all strings.

    Notes
    -----
    A sample weight is a multiplicity: a weight of 2 is the sample twice, a weight of 0 its
    absence. All the fitted arrays have the dtype of `X`, float32 or float64.

    A start that fails, because a covariance is not positive definite, is left out with a warning
    if there are others. With scikit-learn 1.9 or later, `set_callbacks` takes its callbacks; each
    task of the fit is a start, each task of a start an iteration.

    Sparse matrices are refused on purpose, and so are the arrays of other libraries where array
    API dispatch is on: the kernels read dense memory of the processor.

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
        "init_params": [StrOptions(set(INIT_METHODS)), callable, "array-like"],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "init_size": [Interval(Integral, 1, None, closed="left"), None],
        "init_whiten": ["boolean"],
        "fit_history": ["boolean"],
        "reg_covar_relative": [Interval(Real, 0.0, None, closed="left")],
        "on_degenerate": [StrOptions({"raise", "reset", "drop", "floor"})],
        "keep_on_interrupt": ["boolean"],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
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
        init_params: InitMethod | InitFunction | ArrayLike = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        init_size: int | None = 20_000,
        init_whiten: bool = False,
        fit_history: bool = False,
        reg_covar_relative: float = 0.0,
        on_degenerate: Literal["raise"] | RepairAction = "raise",
        keep_on_interrupt: bool = False,
        n_jobs: int | None = None,
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
        self.init_whiten = init_whiten
        self.fit_history = fit_history
        self.reg_covar_relative = reg_covar_relative
        self.on_degenerate = on_degenerate
        self.keep_on_interrupt = keep_on_interrupt
        self.n_jobs = n_jobs

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
            Except by callbacks.
        sample_weight : array-like of shape (n,), default=None
            Multiplicities of the samples.

        Returns
        -------
        self : GaussianMixture
        """
        if overridden(self, ["fit_predict"]):  # as in scikit-learn, where it does the work
            options = {} if sample_weight is None else {"sample_weight": sample_weight}
            self.fit_predict(X, y, **options)
        elif overridden(self, HOOKS):
            self._fit_with_hooks(X, sample_weight)
        else:
            self._fit(X, y, sample_weight)
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
        if overridden(self, HOOKS):
            return self._fit_with_hooks(X, sample_weight)
        return self._assign(self._fit(X, y, sample_weight))

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        covariance_type: CovarianceType = "full",
    ) -> GaussianMixture:
        """Make a fitted mixture of given parameters, without data.

        Parameters
        ----------
        weights : array-like of shape (K,)
            Proportions, which sum to 1.
        means : array-like of shape (K, d)
        covariances : array-like
            Of shape (K, d, d) for ``'full'``, (d, d) for ``'tied'``, (K, d) for ``'diag'``, (K,)
            for ``'spherical'``.
        covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'

        Returns
        -------
        mixture : GaussianMixture

        Raises
        ------
        ValueError
            If shapes do not fit together, weights do not sum to 1, or a covariance is not
            positive definite.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> means, variances = [[0.0], [3.0]], [1.0, 0.25]
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], means, variances, "spherical")
        >>> mixture.predict([[0.5], [2.9]])
        array([0, 1])
        """
        weights, means, covariances = check_given_parameters(
            weights, means, covariances, covariance_type
        )
        cholesky = precisions_cholesky_from_covariances(covariances, covariance_type)
        p = Parameters(weights, means, covariances, cholesky, covariance_type).astype(means.dtype)
        mixture = cls(len(means), covariance_type=covariance_type)
        mixture.n_features_in_ = means.shape[1]
        mixture._keep(EMResult(p, Status.INITIALIZED), log_likelihood=math.nan)
        return mixture

    @untouched_by_failure
    @blas_on_one_thread()
    @on_its_threads
    def _fit_with_hooks(self, X: ArrayLike, sample_weight: ArrayLike | None) -> np.ndarray:
        """Run scikit-learn's loop, with those of its methods that are overridden; return labels."""
        return fit_with_hooks(self, X, sample_weight)

    @untouched_by_failure
    @blas_on_one_thread()
    @on_its_threads
    def _fit(self, X: ArrayLike, y: object, sample_weight: ArrayLike | None) -> FloatArray:
        """Validate, run EM from each start, keep the best run; return X as it was used."""
        X, weight = check_fit_data(self, X, sample_weight, self.n_components)
        n_seen = len(X) if self.init_size is None else min(len(X), self.init_size)
        shape = n_seen, self.n_components, X.shape[1]
        n_bytes = bytes_of_fit(*shape, self.covariance_type, X.itemsize)
        check_memory(n_bytes, "The fit", "use fewer components, features or covariance_type='diag'")
        if X.size <= CHECKED_FIRST:
            check_magnitude(X)
        given = check_initial_values(
            self.weights_init,
            self.means_init,
            self.precisions_init,
            covariance_type=self.covariance_type,
            n_components=self.n_components,
            n_features=X.shape[1],
        )
        init_params = check_init_params(self.init_params, len(X), self.n_components, X.dtype)
        resumed = self.warm_start and hasattr(self, "converged_")
        if resumed:
            K = None if self.on_degenerate == "drop" else self.n_components
            self._parameters(n_components=K, n_features=X.shape[1])
        random_state = check_random_state(self.random_state)
        n_starts = 1 if resumed or isinstance(init_params, np.ndarray) else self.n_init
        callbacks = callbacks_of(self, X, y, weight, n_starts, fitted_attributes)

        reg_covar: float | FloatArray = self.reg_covar
        if self.reg_covar_relative > 0:
            spread = spread_of(X, weight, self.covariance_type)
            reg_covar = reg_covar + self.reg_covar_relative * spread.variances
        finished: list[tuple[EMResult, Caretaker]] = []  # the best run so far

        def expectation(p: Parameters) -> Statistics:
            return kernels.expectation(X, *p.arguments, weight)

        def keep_better(result: EMResult, caretaker: Caretaker) -> None:
            if not finished or result.lower_bound > finished[0][0].lower_bound:
                finished[:] = [(result, caretaker)]

        def run(on_iteration: Callable[[Iteration], bool]) -> EMResult:
            caretaker = Caretaker(self.on_degenerate, X, weight, self.covariance_type, reg_covar)
            if resumed:
                start = self._parameters().astype(X.dtype)
            else:
                start = initial_parameters(
                    X,
                    self.n_components,
                    self.covariance_type,
                    init_params=init_params,
                    given=given,
                    reg_covar=reg_covar,
                    repair=caretaker.complete,
                    init_size=self.init_size,
                    random_state=random_state,
                    sample_weight=weight,
                    whiten=self.init_whiten,
                )
            result = run_em(
                expectation,
                start,
                complete=caretaker.complete,
                tol=self.tol,
                max_iter=self.max_iter,
                lower_bound=self.lower_bound_ if resumed else -np.inf,
                on_iteration=on_iteration,
                keep_history=self.fit_history,
                keep_on_interrupt=self.keep_on_interrupt,
                on_result=lambda result: keep_better(result, caretaker),
            )
            return caretaker.account_for(result)

        kept: EMResult | None = None
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused
                outcome = best_of_starts(
                    n_starts, run, [self._progress(), *callbacks], self.keep_on_interrupt
                )
            kept = outcome.best
            self._keep(kept, self._log_likelihood(X, kept, weight))
            for watcher in callbacks:
                watcher.fit_ends(kept)
            for warning in outcome.warnings(n_starts, self.tol):
                warnings.warn(warning, ConvergenceWarning, stacklevel=7)
        except IllDefinedCovariance:
            check_magnitude(X)
            raise
        except KeyboardInterrupt:
            if not (self.keep_on_interrupt and (kept or finished)):
                raise
            if kept is None:
                kept = finished[0][1].account_for(finished[0][0])
            if not is_kept(self, kept):
                self._keep(kept, self._log_likelihood(X, kept, weight))
        return X

    def _log_likelihood(
        self, X: FloatArray, result: EMResult, sample_weight: FloatArray | None
    ) -> float:
        """Of the result; NaN if an interruption leaves no time for it."""
        try:
            return mean_log_likelihood(X, result.parameters, sample_weight)
        except KeyboardInterrupt:
            if not self.keep_on_interrupt:
                raise
            return math.nan

    def _progress(self) -> Progress:
        """What is told of each step of a fit; the command line puts its display here."""
        return Progress(self.verbose, self.verbose_interval)

    def _keep(self, result: EMResult, log_likelihood: float) -> None:
        """Set the fitted attributes."""
        self.__dict__.update(fitted_attributes(result, log_likelihood))  # all or none
