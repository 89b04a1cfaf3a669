"""The fitted attributes, under scikit-learn's names: of a result, from and to its own mixture."""

from __future__ import annotations

import math
from copy import deepcopy
from inspect import signature
from typing import Any, TypeVar

import numpy as np

# Not from sklearn.mixture, where programs put another class in its place.
from sklearn.mixture._gaussian_mixture import GaussianMixture as Peer

from fastgmm._records import COVARIANCE_TYPES, OWN_METHODS
from fastgmm.em.results import EMResult
from fastgmm.model.factors import precisions_from_cholesky
from fastgmm.model.families import LOW_RANK
from fastgmm.model.low_rank import as_full

Estimator = TypeVar("Estimator")
Class = TypeVar("Class", bound=type)

# Attributes of records that scikit-learn's mixture does without.
RECORDS = ("fit_history_", "repairs_")

# What a mixture says that scikit-learn has fitted, unless it was made of one of ours.
UNKNOWN = {
    "log_likelihood_": math.nan,
    "largest_fall_": math.nan,
    "degenerate_components_": np.empty(0, np.intp),
}


# Of scikit-learn's classes, ours.
COUNTERPARTS: dict[type, Any] = {}


def in_scikit_learns_place(cls: Class, peer: type = Peer) -> Class:
    """Have a class stand wherever code expects scikit-learn's.

    Objects may come without its ``__init__`` having run: a scikit-learn mixture's ``__dict__`` in
    a new object, subclasses with an ``__init__`` of their own. So the class has the defaults of
    the arguments that it adds. Other libraries ask for isinstance(mixture, GaussianMixture).
    """
    for name, argument in signature(cls).parameters.items():
        if name not in signature(peer).parameters:
            setattr(cls, name, argument.default)
    peer.register(cls)  # type: ignore[attr-defined]
    COUNTERPARTS[peer] = cls
    return cls


def fitted_attributes(result: EMResult, log_likelihood: float = math.nan) -> dict[str, Any]:
    """Attributes of a fitted mixture, under scikit-learn's names and ours."""
    p, unknown = result.parameters, result.degenerate is None
    return {
        "weights_": p.weights,
        "means_": p.means,
        "covariances_": p.covariances,
        "precisions_cholesky_": p.precisions_cholesky,
        "precisions_": precisions_from_cholesky(p.precisions_cholesky, p.covariance_type),
        "converged_": result.converged,
        "n_iter_": result.n_iter,
        "lower_bound_": result.lower_bound,
        "lower_bounds_": result.lower_bounds,
        "largest_fall_": result.largest_fall,
        "degenerate_components_": np.empty(0, np.intp) if unknown else result.degenerate,
        "log_likelihood_": log_likelihood,
        "fit_history_": result.history,
        "repairs_": result.repairs,
    }


def is_kept(estimator: Any, result: EMResult) -> bool:
    """Whether the fitted attributes are those of the result."""
    return vars(estimator).get("means_") is result.parameters.means


def set_by_fit(estimator: Any) -> dict[str, Any]:
    """Return the attributes that end with an underscore, by scikit-learn's convention."""
    return {
        name: value
        for name, value in vars(estimator).items()
        if name.endswith("_") and not name.startswith("_")
    }


def from_sklearn(cls: type[Estimator], model: Any) -> Estimator:
    """Make an estimator of `cls` with scikit-learn's arguments and fitted attributes."""
    peer = _peer_of(cls)
    if peer not in type(model).__mro__:  # ours is an instance by registration
        raise TypeError(
            f"from_sklearn() takes a sklearn.mixture.{peer.__name__}, not "
            f"{type(model).__module__}.{type(model).__name__}; GaussianMixture.from_parameters() "
            "makes a mixture of the weights, means and covariances of any other."
        )
    mixture = _copied(model, cls(**_arguments(model)))
    if hasattr(mixture, "converged_") and peer is Peer:
        for name, unknown in UNKNOWN.items():
            setattr(mixture, name, deepcopy(getattr(model, name, unknown)))
        for name in RECORDS:
            setattr(mixture, name, [])
    return mixture


def to_sklearn(model: Any) -> Any:
    """Make scikit-learn's estimator with the arguments and fitted attributes of `model`.

    Arguments that it does not have are left out; an `init_params` that it does not know becomes
    its default.
    """
    if model.covariance_type in LOW_RANK:
        return to_sklearn(_with_matrices(model))
    if model.covariance_type not in COVARIANCE_TYPES:
        raise ValueError(
            f"scikit-learn has no covariance_type={model.covariance_type!r}. Repeat the covariance "
            "for each component and make a mixture of another type with "
            "GaussianMixture.from_parameters, which can be converted."
        )
    if hasattr(model, "noise_weight_"):
        raise ValueError(
            "scikit-learn has no noise component. Fit without noise, or make a mixture of the "
            "other components alone with GaussianMixture.from_parameters, which can be converted."
        )
    peer = _peer_of(type(model))
    known = peer().get_params()
    arguments = {name: value for name, value in _arguments(model).items() if name in known}
    init_params = arguments["init_params"]
    if not isinstance(init_params, str) or init_params in OWN_METHODS:
        arguments["init_params"] = known["init_params"]
    return _copied(model, peer(**arguments))


def _with_matrices(model: Any) -> Any:
    """The same mixture with d × d matrices in place of loadings."""
    copy = _copied(model, type(model)(**_arguments(model) | {"covariance_type": "full"}))
    if hasattr(model, "means_"):
        p = as_full(model._parameters())
        copy.covariances_, copy.precisions_cholesky_ = p.covariances, p.precisions_cholesky
        copy.precisions_ = precisions_from_cholesky(p.precisions_cholesky, "full")
    return copy


def _peer_of(cls: type) -> Any:
    """Scikit-learn's class of which this, or a class that it inherits from, takes the place."""
    return next(peer for peer, ours in COUNTERPARTS.items() if ours in cls.__mro__)


def _arguments(model: Any) -> dict[str, Any]:
    return {name: deepcopy(value) for name, value in model.get_params(deep=False).items()}


def _copied(source: Any, target: Any) -> Any:
    """Copy what a fit has set and both know."""
    for name, value in set_by_fit(source).items():
        if name not in RECORDS:
            setattr(target, name, deepcopy(value))
    return target
