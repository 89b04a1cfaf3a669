"""The estimator of variational Bayes: arguments, documentation, priors from the data."""

from __future__ import annotations

import math
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.mixture._bayesian_mixture import BayesianGaussianMixture as Peer
from sklearn.utils._param_validation import Interval, StrOptions

from fastgmm._records import (
    COVARIANCE_TYPES,
    INIT_METHODS,
    InitFunction,
    InitialValues,
    InitMethod,
    Parameters,
)
from fastgmm.data.source import Source
from fastgmm.em.results import EMResult, Status
from fastgmm.estimator.base import EMMixture
from fastgmm.estimator.hooks import HOOKS, originals, overridden
from fastgmm.estimator.interchange import in_scikit_learns_place
from fastgmm.estimator.priors import check_priors, covariance_of_data
from fastgmm.mixture import GaussianMixture
from fastgmm.model.bayes import Concentration, ConcentrationType, Posterior, VariationalBayes
from fastgmm.model.families import family_of
from fastgmm.model.priors import NormalWishart

__all__ = ["BayesianGaussianMixture"]

# Arguments of `GaussianMixture` that have no meaning here.
NOT_OF_BAYES = (
    "weights_init", "means_init", "precisions_init", "on_degenerate", "rank", "prior", "shrinkage",
    "missing", "noise", "semi_supervised", "freeze", "growing_samples", "step_size",
)  # fmt: skip
# Fields of a posterior beyond those of a mixture, by the names of their attributes.
OF_POSTERIOR = ("weight_concentration_", "mean_precision_", "degrees_of_freedom_")


@originals
@partial(in_scikit_learns_place, peer=Peer)
class BayesianGaussianMixture(EMMixture):
    """Gaussian mixture with priors, fitted by variational Bayes in compiled multicore kernels.

    Takes the place of :class:`sklearn.mixture.BayesianGaussianMixture`: the same arguments,
    attributes and methods, and from the same start the same steps to the same result. The posterior
    of a component that the data do not need goes back to its prior, so that `n_components` is only
    the largest number. Adds sample weights, and seeds on a subset of large data.

    Parameters
    ----------
    n_components : int, default=1
        The largest number of components K.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
    tol : float, default=1e-3
        It has converged when the lower bound of the evidence, a sum over all samples, changes by
        less.
    reg_covar : float, default=1e-6
        Added to the variances of the samples of a component.
    max_iter : int, default=100
    n_init : int, default=1
        Number of starts, of which the one with the highest lower bound is kept.
    init_params : str, callable or array-like, default='kmeans'
        The start, as of `GaussianMixture`.
    weight_concentration_prior_type : {'dirichlet_process', 'dirichlet_distribution'}, \
default='dirichlet_process'
        The prior of the weights: by breaking a stick, which puts the heavy components first, or
        alike for all.
    weight_concentration_prior : float, default=None
        Its concentration, more than 0: the lower, the fewer components have weight. None for 1 / K.
    mean_precision_prior : float, default=None
        How many samples the prior of a mean is worth; None for 1.
    mean_prior : array-like of shape (d,), default=None
        Prior of the means; None for the mean of the data.
    degrees_of_freedom_prior : float, default=None
        Of the Wishart distributions of the precisions, more than d - 1; None for d.
    covariance_prior : float or array-like, default=None
        Prior of the covariances: (d, d) for ``'full'`` and ``'tied'``, (d,) for ``'diag'``, a
        number for ``'spherical'``. None for the covariance of the data.
    random_state : int, RandomState instance or None, default=None
        Seed of the start, and of `sample`.
    warm_start : bool, default=False
        Whether to start from the last fit.
    verbose : int, default=0
        1 prints the iterations, 2 times and changes too.
    verbose_interval : int, default=10
        Iterations between two lines of print.
    init_size : int or None, default=20_000
        With more rows than this, the start is estimated from a random subset of this size; None for
        all the rows always.
    init_whiten : bool, default=False
        Whether k-means, k-means++ and the hierarchy see the data whitened.
    fit_history : bool, default=False
        Whether to keep the posterior of every iteration, in `fit_history_`.
    reg_covar_relative : float, default=0.0
        Times the variances of the data, added to those of the samples of a component.
    keep_on_interrupt : bool, default=False
        Whether Ctrl-C ends a fit with the last complete iteration.
    n_jobs : int or None, default=None
        Threads of the kernels; None for all.

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
        Expected weights.
    means_ : ndarray of shape (K, d)
        Expected means.
    covariances_ : ndarray
        Scatter over degrees of freedom, of the shapes of `GaussianMixture`.
    precisions_, precisions_cholesky_ : ndarray
        Their inverses, and the factors of these.
    weight_concentration_ : tuple of two ndarrays of shape (K,), or ndarray of shape (K,)
        Of the posterior of the weights.
    mean_precision_ : ndarray of shape (K,)
    degrees_of_freedom_ : ndarray of shape (K,), or () for ``'tied'``
    weight_concentration_prior_, mean_precision_prior_, degrees_of_freedom_prior_ : float
    mean_prior_ : ndarray of shape (d,)
    covariance_prior_ : ndarray or float
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
        Of the evidence, but for constants, in the last iteration.
    lower_bounds_ : list of float
    log_likelihood_ : float
        Mean of `score_samples` of the data.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)
        Only where `X` was a data frame whose column names are all strings.

    References
    ----------
    Bishop, Pattern Recognition and Machine Learning, Springer (2006), section 10.2. Blei and
    Jordan, Variational inference for Dirichlet process mixtures, Bayesian Analysis 1 (2006).

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import BayesianGaussianMixture
    >>> X = np.random.default_rng(0).normal(size=(500, 1)) + [[0.0], [9.0]] * 250
    >>> mixture = BayesianGaussianMixture(n_components=5, random_state=0).fit(X)
    >>> int(np.sum(mixture.weights_ > 0.05))
    2
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: constraint
            for name, constraint in GaussianMixture._parameter_constraints.items()
            if name not in NOT_OF_BAYES
        },
        "covariance_type": [StrOptions(set(COVARIANCE_TYPES))],
        "init_params": [StrOptions(set(INIT_METHODS)), callable, "array-like"],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "weight_concentration_prior_type": [
            StrOptions({"dirichlet_process", "dirichlet_distribution"})
        ],
        "weight_concentration_prior": [None, Interval(Real, 0.0, None, closed="neither")],
        "mean_precision_prior": [None, Interval(Real, 0.0, None, closed="neither")],
        "mean_prior": ["array-like", None],
        "degrees_of_freedom_prior": [None, Interval(Real, 0.0, None, closed="neither")],
        "covariance_prior": ["array-like", None, Interval(Real, 0.0, None, closed="neither")],
    }

    # Wide: scikit-learn's arguments.
    def __init__(
        self,
        *,
        n_components: int = 1,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: InitMethod | InitFunction | ArrayLike = "kmeans",
        weight_concentration_prior_type: ConcentrationType = "dirichlet_process",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: ArrayLike | None = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        init_size: int | None = 20_000,
        init_whiten: bool = False,
        fit_history: bool = False,
        reg_covar_relative: float = 0.0,
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
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.init_size = init_size
        self.init_whiten = init_whiten
        self.fit_history = fit_history
        self.reg_covar_relative = reg_covar_relative
        self.keep_on_interrupt = keep_on_interrupt
        self.n_jobs = n_jobs

    def to_mixture(self) -> GaussianMixture:
        """Mixture of the expected weights, means and covariances.

        It has what this one does not: criteria, marginals and conditionals, entropy. Its densities
        are those of the parameters alone, with no regard to how uncertain they are.

        Returns
        -------
        mixture : GaussianMixture
            Fitted.

        Examples
        --------
        >>> import numpy as np
        >>> from fastgmm import BayesianGaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> mixture = BayesianGaussianMixture(random_state=0).fit(X).to_mixture()
        >>> mixture.marginal([0]).means_.shape
        (1, 1)
        """
        p = self._parameters()
        mixture = GaussianMixture(
            len(p.weights),
            covariance_type=self.covariance_type,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
        )
        mixture.n_features_in_ = p.means.shape[1]
        if hasattr(self, "feature_names_in_"):
            mixture.feature_names_in_ = self.feature_names_in_
        arrays = np.array(p.weights), np.array(p.means), np.array(p.covariances)
        own = Parameters(*arrays, np.array(p.precisions_cholesky), p.covariance_type)
        mixture._keep(EMResult(own, Status.INITIALIZED), math.nan)
        return mixture

    # --- what a fit asks for, and what it leaves
    def _fit_with_hooks(self, X: ArrayLike, sample_weight: ArrayLike | None) -> np.ndarray:
        raise ValueError(
            f"{', '.join(overridden(self, HOOKS))} of {type(self).__name__} is overridden, and "
            "variational Bayes does not run in scikit-learn's loop. Do not override scikit-learn's "
            "private methods, or inherit from its own class."
        )

    def _initial_values(self, n_features: int) -> InitialValues:
        return InitialValues()

    def _fitted_so_far(self, n_features: int) -> Posterior:
        self._parameters(n_components=self.n_components, n_features=n_features)
        return self._of_density()

    def _maximization(self, source: Source) -> VariationalBayes:
        plain = super()._maximization(source)
        concentration, prior = self._concentration(), self._prior(source)
        self.weight_concentration_prior_ = concentration.value
        self.mean_precision_prior_ = prior.mean_precision
        self.mean_prior_ = prior.mean
        self.degrees_of_freedom_prior_ = prior.degrees_of_freedom
        self.covariance_prior_ = (
            prior.covariance if prior.covariance.ndim else float(prior.covariance)
        )
        return VariationalBayes(
            plain.covariance_type, plain.reg_covar, plain.dtype, concentration, prior,
            source.total_weight,
        )  # fmt: skip

    def _concentration(self) -> Concentration:
        given = self.weight_concentration_prior
        value = 1.0 / self.n_components if given is None else float(given)
        return Concentration(self.weight_concentration_prior_type, value)

    def _prior(self, source: Source) -> NormalWishart:
        """What is believed of the components, as it is given, or as the data suggest."""
        family, precision = family_of(self.covariance_type), self.mean_precision_prior
        mean, freedom, covariance = check_priors(
            self.mean_prior, self.degrees_of_freedom_prior, self.covariance_prior,
            self.covariance_type, source.n_features,
        )  # fmt: skip
        if mean is None:
            mean = source.moments(matrix=family.is_matrix).mean
        if covariance is None:
            covariance = covariance_of_data(source, family)
        return NormalWishart(
            np.asarray(mean, np.float64),
            1.0 if precision is None else float(precision),
            freedom,
            np.asarray(covariance, np.float64),
        )

    def _attributes(self, result: EMResult, log_likelihood: float = math.nan) -> dict[str, Any]:
        found = super()._attributes(result, log_likelihood)
        found |= {name: getattr(result.parameters, name[:-1]) for name in OF_POSTERIOR}
        del found["repairs_"], found["degenerate_components_"]
        return found

    def _of_density(self) -> Posterior:
        p = self._parameters()
        return Posterior(*p, *(getattr(self, name) for name in OF_POSTERIOR))
