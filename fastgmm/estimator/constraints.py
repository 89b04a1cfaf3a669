"""What the arguments of the estimators may be, as scikit-learn validates them."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

from fastgmm._records import INIT_METHODS
from fastgmm.model.families import FAMILIES, LOW_RANK

OF_GAUSSIAN_MIXTURE: dict[str, list[Any]] = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "covariance_type": [StrOptions(FAMILIES.keys()), StrOptions(LOW_RANK.keys())],  # views
    "rank": [Interval(Integral, 1, None, closed="left")],
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
    "prior": [StrOptions({"conjugate"}), dict, None],
    "shrinkage": [StrOptions({"oas"}), Interval(Real, 0.0, 1.0, closed="both"), None],
    "missing": [StrOptions({"raise", "em"})],
    "noise": ["boolean", Interval(Real, 0.0, None, closed="neither")],
    "semi_supervised": ["boolean"],
    "freeze": [str, set, frozenset, list, tuple, dict, None],
    "on_degenerate": [StrOptions({"raise", "reset", "drop", "floor"})],
    "growing_samples": ["boolean"],
    "step_size": [Interval(Real, 0.0, 1.0, closed="right"), None],
    "keep_on_interrupt": ["boolean"],
    "n_jobs": [
        Interval(Integral, 1, None, closed="left"),
        Interval(Integral, None, -1, closed="right"),
        None,
    ],
}
