"""What a fitted mixture says of some features: alone, or of the others given those."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from fastgmm._records import FloatArray, Parameters
from fastgmm.em.results import EMResult, Status
from fastgmm.estimator.containers import refuse_missing, refuse_other_namespaces
from fastgmm.estimator.criteria import MixtureWithCriteria
from fastgmm.estimator.fitted import PREDICTIONS
from fastgmm.estimator.hooks import overridden
from fastgmm.estimator.validation import FLOAT_DTYPES
from fastgmm.model import missing
from fastgmm.model.conditioning import (
    Conditional,
    Regression,
    conditional,
    marginal,
    regression,
    weights_given,
)
from fastgmm.system.memory import check_memory
from fastgmm.system.threads import blas_on_one_thread, on_its_threads

INITIAL_VALUES = ("weights_init", "means_init", "precisions_init")
# Numbers of columns, their names, or a mask over all of them; one alone need not be in a list.
Features: TypeAlias = int | str | Sequence[int] | Sequence[str] | np.ndarray


class MixtureOfFeatures(MixtureWithCriteria):
    """Marginals, conditionals and regression of a mixture that has its parameters."""

    @on_its_threads
    def impute(
        self,
        X: ArrayLike,
        *,
        draw: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> FloatArray:
        """Fill missing values in, given what is observed.

        Parameters
        ----------
        X : array-like of shape (n, d)
            NaN where a value is missing, whatever the argument `missing` of the mixture is.
        draw : bool, default=False
            Whether to draw values from the distribution of what is missing, as multiple imputation
            wants it, in place of their expectation.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws; None for the mixture's own `random_state`.

        Returns
        -------
        X : ndarray of shape (n, d)
            The rows, with nothing missing.

        References
        ----------
        Ghahramani and Jordan, Supervised learning from incomplete data via an EM approach, NIPS 6
        (1994).

        Examples
        --------
        >>> import numpy as np
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0, 1]], [[[1, 0.5], [0.5, 1]]])
        >>> mixture.impute([[2.0, np.nan], [np.nan, np.nan]])
        array([[2., 2.],
               [0., 1.]])
        """
        data = self._check_predict_data(X, may_miss=True)
        p = self._parameters().astype(data.dtype)
        if not draw:
            return missing.expected(data, p)
        seed = self.random_state if random_state is None else random_state
        return missing.drawn(data, p, check_random_state(seed))

    def marginal(self, features: Features) -> Any:
        """Mixture of some features, whatever the others are.

        Parameters
        ----------
        features : list of int or of str, or mask of shape (d,)
            Columns, by number (negative ones from the end) or by name, in the order in which the
            new mixture has them.

        Returns
        -------
        mixture : GaussianMixture
            Fitted, with the same components and arguments, but for starting values.

        Raises
        ------
        ValueError
            If there is no such feature, none at all, or one twice.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> means, covariances = [[0.0, 1.0, 2.0]], [[1.0, 4.0, 9.0]]
        >>> mixture = GaussianMixture.from_parameters([1.0], means, covariances, "diag")
        >>> mixture.marginal([2, 0]).means_
        array([[2., 0.]])
        """
        p = self._checked_parameters()
        chosen = self._chosen(features, p.means.shape[1])
        return self._made_of(marginal(p, chosen), chosen)

    @blas_on_one_thread()
    @on_its_threads
    def conditional(self, features: Features, values: ArrayLike) -> Conditional:
        """Mixtures of the other features at points that are known in some.

        Parameters
        ----------
        features : list of int or of str, or mask of shape (d,)
            The columns that are known, by number or by name.
        values : array-like of shape (n, number of features)
            Their values at each point, in the same order.

        Returns
        -------
        mixtures : Conditional
            `weights` (n, K), `means` (n, K, d') and `covariances` (K, d', d') of the d' other
            features, which keep their order.

        Raises
        ------
        ValueError
            If there is no such feature, or one twice, or all are given; if values are not finite,
            or have another shape.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0.0, 1.0]], [[[2.0, 1], [1, 1]]])
        >>> given = mixture.conditional([0], [[0.0], [4.0]])
        >>> given.means[:, 0], given.covariances
        (array([[1.],
               [3.]]), array([[[0.5]]]))
        """
        p, chosen, given = self._given(features, values)
        n_bytes = len(given) * p.means.size * given.itemsize
        check_memory(n_bytes, "The conditional means", "ask for fewer points at a time")
        return conditional(p, chosen, given, self._weights_given(p, chosen, given))

    @blas_on_one_thread()
    @on_its_threads
    def predict_regression(self, features: Features, values: ArrayLike) -> Regression:
        """Mean and variance of the other features at points that are known in some.

        Gaussian mixture regression: those of `conditional`'s mixtures.

        Parameters
        ----------
        features : list of int or of str, or mask of shape (d,)
            The columns that are known, by number or by name.
        values : array-like of shape (n, number of features)
            Their values at each point, in the same order.

        Returns
        -------
        prediction : Regression
            `mean` and `variance`, each (n, d'), of the d' other features, which keep their order.

        Raises
        ------
        ValueError
            As `conditional` does.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0.0, 1.0]], [[[2.0, 1], [1, 1]]])
        >>> mixture.predict_regression([0], [[4.0]])
        Regression(mean=array([[3.]]), variance=array([[0.5]]))
        """
        p, chosen, given = self._given(features, values)
        return regression(p, chosen, given, self._weights_given(p, chosen, given))

    def _given(
        self, features: Features, values: ArrayLike
    ) -> tuple[Parameters, list[int], FloatArray]:
        """Return parameters, the numbers of features that are given, and their values."""
        p = self._checked_parameters()
        d = p.means.shape[1]
        chosen = self._chosen(features, d)
        if len(chosen) == d:
            raise ValueError(
                f"All features are given ({d}), so that none is left to say anything of."
            )
        return p, chosen, self._checked_values(values, chosen)

    def _weights_given(self, p: Parameters, chosen: list[int], values: FloatArray) -> FloatArray:
        if overridden(self, PREDICTIONS):
            return np.asarray(self._made_of(marginal(p, chosen), chosen).predict_proba(values))
        return weights_given(p, chosen, values)

    def _made_of(self, p: Parameters, features: list[int] | slice = slice(None)) -> Any:
        """Return a fitted mixture with this one's arguments, of some of its features or all.

        What would not fit, such as starting values, is left out, and so is noise.
        """
        made: Any = clone(self)
        arguments: dict[str, Any] = {"n_components": len(p.weights), "noise": False}
        arguments |= dict.fromkeys((*INITIAL_VALUES, "freeze"))
        if isinstance(getattr(self, "prior", None), dict):
            arguments["prior"] = "conjugate"
        if not isinstance(getattr(self, "init_params", ""), str):
            arguments["init_params"] = "kmeans"
        known = made.get_params(deep=False)
        made.set_params(**{name: arguments[name] for name in arguments if name in known})
        made.n_features_in_ = p.means.shape[1]
        if hasattr(self, "feature_names_in_"):
            made.feature_names_in_ = np.asarray(self.feature_names_in_, object)[features]
        own = Parameters(
            np.array(p.weights), np.array(p.means), np.array(p.covariances),
            np.array(p.precisions_cholesky), p.covariance_type,
        )  # fmt: skip
        made._keep(EMResult(own, Status.INITIALIZED), math.nan)
        return made

    def _checked_parameters(self) -> Parameters:
        check_is_fitted(self)
        p = self._parameters()
        return p.astype(np.result_type(p.means, np.float32))  # integers may have been set by hand

    def _chosen(self, features: Features, d: int) -> list[int]:
        """Return the numbers of features, once they are checked."""
        asked = np.atleast_1d(np.asarray(features, None if _is_mask(features) else object))
        if asked.ndim != 1 or not asked.size:
            raise ValueError(
                f"features has shape {np.shape(features)}; expected a list of one or more columns."
            )
        if asked.dtype == bool:
            if len(asked) != d:
                raise ValueError(f"The mask of features has {len(asked)} elements; expected {d}.")
            numbers = np.flatnonzero(asked).tolist()
            if not numbers:
                raise ValueError("The mask of features chooses none; choose one or more.")
            return numbers
        names = list(getattr(self, "feature_names_in_", ()))
        numbers = [_number(feature, names, d) for feature in asked]
        twice = sorted({n for i, n in enumerate(numbers) if n in numbers[:i]})
        if twice:
            raise ValueError(f"Column {twice[0]} is given twice in features; give each one once.")
        return numbers

    def _checked_values(self, values: ArrayLike, chosen: list[int]) -> FloatArray:
        columns, names = getattr(values, "columns", None), getattr(self, "feature_names_in_", None)
        if columns is not None and names is not None:
            expected = list(names[chosen])
            if list(columns) != expected:
                raise ValueError(
                    f"The columns of values are {list(columns)}; expected {expected}, as in "
                    "features."
                )
        refuse_other_namespaces(values)
        refuse_missing(values, "values")
        array: FloatArray = check_array(values, dtype=FLOAT_DTYPES, input_name="values")
        if array.shape[1] != len(chosen):
            raise ValueError(
                f"values has shape {array.shape}; expected {len(chosen)} column(s), one for each "
                "feature that is given."
            )
        return array


def _is_mask(features: Any) -> bool:
    return np.asarray(features).dtype == bool


def _number(feature: object, names: list[str], d: int) -> int:
    """Return the number of a feature that is given by number or name."""
    if isinstance(feature, str):
        if feature not in names:
            known = f"its features are {', '.join(names)}" if names else "they have no names"
            raise ValueError(f"The mixture has no feature {feature!r}; {known}.")
        return names.index(feature)
    if isinstance(feature, bool | np.bool_) or not isinstance(feature, Integral):
        raise ValueError(f"features should be numbers of columns or names; got {feature!r}.")
    number = int(feature)
    if not -d <= number < d:
        raise ValueError(f"There is no feature {number}; columns are numbered from 0 to {d - 1}.")
    return number % d
