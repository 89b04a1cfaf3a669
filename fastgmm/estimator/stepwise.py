"""A mixture that learns from batches, one after another."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import _fit_context

from fastgmm._records import Parameters
from fastgmm.data.source import Source
from fastgmm.em.degeneracy import with_degenerate
from fastgmm.em.results import EMResult, Status
from fastgmm.em.stepwise import Stream, stepwise, stream_of
from fastgmm.estimator.base import attributes_kept_on_failure
from fastgmm.estimator.hooks import HOOKS, originals, overridden
from fastgmm.estimator.measurements import MixtureOfMeasurements
from fastgmm.estimator.plan import Points
from fastgmm.estimator.validation import check_fit_data, check_sample_weight
from fastgmm.model.maximization import MaximumLikelihood
from fastgmm.system.threads import blas_on_one_thread, on_its_threads


class Batch(NamedTuple):
    """A batch, and where it finds the mixture."""

    source: Source
    maximization: MaximumLikelihood
    parameters: Parameters
    before: Stream | None


@originals
class StepwiseMixture(MixtureOfMeasurements):
    """`partial_fit` beside `fit`."""

    _stream: Stream | None = None
    step_size: float | None
    fit_history: bool
    lower_bounds_: list[float]
    fit_history_: list[Parameters]

    @_fit_context(prefer_skip_nested_validation=True)
    @attributes_kept_on_failure
    @blas_on_one_thread()
    @on_its_threads
    def partial_fit(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Take one step of stepwise EM with a batch of samples.

        The batch's expected statistics are mixed into those of the batches before, by the part that
        `step_size` says, and the parameters are the maximum of the mixture of both [1]_. The first
        batch starts as `fit` does, once, and takes a whole step of EM; after `fit`, what was fitted
        stands for the samples before. `n_iter_` counts steps, `lower_bounds_` has the mean
        log-likelihood of each batch before its step; `converged_` is False, and `log_likelihood_`
        NaN.

        Parameters
        ----------
        X : array-like of shape (n, d)
            The batch, of as many features as those before; the first has K samples or more.
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Multiplicities of the samples.

        Returns
        -------
        self : the estimator

        Raises
        ------
        ValueError
            If the batch does not fit to those before, or an argument of the mixture needs all the
            data at once: `noise`, `semi_supervised` or `on_degenerate`.

        References
        ----------
        .. [1] Cappé and Moulines, On-line expectation-maximization algorithm for latent data
           models, Journal of the Royal Statistical Society B 71 (2009).

        Examples
        --------
        >>> import numpy as np
        >>> from fastgmm import GaussianMixture
        >>> rng = np.random.default_rng(0)
        >>> model = GaussianMixture(2, random_state=0)
        >>> for _ in range(20):
        ...     batch = rng.normal([[-3.0], [3.0]], size=(2, 100)).reshape(-1, 1)
        ...     model = model.partial_fit(batch)
        >>> model.n_iter_, np.sort(model.means_.ravel()).round(1)
        (20, array([-3.,  3.]))
        """
        self._refuse_all_at_once()
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused
            is_first = "means_" not in vars(self)
            batch = self._first(X, sample_weight) if is_first else self._further(X, sample_weight)
            step, stream = stepwise(*batch, self.step_size)
        lower_bounds = [] if is_first else list(self.lower_bounds_)
        result = EMResult(
            step.parameters,
            Status.STOPPED,
            [*lower_bounds, step.objective],
            history=self._history(step.parameters, is_first=is_first),
            statistics=step.statistics,
        )
        self._keep(with_degenerate(result, batch.source, batch.maximization), math.nan)
        self._stream = stream
        self._has_seen(stream.weight)
        return self

    def _first(self, X: ArrayLike, sample_weight: ArrayLike | None) -> Batch:
        """Check the first batch, and start from it."""
        data, weight = check_fit_data(self, X, sample_weight, self.n_components)
        source = partial(self._source_of, data, weight)
        plan = self._plan(Points(len(data), data.shape[1], data.dtype, source, data))
        start, _ = plan.start()
        return Batch(plan.source, plan.maximization, start, None)

    def _further(self, X: ArrayLike, sample_weight: ArrayLike | None) -> Batch:
        """Check a batch as predictions check theirs, and go on from what is fitted."""
        data = self._check_predict_data(X)
        self._check_arguments([self.covariance_type])
        source = self._source_of(data, check_sample_weight(sample_weight, data))
        if source.total_weight == 0:
            raise ValueError("No row of X has weight and an observed value; leave this batch out.")
        maximization = self._maximization(source)
        parameters = self._fitted_so_far(data.shape[1]).astype(data.dtype)
        before = self._stream
        if before is None or not _are_equal(before.parameters, parameters):
            seen = getattr(self, "n_samples_seen_", math.nan)
            weight = source.total_weight if math.isnan(seen) else seen
            before = stream_of(parameters, maximization, weight)
        return Batch(source, maximization, parameters, before)

    def _history(self, parameters: Parameters, *, is_first: bool) -> list[Parameters]:
        if not self.fit_history:
            return []
        return [parameters] if is_first else [*self.fit_history_, parameters]

    def _has_seen(self, weight: float) -> None:
        self.n_samples_seen_ = weight

    def _refuse_all_at_once(self) -> None:
        """Refuse what needs all the data, or scikit-learn's loop."""
        model: Any = self
        unknown = {
            "noise": bool(model.noise),
            "covariance_type='low_rank'": model.covariance_type == "low_rank",
            "semi_supervised": model.semi_supervised,
            f"on_degenerate={model.on_degenerate!r}": model.on_degenerate != "raise",
            **{f"an overridden {name}": True for name in overridden(self, HOOKS)},
        }
        given = [name for name, is_given in unknown.items() if is_given]
        if given:
            raise ValueError(
                f"partial_fit does not go with {', '.join(given)}; leave it out, or use fit."
            )


def _are_equal(one: Parameters, other: Parameters) -> bool:
    """Whether the parameters that densities are of are the same."""
    return one.covariance_type == other.covariance_type and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("weights", "means", "precisions_cholesky")
    )
