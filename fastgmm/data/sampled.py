"""Few rows in place of many: a random sample, as it is and corrected by what is known of all."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.data.source import ArraySource
from fastgmm.model.complete import complete_log_likelihood


class Expecting(Protocol):
    """What EM asks of its data."""

    def expectation(self, parameters: Parameters) -> Statistics:
        """Return the expected statistics of all the points."""


class Sample(ArraySource):
    """Some of many rows, whose statistics are scaled to the weight of them all.

    So a prior weighs beside the sample what it weighs beside the whole.
    """

    def __init__(
        self, X: FloatArray, sample_weight: FloatArray | None, weight_of_all: float
    ) -> None:
        super().__init__(X, sample_weight)
        self._factor = weight_of_all / self.total_weight

    def expectation(self, parameters: Parameters) -> Statistics:
        """Expected statistics of the sample, as if it were the whole."""
        return super().expectation(parameters).scaled(self._factor)


class CorrectedSample:
    """A sample whose statistics are, at one place θ₀, those of all the rows.

    Of statistics S of all the rows and s of the sample it has s(θ) + S(θ₀) - s(θ₀), as in [1]_.
    EM with these has the stationary points of the whole likelihood for its own, and what it never
    lowers is the sample's log-likelihood plus Q(S(θ₀) - s(θ₀); θ). That is the lower bound of EM
    over all the rows, Q(S(θ₀); θ), and the sample's estimate of how far the log-likelihood
    is above it: near θ₀ a small number, so that little is left to chance.

    References
    ----------
    .. [1] Chen, Zhu, Teh and Zhang, Stochastic expectation maximization with variance reduction,
       NeurIPS 31 (2018), equation 5.
    """

    def __init__(self, sample: Expecting, statistics: Statistics, parameters: Parameters) -> None:
        self._sample = sample
        self._difference = statistics + sample.expectation(parameters).scaled(-1.0)

    def expectation(self, parameters: Parameters) -> Statistics:
        """Expected statistics of the sample, corrected."""
        own = self._sample.expectation(parameters)
        linear = complete_log_likelihood(self._difference, parameters)
        return own + replace(self._difference.about(own.reference), log_likelihood=linear)
