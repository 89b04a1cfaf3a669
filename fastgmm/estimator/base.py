"""The fit of every mixture in named steps: check, run from each start, keep the best."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from typing import Any, Self, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from fastgmm._records import FloatArray, InitialValues
from fastgmm.data.criteria import mean_log_likelihood
from fastgmm.data.labelled import LabelledSource
from fastgmm.data.source import Source
from fastgmm.em.clusters import Clusters
from fastgmm.em.degeneracy import Repairing
from fastgmm.em.initialization import (
    Initialization,
)
from fastgmm.em.loop import Rules
from fastgmm.em.memory import bytes_of_fit
from fastgmm.em.progress import Progress, Watcher
from fastgmm.em.restarts import best_of_starts
from fastgmm.em.results import EMResult
from fastgmm.estimator.arguments import RememberedArguments
from fastgmm.estimator.callbacks import CallbackSupport, callbacks_of
from fastgmm.estimator.collections import recognized
from fastgmm.estimator.fitted import FittedMixture
from fastgmm.estimator.given import check_init_params, check_initial_values, check_labels
from fastgmm.estimator.hooks import HOOKS, fit_with_hooks, originals, overridden
from fastgmm.estimator.interchange import fitted_attributes, is_kept, set_by_fit
from fastgmm.estimator.plan import Plan, Points, how_to_start, run
from fastgmm.estimator.validation import check_fit_data, check_fit_source, check_magnitude
from fastgmm.kernels.small_problems import is_small
from fastgmm.model.factors import IllDefinedCovariance
from fastgmm.model.families import FAMILIES
from fastgmm.model.maximization import MaximumLikelihood
from fastgmm.model.regularization import regularization
from fastgmm.system.callers import level_of_caller
from fastgmm.system.memory import check_memory
from fastgmm.system.threads import blas_on_one_thread, on_its_threads

# Numbers whose size is looked at before a fit; that of more only after it has failed.
CHECKED_FIRST = 2**20

Method = TypeVar("Method", bound=Callable[..., Any])


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


def _refuse_with_collections(model: Any) -> None:
    """Refuse what asks for all rows in memory."""
    unknown = {
        "semi_supervised": getattr(model, "semi_supervised", False),
        "noise": bool(getattr(model, "noise", False)),
        "callbacks": bool(getattr(model, "_skl_callbacks", None)),
        "init_params as an array": not (
            isinstance(model.init_params, str) or callable(model.init_params)
        ),
    }
    given = [name for name, is_given in unknown.items() if is_given]
    if given:
        raise ValueError(
            f"{', '.join(given)}: this needs all rows in memory; pass them as an array, or leave "
            "it out."
        )


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
        X : array-like of shape (n, d), or data that are read in every pass
            Samples. float32 and float64 arrays of any memory order are used as they are, and so
            are maps of files. Not in memory all at once are the rows of

            - files: a path, a pattern or a list of ``.npy``, Parquet (pyarrow), or text files;
            - what slices by rows, such as a data set of h5py or zarr;
            - blocks: a list of arrays (m, d), or a function without arguments that returns an
              iterator of them. A block may be a pair of rows and their weights;
            - arrays and data frames of Dask, which stay on its workers.
        y : ignored
            Except by callbacks.
        sample_weight : array-like of shape (n,) or str, default=None
            Multiplicities of the samples; of files, the name of the column that has them, or its
            number where columns have no names.

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
        data = self._fit(X, y, sample_weight)
        return self.predict(X) if data is None else self._assign(data)

    @attributes_kept_on_failure
    @blas_on_one_thread()
    @on_its_threads
    def _fit_with_hooks(self, X: ArrayLike, sample_weight: ArrayLike | None) -> np.ndarray:
        """Run scikit-learn's loop, with those of its methods that are overridden; return labels."""
        if recognized(X) is not None:
            raise ValueError(
                f"{', '.join(overridden(self, HOOKS))} of {type(self).__name__} is overridden, and "
                "scikit-learn's loop needs all rows in memory; pass them as an array."
            )
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
        **source_options: Any,
    ) -> FloatArray | None:
        """Check, run EM from each start, keep the best run; return X as it was used, if an array.

        Without watchers the progress is printed as `verbose` says. `starts` are
        in place of `n_init` of them, None among them for one as `init_params` says. Other options
        are for the source.
        """
        points, weight = self._points(X, sample_weight, y, source_options)
        data = points.X
        plan = self._plan(points, starts, y)
        callbacks = callbacks_of(
            self, (data, y, weight), plan.n_starts, lambda r: self._attributes(plan.completed(r))
        )
        if watchers is None:
            progress = Progress(self.verbose, self.verbose_interval, points.n_rows)
            watchers = [progress] if self.verbose else []
        finished: list[EMResult] = []  # the best run so far
        kept: EMResult | None = None
        try:
            # What overflows is refused.
            with plan.limits(), np.errstate(over="ignore", invalid="ignore"):
                outcome = best_of_starts(
                    plan.n_starts,
                    partial(run, plan, finished),
                    [*watchers, *callbacks],
                    self.keep_on_interrupt,
                )
            kept = plan.completed(outcome.best)
            self._keep(kept, self._log_likelihood(plan.source, kept))
            for watcher in callbacks:
                watcher.fit_ends(kept)
            for warning in outcome.warnings(plan.n_starts, self.tol):
                warnings.warn(warning, ConvergenceWarning, stacklevel=level_of_caller())
        except IllDefinedCovariance:
            if data is not None:
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

    def _points(
        self, X: Any, sample_weight: Any, y: object, source_options: dict[str, Any]
    ) -> tuple[Points, FloatArray | None]:
        """Check the data; return what is to be fitted, and the weights of an array."""
        collection = None if source_options else recognized(X)
        if collection is None:
            data, weight = check_fit_data(self, X, sample_weight, self.n_components)
            source = partial(self._source_of, data, weight, **source_options)
            return Points(len(data), data.shape[1], data.dtype, source, data), weight
        self._check_knows_collections()
        _refuse_with_collections(self)
        found = collection.source(sample_weight, self.n_jobs)
        self._check_arguments([self.covariance_type])  # before all is read
        self._initial_values(found.n_features)
        names = getattr(found, "feature_names", None) or collection.feature_names
        check_fit_source(self, found, names, self.n_components)
        return Points(found.n_rows, found.n_features, found.dtype, lambda: found), None

    def _plan(
        self,
        points: Points,
        starts: Sequence[Clusters | None] | None = None,
        y: object = None,
    ) -> Plan:
        """Check every argument before any work; return what there is to fit."""
        model: Any = self
        K, n, d, dtype = self.n_components, *points[:3]
        self._check_size(points)
        self._check_arguments([self.covariance_type])
        given = self._initial_values(d)
        noise = bool(getattr(self, "noise", False))
        init_params = check_init_params(model.init_params, n, K, dtype, noise=noise)
        labels = self._labels(y, n, init_params)
        resumed, lower_bound = None, -math.inf
        if model.warm_start and hasattr(self, "converged_"):
            resumed = self._fitted_so_far(d).astype(dtype)
            lower_bound = model.lower_bound_
        draws = starts is None or None in starts
        # Making one takes as long as three iterations of a small fit.
        random_state = check_random_state(self.random_state if draws else None)
        source = points.source()
        if labels is not None and points.X is not None:
            source = LabelledSource(source, labels, self._source_of, points.X)
        maximization = self._maximization(source)
        if resumed is not None:
            resumed = maximization.started(resumed)
        repairing = self._repairing(source, maximization)
        how = Initialization(init_params, given, model.init_size, model.init_whiten)
        hows, n_starts = how_to_start(how, source, labels, K, model.n_init, random_state, starts)
        if resumed is not None and starts is None:
            n_starts = 1
        rules = Rules(model.tol, model.max_iter, model.fit_history, model.keep_on_interrupt)
        start = hows, resumed, lower_bound, random_state
        return Plan(source, maximization, repairing, K, *start, rules, n_starts)

    def _check_size(self, points: Points) -> None:
        """Refuse too few features, too little memory, and numbers that are too large."""
        K, (n, d, dtype), covariance_type = self.n_components, points[:3], self.covariance_type
        family, init_size = FAMILIES[covariance_type], getattr(self, "init_size", None)
        if d < family.fewest_features:
            raise ValueError(
                f"covariance_type={covariance_type!r} is for two or more features, and there is "
                "one; 'EII' (equal variances) and 'VII' (variances of their own) are all there is."
            )
        if not is_small(n, K, d, family.pass_type):
            n_seen = n if init_size is None else min(n, init_size)
            n_bytes = bytes_of_fit(n_seen, K, d, covariance_type, dtype.itemsize)
            remedy = "use fewer components, features or covariance_type='diag'"
            check_memory(n_bytes, "The fit", remedy)
        if points.X is not None and n * d <= CHECKED_FIRST:
            check_magnitude(points.X)

    def _check_arguments(self, covariance_types: Iterable[str]) -> None:
        """Check what scikit-learn's validation does not; other estimators have more to check."""

    def _labels(self, y: object, n_samples: int, init_params: Any) -> np.ndarray | None:
        """Return what is known of the components of samples, if anything is to be learned of it."""
        if not getattr(self, "semi_supervised", False):
            return None
        labels = check_labels(y, n_samples, self.n_components)
        if not isinstance(init_params, np.ndarray) and init_params != "kmeans":
            raise ValueError(
                "Where labels are known, the start is by init_params='kmeans', which begins at "
                "their means, or from responsibilities; give one of these."
            )
        return labels

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
