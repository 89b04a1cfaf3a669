"""Choosing the number of components and the covariance type: many fits, one table, one model."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from fastgmm._records import COVARIANCE_TYPES, CRITERIA, Criterion
from fastgmm.data.criteria import classification_entropy
from fastgmm.estimator.containers import pandas
from fastgmm.estimator.validation import check_fit_data, check_total_weight
from fastgmm.mixture import GaussianMixture
from fastgmm.model.families import family_of
from fastgmm.selection.cells import (
    MOST_ROWS_SHARED,
    Fits,
    Row,
    Tried,
    by_held_out,
    by_information,
    by_stability,
)
from fastgmm.selection.workers import Workers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIGHER_IS_BETTER = ("held-out", "stability")
# Fits of each cell, if nothing is said: stability is an average over pairs of them.
N_INIT, N_REFITS = 1, 10
# Two to fit, and one that is left out.
FEWEST_HELD_OUT = 3
KINDS: dict[str, Any] = {
    "covariance_type": "U16", "n_components": np.intp, "value": np.float64,
    "log_likelihood": np.float64, "n_parameters": np.intp, "n_iter": np.intp,
    "converged": np.bool_, "n_degenerate": np.intp, "seconds": np.float64, "failure": object,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Selection:
    """What was tried, and the best of it.

    That is the best of the cells without a degenerate component, unless all have one.

    Attributes
    ----------
    criterion : str
    table : record array
        A row for each cell: `covariance_type`, `n_components` (that were asked for), `value` (of
        the criterion, NaN where the fit failed), `log_likelihood` (mean, of the data that the best
        fit was to), `n_parameters`, `n_iter`, `converged`, `n_degenerate` (components that have
        collapsed: the criterion misleads), `seconds`, and `failure` (why there is no value, or an
        empty string).
    best_model_ : GaussianMixture
        Of the best cell, fitted to all the data.
    """

    criterion: Criterion
    table: np.recarray
    best_model_: GaussianMixture

    def __repr__(self) -> str:
        tried = f"{len(self.table)} tried"
        best = f"{self.best_n_components_} components, {self.best_covariance_type_}"
        return f"<Selection by {self.criterion}: {best}; {tried}>"

    @property
    def best_n_components_(self) -> int:
        """Number of components of the best model."""
        return len(self.best_model_.weights_)

    @property
    def best_covariance_type_(self) -> str:
        """Covariance type of the best model."""
        return self.best_model_.covariance_type

    def to_frame(self) -> Any:  # pandas has no types of its own
        """Return the table as a pandas.DataFrame."""
        return pandas().DataFrame.from_records(self.table)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the criterion against the number of components, a line for each covariance type.

        What is better the higher it is, is drawn with its sign turned, so that lower is better.
        """
        from fastgmm.plotting import plot_selection

        sign = -1.0 if self.criterion in HIGHER_IS_BETTER else 1.0
        types = list(dict.fromkeys(self.table.covariance_type))
        rows = {kind: self.table[self.table.covariance_type == kind] for kind in types}
        curves = {kind: sign * rows[kind].value for kind in types}
        name = self.criterion if sign < 0 else self.criterion.upper()
        label = f"- {name}" if sign < 0 else name
        return plot_selection(rows[types[0]].n_components, curves, ax, criterion=label)


# Long: for its documentation.
def select_mixture(
    X: ArrayLike,
    n_components: Iterable[int] = range(1, 10),
    covariance_types: Sequence[str] = COVARIANCE_TYPES,
    criterion: Criterion = "bic",
    *,
    n_init: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    sample_weight: ArrayLike | None = None,
    verbose: int = 0,
    **options: Any,
) -> Selection:
    """Fit mixtures of several sizes and covariance types, and choose one by a criterion.

    Cells share what they can: up to 20,000 rows, the clusters that k-means finds for a number of
    components are the start of all covariance types; with more rows, fits run side by side. Each
    cell also starts from the model of its type with one component less, if that is among them, of
    which a component is split. A start
    is given up if it would not reach the best one before it in the iterations that it has left,
    were it to rise as in its last. A cell that fails leaves the others.

    Parameters
    ----------
    X : array-like of shape (n, d)
    n_components : iterable of int, default=range(1, 10)
        Numbers of components K that are tried.
    covariance_types : sequence of str, default=('full', 'tied', 'diag', 'spherical')
    criterion : {'bic', 'aic', 'icl', 'held-out', 'stability'}, default='bic'
        ``'bic'``, ``'aic'`` and ``'icl'`` weigh the likelihood against the number of parameters:
        lower is better. ``'held-out'`` is the mean log-likelihood of rows that were left out of a
        fit, over five folds, ``'stability'`` the agreement (Fowlkes and Mallows) of the labels of
        independent fits with K components and with the neighbouring numbers: higher is better.
    n_init : int, default=None
        Starts of each cell; None for 1, or 10 for ``'stability'``.
    random_state : int, RandomState instance or None, default=None
        With an int, each cell has the starts of `GaussianMixture` with the same (for
        ``'stability'``: starts of its own), and one more.
    sample_weight : array-like of shape (n,), default=None
        Multiplicities of the rows; they do not count for ``'stability'`` once the fits are made.
    verbose : int, default=0
        1 shows the progress on a terminal.
    **options
        Further arguments of `GaussianMixture`, such as `tol` or `reg_covar`. An `init_params`
        should be a method or a function; up to 20,000 rows, `init_params`, `init_size` and
        `init_whiten` give each covariance type its own starts.

    Returns
    -------
    selection : Selection
        With `table`, `to_frame()`, `best_model_` and `plot()`.

    Raises
    ------
    ValueError
        If there is nothing to try, everything fails, or there are too few rows.

    Warns
    -----
    ConvergenceWarning
        If the best model has not converged.
    UserWarning
        If every model has a degenerate component, and so the best one, too.

    References
    ----------
    Biernacki, Celeux and Govaert, Assessing a mixture model for clustering with the integrated
    completed likelihood, IEEE PAMI 22 (2000). Fowlkes and Mallows, A method for comparing two
    hierarchical clusterings, JASA 78 (1983).

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import select_mixture
    >>> X = np.random.default_rng(0).normal(size=(200, 1)) + [[0.0], [9.0]] * 100
    >>> selection = select_mixture(X, range(1, 4), ["spherical"], random_state=0)
    >>> selection.best_n_components_
    2
    """
    sizes, types = _sizes(n_components), _types(covariance_types)
    n_init = _n_init(n_init, criterion)
    template = _template(options, types)
    data, weight = check_fit_data(template, X, sample_weight, 1)
    source = template._source_of(data, weight)
    total_weight = source.part_that_counts * check_total_weight(sample_weight, data)
    weight = source.sample_weight
    if weight is not None and not np.all(weight > 0):  # those rows are not there
        data, weight = data[weight > 0], weight[weight > 0]
    if criterion == "held-out" and len(data) < FEWEST_HELD_OUT:
        raise ValueError(
            f"The criterion 'held-out' needs {FEWEST_HELD_OUT} or more rows with a weight, and "
            f"there are {len(data)}; use another one."
        )
    is_seed = isinstance(random_state, Integral)
    random = check_random_state(random_state)
    seed = int(random_state) if is_seed else random.randint(2**31 - 1)  # type: ignore[arg-type]
    n_tasks = _n_tasks(criterion, sizes, types, n_init) if len(data) > MOST_ROWS_SHARED else 1
    workers = Workers(options.get("n_jobs"), n_tasks)
    of_cells = {**options, "keep_on_interrupt": False}  # an interruption ends the selection
    fits = Fits(data, weight, n_init, seed, of_cells, workers)
    n_cells = len(types) * (len(sizes) + 2 * (criterion == "stability"))
    with _telling(n_cells, verbose) as tell, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the table has it
        tried = _tried(fits, sizes, types, criterion, total_weight, tell)
        model = tried.model(_best(tried.rows, criterion))
    model.set_params(
        random_state=random_state,
        n_jobs=template.n_jobs,
        keep_on_interrupt=template.keep_on_interrupt,
    )
    if all(row.n_degenerate for row in tried.rows if not row.failure):
        warnings.warn(
            "Every mixture has a degenerate component, so that the criterion misleads; try fewer "
            "components, a larger reg_covar, or on_degenerate='reset' or 'drop'.",
            UserWarning,
            stacklevel=2,
        )
    if not model.converged_:
        warnings.warn(
            f"The best model has not converged in {model.n_iter_} iterations; increase max_iter.",
            ConvergenceWarning,
            stacklevel=2,
        )
    if hasattr(template, "feature_names_in_"):
        model.feature_names_in_ = template.feature_names_in_
    table = np.rec.array(tried.rows, dtype=[(name, KINDS[name]) for name in Row._fields])
    return Selection(criterion, table, model)


def _n_tasks(criterion: Criterion, sizes: list[int], types: list[str], n_init: int) -> int:
    """Number of fits, or chains of fits, that do not wait for one another."""
    match criterion:
        case "stability":
            return n_init
        case "held-out":
            return len(sizes) * len(types)
        case _:
            return len(types)


def _tried(
    fits: Fits,
    sizes: list[int],
    types: list[str],
    criterion: Criterion,
    total_weight: float,
    tell: Callable[[str], object],
) -> Tried:
    if criterion == "stability":
        return by_stability(fits, sizes, types, tell)
    if criterion == "held-out":
        return by_held_out(fits, sizes, types, tell)
    judge = partial(_information, fits, criterion, total_weight)
    return by_information(fits, sizes, types, judge, tell)


def _information(
    fits: Fits, criterion: Criterion, total_weight: float, model: GaussianMixture
) -> float:
    """Return ``'bic'``, ``'aic'`` or ``'icl'`` of a model that has been fitted to the rows."""
    penalty = 2.0 if criterion == "aic" else math.log(total_weight)
    value = -2 * model.log_likelihood_ * total_weight + penalty * model._n_parameters()
    if criterion == "icl":
        source = model._source_of(fits.X, fits.sample_weight)
        entropy = classification_entropy(source, model._parameters().astype(source.dtype))
        value += 2 * entropy * total_weight / source.total_weight
    return float(value)


def _template(options: dict[str, Any], covariance_types: Sequence[str]) -> GaussianMixture:
    """A mixture of the options that all cells have in common, once they are checked."""
    own = {"n_components": "n_components", "covariance_type": "covariance_types"}
    for name in own.keys() & options.keys():
        raise TypeError(f"select_mixture chooses {name}; say by {own[name]} which are tried.")
    template = GaussianMixture(**options)
    template._validate_params()
    if template.noise or template.semi_supervised or template.freeze:
        raise ValueError(
            "A selection has neither noise nor known labels nor frozen parameters yet; leave them "
            "out."
        )
    template._check_arguments(covariance_types)
    if not isinstance(template.init_params, str) and not callable(template.init_params):
        raise ValueError(
            "init_params of a selection should be the name of a method, or a function, which is "
            "called for each number of components."
        )
    return template


def _best(rows: list[Row], criterion: Criterion) -> int:
    """Index of the best cell, of those without degenerate components if there are any.

    ValueError is raised if all have failed.
    """
    sign = -1.0 if criterion in HIGHER_IS_BETTER else 1.0
    values = np.array([sign * row.value for row in rows])
    sound = np.array([row.n_degenerate == 0 and not np.isnan(row.value) for row in rows])
    if sound.any():
        values[~sound] = np.nan
    if np.all(np.isnan(values)):
        why = next((row.failure for row in rows if row.failure), "no number has a neighbour")
        raise ValueError(f"There is no value of {criterion!r} for any of the mixtures: {why}")
    return int(np.nanargmin(values))


def _sizes(n_components: Any) -> list[int]:
    given = list(n_components) if isinstance(n_components, Iterable) else [n_components]
    if not given or not all(isinstance(K, Integral) and int(K) >= 1 for K in given):
        raise ValueError(
            "n_components should be one or more numbers from 1 on, such as range(1, 10); got "
            f"{n_components!r}."
        )
    return sorted({int(K) for K in given})


def _types(covariance_types: Any) -> list[str]:
    given = [covariance_types] if isinstance(covariance_types, str) else list(covariance_types)
    if not given:
        raise ValueError("covariance_types is empty; give one or more, such as ['full', 'diag'].")
    for kind in given:
        family_of(kind)
    return list(dict.fromkeys(given))


def _n_init(n_init: Any, criterion: Criterion) -> int:
    if criterion not in CRITERIA:
        raise ValueError(f"criterion should be one of {', '.join(CRITERIA)}; got {criterion!r}.")
    compares = criterion == "stability"
    least = 2 if compares else 1
    if n_init is None:
        return N_REFITS if compares else N_INIT
    if not isinstance(n_init, Integral) or n_init < least:
        raise ValueError(f"n_init should be {least} or more for {criterion!r}; got {n_init!r}.")
    return int(n_init)


@contextmanager
def _telling(n_cells: int, verbose: int) -> Iterator[Callable[[str], object]]:
    """Yield what is to be called before each cell; on a terminal, and if asked for, it shows."""
    if not verbose or sys.stderr is None or not sys.stderr.isatty():
        yield lambda state: None
        return
    from fastgmm.system.terminal import progress_bar

    with progress_bar() as bar:
        task = bar.add_task("selecting", total=n_cells, state="")
        done = iter(range(n_cells))
        yield lambda state: bar.update(task, completed=next(done, n_cells), state=state)
