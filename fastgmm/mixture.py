"""The scikit-learn estimator: what users call; all the mathematics is elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from fastgmm._records import InitFunction, InitMethod, Parameters
from fastgmm.data.source import Source
from fastgmm.em.results import EMResult, RepairAction, Status
from fastgmm.estimator.constraints import OF_GAUSSIAN_MIXTURE
from fastgmm.estimator.given import check_given_parameters
from fastgmm.estimator.hooks import originals
from fastgmm.estimator.interchange import in_scikit_learns_place
from fastgmm.estimator.maximizations import check_together, maximization_of
from fastgmm.estimator.stepwise import StepwiseMixture
from fastgmm.model.factors import precisions_cholesky_from_covariances
from fastgmm.model.families import family_of
from fastgmm.model.maximization import MaximumLikelihood
from fastgmm.model.noise import Noisy

__all__ = ["GaussianMixture"]

# Attributes of a fit with noise, of which others have nothing.
OF_NOISE = ("noise_weight_", "noise_log_volume_", "noise_box_")


@originals
@in_scikit_learns_place
class GaussianMixture(StepwiseMixture):
    """Gaussian mixture, fitted by expectation-maximization in compiled multicore kernels.

    Takes the place of :class:`sklearn.mixture.GaussianMixture`: the same arguments, attributes
    and methods, and from the same start the same steps to the same result. Adds sample weights,
    and seeds on a subset of large data.

    Parameters
    ----------
    n_components : int, default=1
        Number of components K.
    covariance_type : str, default='full'
        ``'full'``, ``'diag'``, ``'spherical'``: each component has a covariance matrix, a diagonal
        one, or a single variance. ``'tied'``, ``'tied_diag'``, ``'tied_spherical'``: all share one.
        mclust's fourteen families by their names, such as ``'VEV'``, and ``'common_axes'``: they
        share volume, shape or orientation. ``'low_rank'``, for many features: loadings and
        variances, Σ = W Wᵀ + Ψ, a mixture of factor analyzers [3]_.
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
        the covariance of all the data. ``'hierarchical'``: pairs of clusters are merged, from
        single points on, as the Gaussian likelihood asks for; of more than 2,000 rows a random
        subset. An array of shape (n, K) holds responsibilities, one of shape (n,) labels from 0 to
        K - 1. A function takes the rows to start from, K and a RandomState, and returns either.
    weights_init : array-like of shape (K,), default=None
        Starting proportions, in place of those that `init_params` gives.
    means_init : array-like of shape (K, d), or (K,) of one feature, default=None
        Starting means.
    precisions_init : array-like, default=None
        Starting precisions, inverses of the covariances, of the shape of `covariances_`.
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
        K rows at least); None for all the rows always, of which a hierarchy still sees 2,000. An
        array in `init_params` is for all. The start of ``'kmeans'``, if no values are given, is
        then moved by EM with momentum on a subset of at least this size, eight rows for each
        parameter of the mixture, or on all the rows where these are not twice as many; k-means
        itself sees a quarter of `init_size`, or 3 K d rows if these are more. `n_iter_`,
        `lower_bounds_` and `max_iter` are of the EM that comes after it.
    init_whiten : bool, default=False
        Whether k-means, k-means++ and the hierarchy see the data whitened, so that neither the
        scales of the features nor their correlations matter.
    fit_history : bool, default=False
        Whether to keep the parameters of every iteration, in `fit_history_`.
    reg_covar_relative : float, default=0.0
        Times the variances of the data, added to those of the components: a floor that knows
        the scales of the features.
    rank : int, default=1
        Of ``covariance_type='low_rank'``, the number of loadings of each feature.
    prior : 'conjugate' or dict, default=None
        A prior of means and covariances, which keeps components of few samples, or of equal ones,
        from collapse; the fit has the highest posterior density. ``'conjugate'`` is mclust's
        default, which covariances weigh like some 2 d samples. A dict may have any of ``'mean'``
        (d,), ``'mean_precision'`` (0.01, the samples that the prior of a mean is worth),
        ``'degrees_of_freedom'`` (d + 2) and ``'covariance'``: the scatter of the prior of a
        covariance, (d, d), for diagonal types (d,), or a number for the same in all features.
    shrinkage : 'oas' or float, default=None
        Part of each covariance matrix in place of which comes the mean of its variances times the
        identity, or ``'oas'`` for what the oracle approximation of Chen et al. (2010) makes of
        the covariance and its count. For components of few samples, but not of equal ones. The
        likelihood need not rise with it.
    missing : {'raise', 'em'}, default='raise'
        Whether NaN is refused, or is a value that is missing at random: then the likelihood is that
        of what is observed, and predictions and scores are, too. Rows in which nothing is observed
        have no part in the fit.
    noise : bool or float, default=False
        Whether there is background noise: a further component of constant density over the volume
        that is given, or over the box of the data. `predict_proba` has its probability as last
        column, `predict` and `sample` say -1; weights are those among the other components. In
        labels of `init_params`, -1 is noise.
    semi_supervised : bool, default=False
        Whether `fit` learns from `y`: the number of the component that a sample belongs to, or -1
        where that is not known. The likelihood of a known sample is that of its component, times
        the weight of it.
    freeze : str, set of str or dict, default=None
        What EM leaves as the start has it: any of ``'weights'``, ``'means'``, ``'covariances'``,
        for all components, or for those of masks of shape (K,) that a dict has. Give them by
        `weights_init`, `means_init` and `precisions_init`, or by `warm_start`.
    on_degenerate : {'raise', 'reset', 'drop', 'floor'}, default='raise'
        What to do about a component that has collapsed, onto too few samples for its covariance
        or onto one, or that is empty. ``'raise'``: as scikit-learn, raise where a covariance is
        not positive definite after `reg_covar` is added, and go on otherwise. ``'reset'``: start
        it again at the worst-explained samples, with the covariance of all the data, and drop
        what collapses time and again. ``'drop'``: leave it out, so that there are fewer
        components. ``'floor'``: add a millionth of the data's variances to its own. Where all
        components have collapsed, there is nothing to reset or to drop.
    growing_samples : bool, default=False
        Whether EM runs on random samples first, each of four times the rows of the one before, the
        largest of an eighth or a million; then it needs few passes over all rows, to which belong
        `n_iter_`, `lower_bounds_`, `max_iter` and `tol`. Not where `warm_start` goes on from a fit.
    step_size : float or None, default=None
        The part of a batch of `partial_fit` in the statistics. A number forgets what came before at
        this rate; None is for (w / W)^0.6, with the weights w of the batch and W of all so far.
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
        ``'spherical'``, (d,) for ``'tied_diag'``, () for ``'tied_spherical'``. For
        ``'low_rank'`` (K, d, rank + 1): the loadings W, and after them the variances Ψ.
    precisions_ : ndarray
        Their inverses; for ``'low_rank'``, V and the diagonal of Ψ⁻¹ with Σ⁻¹ = Ψ⁻¹ - V Vᵀ.
    precisions_cholesky_ : ndarray
        Upper triangular U with ``precisions_ = U @ U.T``; square roots for ``'diag'`` and
        ``'spherical'``; for ``'low_rank'``, the loadings divided by the roots of the variances, and
        the inverses of these roots.
    converged_ : bool
        Whether the lower bound changed by less than `tol` in the last iteration of the best run,
        up or down.
    n_iter_ : int
        Iterations of the best run.
    lower_bound_ : float
        Mean log-likelihood, per unit of weight, before the last maximization of the best run; with
        `prior`, its log-density is added but for a constant, divided by the weight of all samples.
    lower_bounds_ : list of float
        The same for each of its iterations.
    log_likelihood_ : float
        Mean log-likelihood, per unit of weight, of the data under the fitted parameters, which
        come after `lower_bound_`; NaN where there were no data or no time.
    largest_fall_ : float
        The most that the lower bound fell from one iteration of the best run to the next, as it
        may where `reg_covar` is not small beside the variances, or by `growing_samples`; 0 if it
        never did. What a repair changes does not count.
    degenerate_components_ : ndarray of int
        The components that are empty or have collapsed: the data give them no extent in some
        direction, where they have nothing but what `reg_covar` or a repair adds.
    fit_history_ : list of Parameters
        With `fit_history`, the start and the parameters after each iteration of the best run;
        empty without.
    repairs_ : list of Repair
        What was done about degenerate components in the best run: each has `n_iter`, the
        iteration, `components`, their numbers at that time, and `action`.
    noise_weight_ : float
        With `noise`, the share of it.
    n_samples_seen_ : float
        Number of the samples of `fit` and of `partial_fit` after it, or the sum of their weights.
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
    .. [3] Ghahramani and Hinton, The EM algorithm for mixtures of factor analyzers, technical
       report CRG-TR-96-1, University of Toronto (1996).

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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = OF_GAUSSIAN_MIXTURE

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
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
        rank: int = 1,
        prior: Literal["conjugate"] | dict[str, Any] | None = None,
        shrinkage: Literal["oas"] | float | None = None,
        missing: Literal["raise", "em"] = "raise",
        noise: bool | float = False,
        semi_supervised: bool = False,
        freeze: str | Iterable[str] | dict[str, ArrayLike] | None = None,
        on_degenerate: Literal["raise"] | RepairAction = "raise",
        growing_samples: bool = False,
        step_size: float | None = None,
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
        self.rank = rank
        self.prior = prior
        self.shrinkage = shrinkage
        self.missing = missing
        self.noise = noise
        self.semi_supervised = semi_supervised
        self.freeze = freeze
        self.on_degenerate = on_degenerate
        self.growing_samples = growing_samples
        self.step_size = step_size
        self.keep_on_interrupt = keep_on_interrupt
        self.n_jobs = n_jobs

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        covariance_type: str = "full",
    ) -> GaussianMixture:
        """Make a fitted mixture of given parameters, without data.

        Parameters
        ----------
        weights : array-like of shape (K,)
            Proportions, which sum to 1.
        means : array-like of shape (K, d), or (K,) of one feature
        covariances : array-like
            Of shape (K, d, d) for ``'full'``, (d, d) for ``'tied'``, (K, d) for ``'diag'``, (K,)
            for ``'spherical'``, and of the shape of `covariances_` for the others. Of one feature,
            variances in place of matrices will do.
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
        if family_of(covariance_type).has_loadings:
            mixture.rank = covariances.shape[-1] - 1
        mixture.n_features_in_ = means.shape[1]
        mixture._keep(EMResult(p, Status.INITIALIZED), log_likelihood=math.nan)
        return mixture

    def _maximization(self, source: Source) -> MaximumLikelihood:
        return maximization_of(self, super()._maximization(source), source)

    def _check_arguments(self, covariance_types: Iterable[str]) -> None:
        check_together(self, covariance_types)

    def _fitted_so_far(self, n_features: int) -> Any:
        gaussians = super()._fitted_so_far(n_features)
        family, rank = family_of(self.covariance_type), self.rank
        if family.has_loadings and gaussians.covariances.shape[-1] != rank + 1:
            raise ValueError(
                f"The last fit had another rank than {rank}; fit again with warm_start=False."
            )
        return self._of_density() if self.noise and self._has_noise else gaussians

    def _keep(self, result: EMResult, log_likelihood: float) -> None:
        if self._has_noise and not isinstance(result.parameters, Noisy):  # of a fit before
            for name in OF_NOISE:
                del self.__dict__[name]
        super()._keep(result, log_likelihood)

    def _attributes(self, result: EMResult, log_likelihood: float = math.nan) -> dict[str, Any]:
        noisy = result.parameters
        if not isinstance(noisy, Noisy):
            return super()._attributes(result, log_likelihood)
        history = [getattr(parameters, "gaussians", parameters) for parameters in result.history]
        own = replace(result, parameters=noisy.gaussians, history=history)
        of_noise = dict(zip(OF_NOISE, (noisy.share, noisy.log_volume, noisy.box), strict=True))
        return super()._attributes(own, log_likelihood) | of_noise
