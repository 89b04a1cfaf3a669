"""Scikit-learn's callbacks (from 1.9 on), told of each start and each iteration of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.em.progress import Watcher
from fastgmm.em.results import EMResult, Iteration, Status

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupport
except ImportError:

    class CallbackSupport:  # type: ignore[no-redef]
        """With scikit-learn before 1.9 there are no callbacks, nor `set_callbacks`."""


# X, y and sample weights
Data: TypeAlias = tuple[Any, Any, FloatArray | None]
AttributesOf: TypeAlias = Callable[[EMResult], dict[str, Any]]


def callbacks_of(
    estimator: Any, data: Data, n_starts: int, fitted_attributes: AttributesOf
) -> list[Callbacks]:
    """What tells the callbacks of an estimator of its fit; nothing if it has none."""
    has_any = bool(getattr(estimator, "_skl_callbacks", None))
    return [Callbacks(estimator, data, n_starts, fitted_attributes)] if has_any else []


class Callbacks(Watcher):
    """The tasks of a fit as scikit-learn's callbacks see them: fit, its starts, their iterations.

    Where there is no `y`, callbacks get NaN for each sample: ``ScoringMonitor`` scores nothing
    without one, and what needs a true one refuses NaN. `fitted_attributes` makes of a result what
    makes a copy of the estimator a fitted one.
    """

    def __init__(
        self, estimator: Any, data: Data, n_starts: int, fitted_attributes: AttributesOf
    ) -> None:
        X, y, sample_weight = data
        self._max_iter = estimator.max_iter
        self._fitted_attributes = fitted_attributes
        self._lower_bounds: list[float] = []
        self._largest_fall = 0.0
        self._data = {
            "estimator": estimator,
            "X": X,
            "y": (lambda: np.full(len(X), np.nan)) if y is None else y,
            "metadata": None if sample_weight is None else {"sample_weight": sample_weight},
        }
        self._fit = estimator._init_callback_context(max_subtasks=n_starts)
        self._fit.call_on_fit_task_begin(**self._data)

    def run_begins(self, index: int) -> None:
        """Begin the task of a start."""
        self._lower_bounds, self._largest_fall = [], 0.0
        self._start = self._fit.subcontext(task_name="start", max_subtasks=self._max_iter)
        self._start.call_on_fit_task_begin(**self._data)

    def iteration_ends(self, iteration: Iteration) -> bool:
        """Tell of an iteration; both hooks come after it, since it is short."""
        self._lower_bounds.append(iteration.lower_bound)
        self._largest_fall = max(self._largest_fall, -iteration.change)
        so_far = EMResult(
            iteration.parameters,
            Status.STOPPED,
            list(self._lower_bounds),
            iteration.change,
            largest_fall=self._largest_fall,
        )
        task = self._start.subcontext(task_name="iteration")
        task.call_on_fit_task_begin(**self._data)
        return self._end(task, so_far)

    def run_ends(self, result: EMResult) -> bool:
        """End the task of a start."""
        return self._end(self._start, result)

    def run_fails(self, error: Exception) -> None:
        """End the task of a start that has no result."""
        self._start.call_on_fit_task_end(**self._data)

    def fit_ends(self, result: EMResult) -> None:
        """End the task of the fit."""
        self._end(self._fit, result)

    def _end(self, task: Any, result: EMResult) -> bool:
        return bool(
            task.call_on_fit_task_end(
                **self._data, reconstruction_attributes=lambda: self._fitted_attributes(result)
            )
        )
