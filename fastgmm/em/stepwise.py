"""Stepwise EM: the statistics of batches, one after another, each of which fades as others come.

References
----------
Cappé and Moulines, On-line expectation-maximization algorithm for latent data models, Journal of
the Royal Statistical Society B 71 (2009). Liang and Klein, Online EM for unsupervised models,
NAACL-HLT (2009).
"""

from __future__ import annotations

from typing import NamedTuple

from fastgmm._records import Parameters, Statistics
from fastgmm.data.source import Source
from fastgmm.em.degeneracy import without_regularization
from fastgmm.em.step import Step
from fastgmm.model.complete import expected_statistics
from fastgmm.model.families import family_of
from fastgmm.model.maximization import MaximumLikelihood

# Of the decreasing step size; between 1/2 and 1, and the larger, the slower the past fades.
EXPONENT = 0.6


class Stream(NamedTuple):
    """What is left of the batches so far."""

    statistics: Statistics  # per unit of weight
    weight: float  # of all the samples
    effective_weight: float  # of as many equal samples as would tell as much
    parameters: Parameters  # that these led to


def step_size(rule: float | None, before: float, weight: float) -> float:
    """Part that a batch has in the statistics, after samples of the weight `before`.

    A number is this part for every batch but the first. Without one it is (w / (W + w))^0.6, with
    the weights w of the batch and W of what came before: t^(-0.6) for the t-th of equal batches.
    With 1 in place of 0.6 each sample would count the same; as it is, early ones, whose components
    were uncertain, count less.

    Examples
    --------
    >>> step_size(None, 0.0, 100.0), step_size(0.1, 0.0, 100.0), step_size(0.1, 900.0, 100.0)
    (1.0, 1.0, 0.1)
    """
    if before == 0:
        return 1.0
    return (weight / (before + weight)) ** EXPONENT if rule is None else rule


def stream_of(parameters: Parameters, maximization: MaximumLikelihood, weight: float) -> Stream:
    """A stream that would lead to these parameters, by the statistics that they expect."""
    family = family_of(maximization.covariance_type)
    estimate = without_regularization(parameters, family, maximization.reg_covar)
    statistics = expected_statistics(estimate, maximization.covariance_type)
    return Stream(statistics, weight, weight, parameters)


def stepwise(
    batch: Source,
    maximization: MaximumLikelihood,
    parameters: Parameters,
    before: Stream | None,
    rule: float | None,
) -> tuple[Step, Stream]:
    """Take a step of stepwise EM: s ← (1 - γ) s + γ s_batch, and from s the next parameters.

    So that a prior has its weight, they are maximized as those of a sample of Kish's effective
    size: 1 / Σᵢ (cᵢ² / wᵢ), where batches of weight wᵢ have the parts cᵢ of s, which sum to 1.

    References
    ----------
    Kish, Survey sampling, Wiley (1965), section 11.7.
    """
    found = batch.expectation(parameters)
    weight = batch.total_weight
    part = step_size(rule, 0.0 if before is None else before.weight, weight)
    statistics, total, effective = found.scaled(1 / weight), weight, weight
    if before is not None:
        rest = before.statistics.about(found.reference)
        statistics = rest.scaled(1 - part) + statistics.scaled(part)
        total += before.weight
        effective = 1 / ((1 - part) ** 2 / before.effective_weight + part**2 / weight)
    scaled = statistics.scaled(effective)
    following = maximization.maximize(scaled, parameters)
    objective = maximization.objective(found, parameters, following)
    return Step(following, scaled, objective), Stream(statistics, total, effective, following)
