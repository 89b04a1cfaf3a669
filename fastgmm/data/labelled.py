"""A source of points of which some are known to belong to a component."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.data.source import Source, SourceAround, SourceOf
from fastgmm.model.families import arguments_of_pass, family_of

UNKNOWN = -1


class LabelledSource(SourceAround):
    """Points, and the components (n,) that they are known to belong to, -1 where that is not known.

    Those of a component add their statistics to it alone, and log πₖ N(x; μₖ, Σₖ) to the
    log-likelihood. For everything else than passes, labels do not matter.

    References
    ----------
    Nigam, McCallum, Thrun and Mitchell, Text classification from labeled and unlabeled documents
    using EM, Machine Learning 39 (2000).
    """

    def __init__(self, whole: Source, labels: np.ndarray, of_rows: SourceOf, X: FloatArray) -> None:
        super().__init__(whole)
        weight = whole.sample_weight
        self._parts = []
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            own = None if weight is None else weight[rows]
            if own is None or own.any():
                self._parts.append((int(label), of_rows(X[rows], own)))

    def expectation(self, parameters: Parameters) -> Statistics:
        """Expected statistics of all the points: a pass over each component's own and the rest."""
        total: Statistics | None = None
        for label, part in self._parts:
            if label == UNKNOWN:
                found = part.expectation(parameters)
            else:
                own = part.expectation(one_component(parameters, label))
                found = _of_one(own, label, parameters)
            total = found if total is None else total + found
        assert total is not None
        return total

    def log_likelihood(self, parameters: Parameters) -> float:
        """Σᵢ wᵢ log p(xᵢ), or log p(xᵢ, component) where that is known."""
        return sum(
            part.log_likelihood(
                parameters if label == UNKNOWN else one_component(parameters, label)
            )
            for label, part in self._parts
        )


def one_component(parameters: Parameters, k: int) -> Parameters:
    """The mixture of component k alone, with its weight, in the type of the pass."""
    weights, means, factors, pass_type, _ = arguments_of_pass(parameters)
    own = factors if pass_type == "tied" else factors[k : k + 1]
    return Parameters(weights[k : k + 1], means[k : k + 1], own, own, pass_type)


def _of_one(own: Statistics, k: int, parameters: Parameters) -> Statistics:
    """Statistics of component k, among those of all."""
    K, d = parameters.means.shape
    counts, first = np.zeros(K), np.zeros((K, d))
    counts[k], first[k] = own.counts[0], own.first[0]
    if family_of(parameters.covariance_type).pass_type == "tied":
        second = own.second
    else:
        second = np.zeros((K, *own.second.shape[1:]))
        second[k] = own.second[0]
    reference = np.asarray(parameters.means, np.float64)
    return replace(own, counts=counts, first=first, second=second, reference=reference)
