"""What a fitted mixture says of its components, and mixtures with fewer of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastgmm._records import FloatArray
from fastgmm.estimator.containers import pandas
from fastgmm.estimator.features import MixtureOfFeatures
from fastgmm.model.components import mahalanobis, merged, of_components
from fastgmm.model.families import family_of


class MixtureOfComponents(MixtureOfFeatures):
    """Distances from components, merging and pruning, of a mixture that has its parameters."""

    def mahalanobis(self, X: ArrayLike) -> FloatArray:
        """Mahalanobis distance of each point from each component, in standard deviations.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        distances : ndarray of shape (n, K)

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0.0, 1.0]], [[4.0, 1.0]], "diag")
        >>> mixture.mahalanobis([[6.0, 5.0]])
        array([[5.]])
        """
        data = self._check_predict_data(X, may_miss=False)
        return mahalanobis(self._parameters().astype(data.dtype), data)

    def merge(self, components: Sequence[int]) -> Any:
        """Mixture in which one component stands for several.

        It has their weight, mean and covariance, that of the points of them all. Where all
        components have one covariance in common, this grows so that the mixture as a whole keeps
        its own.

        Parameters
        ----------
        components : list of int
            Two or more numbers of components; the new one is in the place of the first.

        Returns
        -------
        mixture : GaussianMixture
            Fitted.

        Raises
        ------
        ValueError
            If there is no such component, fewer than two, or one twice.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> weights, means, variances = [0.25, 0.25, 0.5], [[0.0], [2.0], [9.0]], [1.0, 1.0, 1.0]
        >>> mixture = GaussianMixture.from_parameters(weights, means, variances, "spherical")
        >>> both = mixture.merge([0, 1])
        >>> both.means_[:, 0], both.covariances_
        (array([1., 9.]), array([2., 1.]))
        """
        p = self._checked_parameters()
        K, numbers = len(p.weights), np.atleast_1d(np.asarray(components))
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise ValueError(f"components should be numbers of components; got {components}.")
        together = numbers.tolist()
        if len(together) < 2 or len(set(together)) < len(together):
            raise ValueError(f"components should be two or more different ones; got {components}.")
        if not 0 <= min(together) <= max(together) < K:
            raise ValueError(
                f"components are {components}, but those of the mixture are numbered from 0 to "
                f"{K - 1}."
            )
        return self._made_of(merged(p, together))

    def prune(self, min_weight: float) -> Any:
        """Mixture without the components of little weight; the others' weights are scaled.

        Parameters
        ----------
        min_weight : float
            The least weight of a component that stays, within [0, 1].

        Returns
        -------
        mixture : GaussianMixture
            Fitted.

        Raises
        ------
        ValueError
            If no component has that weight.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> weights, means, variances = [0.96, 0.04], [[0.0], [9.0]], [1.0, 1.0]
        >>> mixture = GaussianMixture.from_parameters(weights, means, variances, "spherical")
        >>> mixture.prune(0.05).weights_
        array([1.])
        """
        p = self._checked_parameters()
        kept = np.flatnonzero(p.weights >= min_weight).tolist()
        if not kept or p.weights[kept].sum() <= 0:
            raise ValueError(
                f"No component has a weight of {min_weight} or more, the largest is "
                f"{p.weights.max():.3g}; give a smaller one."
            )
        return self._made_of(of_components(p, kept))

    def to_frame(self) -> Any:  # pandas has no types of its own
        """Table of the components: weight, and mean and standard deviation of each feature.

        Returns
        -------
        table : pandas.DataFrame
            A row for each component; the columns are ``weight``, ``mean_…`` and ``std_…``, with the
            names of features if the mixture has them, and their numbers otherwise.

        Examples
        --------
        >>> from fastgmm import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0.5]], [4.0], "spherical")
        >>> print(mixture.to_frame().to_string(index=False))
         weight  mean_0  std_0
            1.0     0.5    2.0
        """
        pd = pandas()
        p = self._checked_parameters()
        K, d = p.means.shape
        deviations = np.sqrt(family_of(p.covariance_type).variances(p.covariances, K, d))
        names = getattr(self, "feature_names_in_", range(d))
        columns = ["weight", *(f"{what}_{name}" for what in ("mean", "std") for name in names)]
        table = np.column_stack([p.weights, p.means, deviations])
        return pd.DataFrame(table, pd.RangeIndex(K, name="component"), columns)
