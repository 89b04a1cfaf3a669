"""The fit of every mixture in named steps: check, run from each start, keep the best."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial, wraps
from itertools import repeat
from typing import Any, NamedTuple, Self, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from fastgmm._records import FloatArray, InitialValues, Parameters
from fastgmm.data.criteria import mean_log_likelihood
from fastgmm.data.source import Source
from fastgmm.em.clusters import Clusters
from fastgmm.em.degeneracy import NO_REPAIRS, Repairing, Repairs, with_degenerate
from fastgmm.em.initialization import Initialization, is_the_same_each_time
from fastgmm.em.loop import Rules, run_em
from fastgmm.em.memory import bytes_of_fit
from fastgmm.em.progress import Progress, Watcher
from fastgmm.em.restarts import best_of_starts
from fastgmm.em.results import EMResult, Iteration
from fastgmm.em.settling import settled_start
from fastgmm.em.step import Step, em_step
from fastgmm.estimator.arguments import RememberedArguments
from fastgmm.estimator.callbacks import CallbackSupport, callbacks_of
from fastgmm.estimator.fitted import FittedMixture
from fastgmm.estimator.given import check_init_params, check_initial_values
from fastgmm.estimator.hooks import HOOKS, fit_with_hooks, originals, overridden
from fastgmm.estimator.interchange import fitted_attributes, is_kept, set_by_fit
from fastgmm.estimator.validation import check_fit_data, check_magnitude
from fastgmm.kernels.small_problems import is_small
from fastgmm.model.factors import IllDefinedCovariance
from fastgmm.model.families import FAMILIES
from fastgmm.model.maximization import MaximumLikelihood
from fastgmm.model.regularization import regularization
from fastgmm.system.memory import check_memory
from fastgmm.system.threads import blas_on_one_thread, on_its_threads

# Numbers whose size is looked at before a fit; that of more only after it has failed.
CHECKED_FIRST = 2**20

Method = TypeVar("Method", bound=Callable[..., Any])


class Plan(NamedTuple):
    """What there is to fit, once every argument has been checked."""

    source: Source
    maximization: MaximumLikelihood
    repairing: Repairing | None
    n_components: int
    hows: Iterator[Initialization]  # for each start
    resumed: Parameters | None  # the last fit's, if this one goes on from there
    lower_bound: float
    random_state: np.random.RandomState
    rules: Rules
    n_starts: int

    def step(self, parameters: Parameters, n_iter: int, repairs: Repairs) -> Step:
        """Take one step of EM."""
        return em_step(
            self.source,
            self.maximization,
            parameters,
            repairing=self.repairing,
            n_iter=n_iter,
            repairs=repairs,
        )

    def start(self) -> tuple[Parameters, Repairs]:
        """Find the next start; the random state moves on."""
        if self.resumed is not None:
            return self.resumed, NO_REPAIRS
        return settled_start(
            self.source,
            self.n_components,
            self.maximization,
            next(self.hows),
            self.random_state,
            self.repairing,
            self.rules.tol,
        )

    def limits(self) -> AbstractContextManager[None]:
        """Keep the threads of BLAS from those of the kernels, unless the host has little to do."""
        return nullcontext() if self.is_small else blas_on_one_thread()

    @property
    def is_small(self) -> bool:
        """Whether it takes no time to speak of."""
        shape = self.source.n_rows, self.n_components, self.source.n_features
        return is_small(*shape, FAMILIES[self.maximization.covariance_type].pass_type)

    def completed(self, result: EMResult) -> EMResult:
        """Tell what is degenerate in the end of a run, once."""
        if result.degenerate is not None:
            return result
        if not isinstance(result.parameters, Parameters):  # whatever else is known of them
            return replace(result, degenerate=np.empty(0, np.intp), statistics=None)
        return with_degenerate(result, self.source, self.maximization)


def attributes_kept_on_failure(method: Method) -> Method:
    """Have a fit that fails, or is interrupted, leave the fitted attributes as they were.

    One that keeps what it has when it is interrupted keeps it also on the way back.
    """

    @wraps(method)
    def careful(self: Any, *arguments: Any, **options: Any) -> Any:
        before = set_by_fit(self)
        try:
            return method(self, *arguments, **options)
        except BaseException as error:
            has_result = vars(self).get("means_") is not before.get("means_")
            kept = has_result and getattr(self, "keep_on_interrupt", False)
            if isinstance(error, KeyboardInterrupt) and kept:
                raise
            for name in set_by_fit(self):
                delattr(self, name)
            vars(self).update(before)
            raise

    return cast(Method, careful)


@originals
class EMMixture(RememberedArguments, CallbackSupport, FittedMixture):
    """A mixture that is fitted by EM; its arguments are those of `GaussianMixture`."""

    n_components: int
    keep_on_interrupt: bool

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
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
        self : the estimator
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

    @attributes_kept_on_failure
    @blas_on_one_thread()
    @on_its_threads
    def _fit_with_hooks(self, X: ArrayLike, sample_weight: ArrayLike | None) -> np.ndarray:
        """Run scikit-learn's loop, with those of its methods that are overridden; return labels."""
        return fit_with_hooks(self, X, sample_weight)

    @attributes_kept_on_failure
    @on_its_threads
    def _fit(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        watchers: Sequence[Watcher] | None = None,
        starts: Sequence[Clusters | None] | None = None,
    ) -> FloatArray:
        """Check, run EM from each start, keep the best run; return X as it was used.

        Without watchers the progress is printed as `verbose` says. `starts` are
        in place of `n_init` of them, None among them for one as `init_params` says.
        """
        data, weight = check_fit_data(self, X, sample_weight, self.n_components)
        plan = self._plan(data, weight, starts)
        callbacks = callbacks_of(
            self, (data, y, weight), plan.n_starts, lambda r: self._attributes(plan.completed(r))
        )
        if watchers is None:
            watchers = [Progress(self.verbose, self.verbose_interval)] if self.verbose else []
        finished: list[EMResult] = []  # the best run so far
        kept: EMResult | None = None
        try:
            # What overflows is refused.
            with plan.limits(), np.errstate(over="ignore", invalid="ignore"):
                outcome = best_of_starts(
                    plan.n_starts,
                    partial(_run, plan, finished),
                    [*watchers, *callbacks],
                    self.keep_on_interrupt,
                )
            kept = plan.completed(outcome.best)
            self._keep(kept, self._log_likelihood(plan.source, kept))
            for watcher in callbacks:
                watcher.fit_ends(kept)
            for warning in outcome.warnings(plan.n_starts, self.tol):
                warnings.warn(warning, ConvergenceWarning, stacklevel=6)
        except IllDefinedCovariance:
            check_magnitude(data)
            raise
        except KeyboardInterrupt:
            if not (self.keep_on_interrupt and (kept or finished)):
                raise
            if kept is None:
                kept = plan.completed(finished[0])
            if not is_kept(self, kept):
                self._keep(kept, self._log_likelihood(plan.source, kept))
        return data

    def _plan(
        self,
        X: FloatArray,
        weight: FloatArray | None,
        starts: Sequence[Clusters | None] | None = None,
    ) -> Plan:
        """Check every argument before any work; return what there is to fit."""
        model: Any = self
        K, d, covariance_type = self.n_components, X.shape[1], self.covariance_type
        family = FAMILIES[covariance_type]
        if d < family.fewest_features:
            raise ValueError(
                f"covariance_type={covariance_type!r} is for two or more features, and there is "
                "one; 'EII' (equal variances) and 'VII' (variances of their own) are all there is."
            )
        if not is_small(len(X), K, d, family.pass_type):
            n_seen = len(X) if model.init_size is None else min(len(X), model.init_size)
            n_bytes = bytes_of_fit(n_seen, K, d, covariance_type, X.itemsize)
            remedy = "use fewer components, features or covariance_type='diag'"
            check_memory(n_bytes, "The fit", remedy)
        if X.size <= CHECKED_FIRST:
            check_magnitude(X)
        self._check_arguments([covariance_type])
        given = self._initial_values(d)
        init_params = check_init_params(model.init_params, len(X), K, X.dtype)
        resumed, lower_bound = None, -math.inf
        if model.warm_start and hasattr(self, "converged_"):
            resumed = self._fitted_so_far(d).astype(X.dtype)
            lower_bound = model.lower_bound_
        known = resumed is not None or isinstance(init_params, np.ndarray)
        draws = starts is None or None in starts
        # Making one takes as long as three iterations of a small fit.
        random_state = check_random_state(self.random_state if draws else None)
        source = self._source_of(X, weight)
        maximization = self._maximization(source)
        repairing = self._repairing(source, maximization)
        how = Initialization(init_params, given, model.init_size, model.init_whiten)
        rules = Rules(model.tol, model.max_iter, model.fit_history, model.keep_on_interrupt)
        hows: Iterator[Initialization] = repeat(how)
        n_starts = 1 if known or is_the_same_each_time(how, source) else model.n_init
        if starts is not None:
            hows = (
                how if start is None else how._replace(init_params=start, init_size=None)
                for start in starts
            )
            n_starts = len(starts)
        start = hows, resumed, lower_bound, random_state
        return Plan(source, maximization, repairing, K, *start, rules, n_starts)

    def _check_arguments(self, covariance_types: Iterable[str]) -> None:
        """Check what scikit-learn's validation does not; other estimators have more to check."""

    def _initial_values(self, n_features: int) -> InitialValues:
        """What the user gives of the start; other estimators have nothing that could be given."""
        model: Any = self
        return check_initial_values(
            model.weights_init,
            model.means_init,
            model.precisions_init,
            covariance_type=self.covariance_type,
            n_components=self.n_components,
            n_features=n_features,
        )

    def _fitted_so_far(self, n_features: int) -> Any:
        """Return what a fit goes on from."""
        expected = None if getattr(self, "on_degenerate", "") == "drop" else self.n_components
        return self._parameters(n_components=expected, n_features=n_features)

    def _repairing(self, source: Source, maximization: MaximumLikelihood) -> Repairing | None:
        """What is done about degenerate components."""
        action: Any = getattr(self, "on_degenerate", "raise")
        return None if action == "raise" else Repairing(action, source, maximization)

    def _maximization(self, source: Source) -> MaximumLikelihood:
        """How statistics become parameters; other estimators have other ways."""
        model: Any = self
        reg_covar = regularization(model.reg_covar, model.reg_covar_relative, source.variances)
        return MaximumLikelihood(self.covariance_type, reg_covar, source.dtype)

    def _log_likelihood(self, source: Source, result: EMResult) -> float:
        """Of the result; NaN if an interruption leaves no time for it."""
        try:
            return mean_log_likelihood(source, result.parameters)
        except KeyboardInterrupt:
            if not self.keep_on_interrupt:
                raise
            return math.nan

    def _keep(self, result: EMResult, log_likelihood: float) -> None:
        """Set the fitted attributes."""
        self.__dict__.update(self._attributes(result, log_likelihood))  # all or none

    def _attributes(self, result: EMResult, log_likelihood: float = math.nan) -> dict[str, Any]:
        """Return the fitted attributes by name; other estimators have more."""
        return fitted_attributes(result, log_likelihood)


def _run(
    plan: Plan, finished: list[EMResult], on_iteration: Callable[[Iteration], bool] | None
) -> EMResult:
    """Run EM from the next start; `finished` has the best result so far."""

    def keep_better(result: EMResult) -> None:
        if not finished or result.lower_bound > finished[0].lower_bound:
            finished[:] = [result]

    start, repairs = plan.start()
    result = run_em(
        plan.step,
        start,
        plan.rules,
        repairs=repairs,
        lower_bound=plan.lower_bound,
        on_iteration=on_iteration,
        on_result=keep_better,
    )
    # Statistics of a large model are not kept while the next run is under way.
    return result if plan.is_small else plan.completed(result)
