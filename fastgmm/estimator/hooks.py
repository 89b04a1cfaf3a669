"""Scikit-learn's private methods, which subclasses override and other code calls.

Where one is overridden the fit is scikit-learn's own loop, with these methods over the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.mixture._base import BaseMixture
from sklearn.utils import check_random_state

from fastgmm import kernels
from fastgmm._records import OWN_METHODS, FloatArray, InitialValues, Parameters
from fastgmm.data.source import ArraySource
from fastgmm.em.initialization import Initialization, initial_parameters
from fastgmm.em.results import EMResult, Status
from fastgmm.estimator.given import SUM_OF_RESPONSIBILITIES, check_init_params, check_initial_values
from fastgmm.estimator.interchange import fitted_attributes
from fastgmm.estimator.validation import check_fit_data
from fastgmm.model.factors import precisions_from_cholesky
from fastgmm.model.families import arguments_of_pass
from fastgmm.model.maximization import Estimate, MaximumLikelihood
from fastgmm.model.regularization import regularization
from fastgmm.system.threads import on_its_threads

# What predictions are made of, and what else a fit is made of.
ESTIMATES = ("_estimate_log_prob", "_estimate_log_weights", "_estimate_weighted_log_prob")
HOOKS = (
    *ESTIMATES,
    "_estimate_log_prob_resp",
    "_check_parameters",
    "_initialize_parameters",
    "_initialize",
    "_e_step",
    "_m_step",
    "_compute_lower_bound",
    "_get_parameters",
    "_set_parameters",
    "_print_verbose_msg_init_beg",
    "_print_verbose_msg_iter_end",
    "_print_verbose_msg_init_end",
)
METHODS = ("fit_predict", "predict_proba", "score", "score_samples")

# What the loop sets.
_FITTED_BY_LOOP = (
    *("weights_", "means_", "covariances_", "precisions_cholesky_", "precisions_"),
    *("converged_", "n_iter_", "lower_bound_", "lower_bounds_"),
)

# What each of these names may stand for where nobody has overridden it.
_originals: dict[str, set[Any]] = {}

Class = TypeVar("Class", bound=type)


def originals(cls: Class) -> Class:
    """Take note of the methods of a class that others may override."""
    for name in set(HOOKS + METHODS) & vars(cls).keys():
        _originals.setdefault(name, set()).add(vars(cls)[name])
    return cls


def overridden(model: Any, names: Iterable[str]) -> list[str]:
    """Those of the methods that a subclass, a patch of the class or the object itself overrides."""
    cls, own = type(model), vars(model)
    return [name for name in names if name in own or getattr(cls, name) not in _originals[name]]


def call(hook: Callable[..., Any], *arguments: Any, xp: Any = None) -> Any:
    """Call a hook, which takes `xp` if it was written for scikit-learn 1.8 or later."""
    if xp is not None and _takes_namespace(hook):
        return hook(*arguments, xp=xp)
    return hook(*arguments)


def _takes_namespace(hook: Callable[..., Any]) -> bool:
    parameters = signature(hook).parameters
    return "xp" in parameters or any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())


def fit_with_hooks(model: Any, X: ArrayLike, sample_weight: ArrayLike | None) -> np.ndarray:
    """Fit in scikit-learn's loop, with the hooks of `model`; return the labels.

    ValueError is raised if there are arguments that this loop does not know.
    """
    _refuse_unknown_arguments(model, sample_weight)
    data, _ = check_fit_data(model, X, None, model.n_components)
    with _in_loop_of_scikit_learn(model):
        labels: np.ndarray = BaseMixture.fit_predict(model, X)
        log_likelihood = float(call(model._e_step, data, xp=np)[0])
    status = Status.CONVERGED if model.converged_ else Status.MAX_ITER
    bounds = [float(bound) for bound in getattr(model, "lower_bounds_", [])]  # from 1.7 on
    arrays = [getattr(model, name) for name in _FITTED_BY_LOOP[:4]]
    result = EMResult(Parameters._make([*arrays, model.covariance_type]), status, bounds)
    for name, value in fitted_attributes(result, log_likelihood).items():
        if name not in _FITTED_BY_LOOP or not hasattr(model, name):
            setattr(model, name, value)
    model._has_seen(float(len(data)))
    return labels


def _refuse_unknown_arguments(model: Any, sample_weight: ArrayLike | None) -> None:
    """Refuse what scikit-learn's loop would ignore."""
    unknown = {
        "sample_weight": sample_weight is not None,
        "fit_history": model.fit_history,
        "keep_on_interrupt": model.keep_on_interrupt,
        "on_degenerate": model.on_degenerate != "raise",
        "missing": model.missing != "raise",
        "noise": bool(model.noise),
        "semi_supervised": model.semi_supervised,
        "freeze": bool(model.freeze),
        "growing_samples": model.growing_samples,
        "prior": model.prior is not None,
        "shrinkage": model.shrinkage is not None,
        "callbacks": bool(getattr(model, "_skl_callbacks", None)),
    }
    if overridden(model, ["_initialize"]):
        method = model.init_params
        unknown[f"init_params={method!r}"] = isinstance(method, str) and method in OWN_METHODS
        unknown["init_whiten"] = model.init_whiten
    given = [name for name, is_given in unknown.items() if is_given]
    if given:
        raise ValueError(
            f"{', '.join(overridden(model, HOOKS))} of {type(model).__name__} "
            "is overridden, so that scikit-learn's loop fits it, which does not know "
            f"{', '.join(given)}. Fit without, or do not override scikit-learn's private methods."
        )


@contextmanager
def _in_loop_of_scikit_learn(model: Any) -> Iterator[None]:
    """Let hooks of before scikit-learn 1.8 be called with `xp`, and attributes be on their way."""
    before = dict(vars(model))
    names = [
        name for name in overridden(model, HOOKS) if not _takes_namespace(getattr(model, name))
    ]
    for name in names:
        setattr(model, name, _without_namespace(getattr(model, name)))
    model._is_in_loop = True
    try:
        yield
    finally:
        del model._is_in_loop
        for name in names:
            delattr(model, name)
            if name in before:
                setattr(model, name, before[name])


def _without_namespace(hook: Callable[..., Any]) -> Callable[..., Any]:
    def without(*arguments: Any, xp: Any = None) -> Any:
        return hook(*arguments)

    return without


@originals
class MixtureHooks:
    """Scikit-learn's hooks, over the kernels; `xp`, the namespace of arrays, is numpy always."""

    n_components: int
    covariance_type: str
    n_jobs: int | None
    weights_: FloatArray
    means_: FloatArray
    covariances_: FloatArray
    precisions_cholesky_: FloatArray

    _print_verbose_msg_init_beg = BaseMixture._print_verbose_msg_init_beg
    _print_verbose_msg_iter_end = BaseMixture._print_verbose_msg_iter_end
    _print_verbose_msg_init_end = BaseMixture._print_verbose_msg_init_end

    def _check_parameters(self, X: FloatArray, xp: Any = None) -> None:
        """Check the starting values that the user has given."""
        _given(self, X, self.n_components)

    @on_its_threads
    def _initialize_parameters(
        self, X: FloatArray, random_state: int | np.random.RandomState | None, xp: Any = None
    ) -> None:
        """Set the parameters of the start."""
        model: Any = self
        X, K = _floats(X), self.n_components
        generator: np.random.RandomState = check_random_state(random_state)
        init_params = check_init_params(model.init_params, len(X), K, X.dtype)
        given = model.weights_init, model.means_init, model.precisions_init
        if not overridden(self, ["_initialize"]):
            source = ArraySource(X)
            how = Initialization(
                init_params, _given(self, X, K), model.init_size, model.init_whiten
            )
            maximization = MaximumLikelihood(
                self.covariance_type, _reg_covar(self, source), X.dtype
            )
            start, _ = initial_parameters(source, K, maximization, how, generator)
            _set(self, start)
        elif all(value is not None for value in given):
            self._initialize(X, None)
        elif isinstance(init_params, str):
            BaseMixture._initialize_parameters(model, X, generator)
        elif callable(init_params):
            self._initialize(X, init_params(X, K, generator))
        else:
            self._initialize(X, init_params)

    @on_its_threads
    def _initialize(self, X: FloatArray, resp: FloatArray | None, xp: Any = None) -> None:
        """Set the parameters that the user has given, and what responsibilities (n, K) give."""
        X = _floats(X)
        shares = np.empty((0, self.n_components)) if resp is None else np.asarray(resp)
        _set(self, _maximum(self, X, shares, _given(self, X, shares.shape[1])))

    @on_its_threads
    def _m_step(self, X: FloatArray, log_resp: FloatArray, xp: Any = None) -> None:
        """Set the parameters of the highest likelihood under responsibilities."""
        p = _maximum(self, _floats(X), np.exp(np.asarray(log_resp)), InitialValues())
        _set(self, p._replace(weights=p.weights / p.weights.sum()))

    def _e_step(self, X: FloatArray, xp: Any = None) -> tuple[Any, FloatArray]:
        """Mean log-density, and logarithms of the responsibilities."""
        log_density, log_resp = call(self._estimate_log_prob_resp, X, xp=xp)
        return np.mean(log_density), log_resp

    @on_its_threads
    def _estimate_log_prob(self, X: FloatArray, xp: Any = None) -> FloatArray:
        """Log-density of each component at each sample, (n, K)."""
        X, model = _floats(X), self
        parameters = model._parameters().astype(X.dtype)  # type: ignore[attr-defined]
        return kernels.log_gaussian_density(X, *arguments_of_pass(parameters)[1:4])

    def _estimate_log_weights(self, xp: Any = None) -> FloatArray:
        """Logarithms of the proportions."""
        with np.errstate(divide="ignore"):
            return np.log(np.asarray(self.weights_))

    def _estimate_weighted_log_prob(self, X: FloatArray, xp: Any = None) -> FloatArray:
        """Log-density of each component at each sample plus the logarithm of its proportion."""
        log_density: FloatArray = call(self._estimate_log_prob, X, xp=xp)
        return log_density + call(self._estimate_log_weights, xp=xp)

    def _estimate_log_prob_resp(
        self, X: FloatArray, xp: Any = None
    ) -> tuple[FloatArray, FloatArray]:
        """Log-density of the mixture, (n,), and logarithms of the responsibilities, (n, K)."""
        weighted = call(self._estimate_weighted_log_prob, X, xp=xp)
        log_density = logsumexp(weighted, axis=1)
        return log_density, weighted - log_density[:, None]

    def _compute_lower_bound(self, log_resp: FloatArray, log_prob_norm: Any) -> Any:
        """Return the mean log-density."""
        return log_prob_norm

    def _get_parameters(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return what `_set_parameters` takes."""
        return self.weights_, self.means_, self.covariances_, self.precisions_cholesky_

    def _set_parameters(self, params: tuple[FloatArray, ...], xp: Any = None) -> None:
        """Set the fitted arrays, the precisions too."""
        self.weights_, self.means_, self.covariances_, self.precisions_cholesky_ = params
        cholesky = np.asarray(self.precisions_cholesky_)
        self.precisions_ = precisions_from_cholesky(cholesky, self.covariance_type)


def _floats(X: ArrayLike) -> FloatArray:
    """X as the kernels take it, whoever calls."""
    array = np.asarray(X)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _given(model: Any, X: FloatArray, n_components: int) -> InitialValues:
    return check_initial_values(
        model.weights_init,
        model.means_init,
        model.precisions_init,
        covariance_type=model.covariance_type,
        n_components=n_components,
        n_features=X.shape[1],
    )


def _reg_covar(model: Any, source: ArraySource) -> float | FloatArray:
    return regularization(model.reg_covar, model.reg_covar_relative, source.variances)


@dataclass(frozen=True)
class _CountingEverySample(MaximumLikelihood):
    """Tied covariances as scikit-learn's, which count a sample whatever its responsibilities."""

    added: FloatArray | float = 0.0

    def regularize(self, estimate: Estimate) -> Parameters:
        """Add what is left out, regularize and factorize."""
        return super().regularize(estimate._replace(covariances=estimate.covariances + self.added))


def _maximum(
    model: Any, X: FloatArray, responsibilities: FloatArray, given: InitialValues
) -> Parameters:
    """Parameters of the highest likelihood under responsibilities, but for those that are given."""
    source = ArraySource(X)
    basis = model.covariance_type, _reg_covar(model, source), X.dtype
    maximization = MaximumLikelihood(*basis)
    if model.covariance_type == "tied" and len(responsibilities):
        maximization = _CountingEverySample(*basis, _left_out(X, responsibilities))
    how, unused = Initialization(responsibilities, given), np.random.RandomState(0)
    return initial_parameters(source, responsibilities.shape[1], maximization, how, unused)[0]


def _left_out(X: FloatArray, responsibilities: FloatArray) -> FloatArray | float:
    """What scikit-learn's tied covariance has beyond ours: it counts every sample once.

    Nothing where the responsibilities of each sample sum to 1, as those of an E step do.
    """
    missing = 1.0 - responsibilities.sum(axis=1, dtype=np.float64)
    if np.abs(missing).max() <= SUM_OF_RESPONSIBILITIES:
        return 0.0
    points = X.astype(np.float64)
    return (points * missing[:, None]).T @ points / responsibilities.sum(dtype=np.float64)


def _set(model: Any, p: Parameters) -> None:
    model.weights_, model.means_ = p.weights, p.means
    model.covariances_, model.precisions_cholesky_ = p.covariances, p.precisions_cholesky
