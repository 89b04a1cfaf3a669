"""What a fitted mixture says of some features: alone, or of the others given those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from fastgmm._records import FloatArray, Parameters
from fastgmm.estimator.fitted import FittedMixture
from fastgmm.estimator.validation import FLOAT_DTYPES
from fastgmm.model.conditioning import Conditional, Regression, conditional, marginal, regression
from fastgmm.system.threads import on_its_threads

# Numbers of columns, their names, or a mask over all of them; one alone need not be in a list.
Features: TypeAlias = int | str | Sequence[int] | Sequence[str] | np.ndarray


class MixtureOfFeatures(FittedMixture):
    """Marginals, conditionals and regression of a mixture that has its parameters."""

    def marginal(self, features: Features) -> Any:
        """Mixture of some features, whatever the others are.

        Parameters
        ----------
        features : list of int or of str, or mask of shape (d,)
            Columns, by number or by name, in the order in which the new mixture has them.

        Returns
        -------
        mixture : GaussianMixture
            Fitted, with the same components.

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
        chosen = self._chosen(features)
        return self._made_of(marginal(self._parameters(), chosen), chosen)

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
        chosen = self._chosen(features)
        p = self._parameters()
        d = p.means.shape[1]
        if len(chosen) == d:
            raise ValueError(
                f"All of the {d} feature(s) are given, so that none is left; give fewer."
            )
        return conditional(p, chosen, self._checked_values(values, chosen))

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
        return regression(self.conditional(features, values))

    def _made_of(self, p: Parameters, features: list[int] | slice = slice(None)) -> Any:
        """Return a fitted mixture of this class, of some of its features or all."""
        made = type(self).from_parameters(*p[:3], p.covariance_type)
        made.n_jobs = self.n_jobs
        if hasattr(self, "feature_names_in_"):
            made.feature_names_in_ = self.feature_names_in_[features]
        return made

    def _checked_parameters(self) -> Parameters:
        check_is_fitted(self)
        return self._parameters()

    def _chosen(self, features: Features) -> list[int]:
        """Return the numbers of features, once they are checked."""
        d = self._checked_parameters().means.shape[1]
        asked = np.atleast_1d(np.asarray(features))
        if asked.ndim != 1 or not asked.size:
            raise ValueError(
                f"features has shape {np.shape(features)}; expected a list of one or more columns."
            )
        if asked.dtype.kind == "b":
            if len(asked) != d:
                raise ValueError(f"The mask of features has {len(asked)} elements; expected {d}.")
            numbers = np.flatnonzero(asked).tolist()
            if not numbers:
                raise ValueError("The mask of features chooses none; choose one or more.")
            return numbers
        names = list(getattr(self, "feature_names_in_", ()))
        numbers = [_number(feature, names, d) for feature in asked.tolist()]
        twice = sorted({str(asked[i]) for i, n in enumerate(numbers) if n in numbers[:i]})
        if twice:
            raise ValueError(f"Feature {', '.join(twice)} is given twice; name each one once.")
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
        array: FloatArray = check_array(values, dtype=FLOAT_DTYPES, input_name="values")
        if array.shape[1] != len(chosen):
            raise ValueError(
                f"values has shape {array.shape}; expected {len(chosen)} column(s), one for each "
                "feature that is given."
            )
        return array


def _number(feature: object, names: list[str], d: int) -> int:
    """Return the number of a feature that is given by number or name."""
    if isinstance(feature, str):
        if feature not in names:
            known = f"its features are {', '.join(names)}" if names else "they have no names"
            raise ValueError(f"The mixture has no feature {feature!r}; {known}.")
        return names.index(feature)
    if not isinstance(feature, int):
        raise ValueError(f"features should be numbers of columns or names; got {feature!r}.")
    if not -d <= feature < d:
        raise ValueError(f"Feature {feature} is not there; columns are numbered from 0 to {d - 1}.")
    return feature % d
