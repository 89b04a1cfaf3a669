"""How fast fastgmm is on this machine: an iteration of EM on a dozen problems.

Each iteration starts from the same parameters and never converges. Its time is the slope between
fits of few and of many iterations, so that what is done once per fit cancels.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from rich.table import Table

from fastgmm._records import CovarianceType, FloatArray
from fastgmm.benchmarking.environment import describe_environment
from fastgmm.mixture import GaussianMixture
from fastgmm.system.files import written_whole
from fastgmm.system.terminal import plain_table

__all__ = [
    "BESIDE_SCIKIT_LEARN",
    "CELLS",
    "CHANGED",
    "BenchResult",
    "Cell",
    "Comparison",
    "OnStage",
    "Timing",
    "compare",
    "comparison_notes",
    "draw",
    "measure",
    "read_json",
    "results_table",
    "write_json",
]

FORMAT = 1  # of the files
FEW, MANY = 2, 7  # iterations
SECONDS = 2.0  # at least, of each cell and library
AGREEMENT = 1e-6  # of mean log-likelihoods, beside scikit-learn in float64
CHANGED = 1.25  # times faster or slower, from which on a cell counts as changed
FOOTNOTE = "* of one iteration, per point and component"
# What makes times of two files incomparable, by their names in the environment.
MACHINE = ("processor", "compiled for", "cores", "threads", "system")

OnStage = Callable[[int, int, str], object]


@dataclass(frozen=True, slots=True)
class Cell:
    """A problem: n points of d features, K components.

    Attributes
    ----------
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
    dtype : {'float64', 'float32'}
    n, d, K : int
    """

    covariance_type: CovarianceType
    dtype: str
    n: int
    d: int
    K: int

    @property
    def flops(self) -> int:
        """Additions and multiplications in the formulas of one iteration, the exponentials apart.

        Full: a triangular product in the density of each pair of point and component, and as
        much for the symmetric sums. Tied: both once per point, and distances and sums per pair.
        """
        n, d, pairs = self.n, self.d, self.n * self.K
        match self.covariance_type:
            case "full":
                return 2 * pairs * d * (d + 1)
            case "tied":
                return 2 * n * d * (d + 1) + 5 * pairs * d
            case "diag":
                return 9 * pairs * d
            case "spherical":
                return 8 * pairs * d

    @property
    def shape(self) -> str:
        """Points × features × components."""
        return f"{self.n:,} × {self.d} × {self.K}"


SHAPES = ((100_000, 2, 8), (50_000, 16, 16), (10_000, 64, 32))

CELLS = (
    *(Cell("full", dtype, *shape) for shape in SHAPES for dtype in ("float64", "float32")),
    *(
        Cell(covariance_type, dtype, *SHAPES[1])
        for covariance_type in ("tied", "diag", "spherical")
        for dtype in ("float64", "float32")
    ),
)

# Those that are worth the time of scikit-learn.
BESIDE_SCIKIT_LEARN = (CELLS[0], CELLS[2], Cell("diag", "float64", *SHAPES[1]))


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured of a cell.

    Attributes
    ----------
    cell : Cell
    seconds : float
        Of one iteration.
    peer_seconds : float or None
        Of one of scikit-learn's, where it was looked at.
    """

    cell: Cell
    seconds: float
    peer_seconds: float | None = None

    @property
    def nanoseconds(self) -> float:
        """Per point and component."""
        return 1e9 * self.seconds / (self.cell.n * self.cell.K)

    @property
    def gigaflops(self) -> float:
        """Billions of operations per second."""
        return self.cell.flops / self.seconds / 1e9


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What was measured, and on what.

    Attributes
    ----------
    environment : dict of str to str
    timings : list of Timing
    """

    environment: dict[str, str]
    timings: list[Timing]


# --- measuring ------------------------------------------------------------------------------
def measure(
    cells: Sequence[Cell],
    beside_peer: Sequence[Cell],
    *,
    on_stage: OnStage = lambda done, total, stage: None,
) -> BenchResult:
    """Time an iteration of each cell.

    Parameters
    ----------
    cells : sequence of Cell
    beside_peer : sequence of Cell
        Those of them on which scikit-learn is timed too.
    on_stage : callable
        Told how many cells are done, of how many, and what comes next.

    Returns
    -------
    BenchResult

    Raises
    ------
    ValueError
        If the two libraries do not arrive at the same likelihood.
    """
    timings = []
    for done, cell in enumerate(cells):
        name = f"{cell.covariance_type}, {cell.dtype}, {cell.shape}"
        X, start = draw(cell)
        on_stage(done, len(cells), f"{name}: compiling, or loading what is compiled")
        fitted_for(GaussianMixture, cell, X, start, 1)
        on_stage(done, len(cells), name)
        timing = Timing(cell, iteration_seconds(GaussianMixture, cell, X, start))
        if cell in beside_peer:
            on_stage(done, len(cells), f"{name}: scikit-learn")
            timing = replace(timing, peer_seconds=peer_iteration_seconds(cell, X, start))
        timings.append(timing)
    return BenchResult(describe_environment(), timings)


def draw(cell: Cell) -> tuple[FloatArray, FloatArray]:
    """Points of a mixture, the same every time, and means near the true ones.

    Means are about as far apart in any number of features, so that components overlap and
    nearly every point counts for several: the harder case.
    """
    rng = np.random.default_rng([cell.n, cell.d, cell.K])
    spread = np.sqrt(8 / cell.d)
    means = spread * rng.standard_normal((cell.K, cell.d))
    scales = rng.uniform(0.7, 1.4, cell.K)
    labels = rng.integers(cell.K, size=cell.n)
    X = means[labels] + scales[labels, None] * rng.standard_normal((cell.n, cell.d))
    start = means + spread / 4 * rng.standard_normal(means.shape)
    return X.astype(cell.dtype), start.astype(cell.dtype)


def fitted_for(
    estimator: Callable[..., Any], cell: Cell, X: FloatArray, means: FloatArray, n_iterations: int
) -> Any:
    """Fit for so many iterations, from the means and covariances of one."""
    from sklearn.exceptions import ConvergenceWarning

    d, K = cell.d, cell.K
    precisions = {
        "full": np.tile(np.eye(d, dtype=X.dtype), (K, 1, 1)),
        "tied": np.eye(d, dtype=X.dtype),
        "diag": np.ones((K, d), X.dtype),
        "spherical": np.ones(K, X.dtype),
    }
    model = estimator(
        K,
        covariance_type=cell.covariance_type,
        tol=0.0,
        max_iter=n_iterations,
        weights_init=np.full(K, 1 / K, X.dtype),
        means_init=means,
        precisions_init=precisions[cell.covariance_type],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # that it does not converge is meant
        return model.fit(X)


def iteration_seconds(
    estimator: Callable[..., Any], cell: Cell, X: FloatArray, means: FloatArray
) -> float:
    """Seconds of one iteration, from the shortest fits of few and of many of them."""

    def seconds_of(n_iterations: int) -> float:
        began = perf_counter()
        fitted_for(estimator, cell, X, means, n_iterations)
        return perf_counter() - began

    few: list[float] = []
    many: list[float] = []
    began = perf_counter()
    while not few or perf_counter() - began < SECONDS:
        few.append(seconds_of(FEW))
        many.append(seconds_of(MANY))
    return max(min(many) - min(few), 1e-9) / (MANY - FEW)  # above 0, though noise exceed the work


def peer_iteration_seconds(cell: Cell, X: FloatArray, means: FloatArray) -> float:
    """Seconds of one iteration of scikit-learn's, once both libraries agree on it."""
    from sklearn.mixture._gaussian_mixture import GaussianMixture as Peer

    bounds = [
        fitted_for(estimator, cell, X, means, FEW).lower_bound_
        for estimator in (GaussianMixture, Peer)
    ]
    if abs(bounds[0] - bounds[1]) > AGREEMENT * max(1.0, abs(bounds[1])):
        raise ValueError(
            f"After {FEW} iterations on {cell.shape}, the mean log-likelihood is {bounds[0]:.9g}, "
            f"but scikit-learn's is {bounds[1]:.9g}; please report this as a bug."
        )
    return iteration_seconds(Peer, cell, X, means)


def results_table(result: BenchResult, against: Comparison | None = None) -> Table:
    """A row for each cell; with a comparison, its ratios in the last column."""
    table = plain_table()
    for name in ("covariances", "dtype", "points × features\n× components"):
        table.add_column(name, no_wrap=True)
    for name in ("ns *", "GFLOP/s", "scikit-\nlearn *"):
        table.add_column(name, justify="right")
    if against is not None:
        table.add_column("now ÷\nbefore", justify="right", style="bold")
    table.caption, table.caption_justify = FOOTNOTE, "left"
    for timing in result.timings:
        cell = timing.cell
        row = [cell.covariance_type, cell.dtype, cell.shape]
        row += [three_digits(timing.nanoseconds), f"{timing.gigaflops:.1f}", peer_in_words(timing)]
        if against is not None:
            ratio = against.ratios.get(cell)
            row.append("" if ratio is None else f"{ratio:.2f}")
        table.add_row(*row)
    return table


def peer_in_words(timing: Timing) -> str:
    """scikit-learn's nanoseconds, and how many times ours they are."""
    if timing.peer_seconds is None:
        return ""
    theirs = timing.peer_seconds / timing.seconds
    return f"{three_digits(theirs * timing.nanoseconds)} ({three_digits(theirs)}×)"


def three_digits(value: float) -> str:
    """A number with three digits at least before or after its point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# --- files ----------------------------------------------------------------------------------
def write_json(result: BenchResult, path: str | os.PathLike[str]) -> None:
    """Write everything that was measured, whole or not at all."""
    content = {"format": FORMAT, "environment": result.environment}
    records = [
        {
            **asdict(timing.cell),
            "seconds": timing.seconds,
            "scikit-learn, seconds": timing.peer_seconds,
            "nanoseconds per point and component": timing.nanoseconds,
            "GFLOP/s": timing.gigaflops,
        }
        for timing in result.timings
    ]
    with written_whole(path) as stream:
        stream.write((json.dumps(content | {"cells": records}, indent=1) + "\n").encode())


def read_json(path: str | os.PathLike[str]) -> BenchResult:
    """Read a file of `write_json`.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is anything else.
    """
    with open(path, "rb") as stream:
        content = stream.read()
    try:
        known = json.loads(content)
        if known["format"] != FORMAT:
            raise ValueError("another format")
        timings = [
            Timing(
                Cell(
                    record["covariance_type"],
                    str(record["dtype"]),
                    *(int(record[name]) for name in ("n", "d", "K")),
                ),
                float(record["seconds"]),
            )
            for record in known["cells"]
        ]
        if not all(timing.seconds > 0 for timing in timings):
            raise ValueError("no durations")
        return BenchResult(dict(known["environment"]), timings)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{os.fspath(path)}: not a file of this version's fastgmm bench --json."
        ) from error


@dataclass(frozen=True, slots=True)
class Comparison:
    """An earlier measurement, beside this one.

    Attributes
    ----------
    ratios : dict of Cell to float
        How many times as long an iteration takes now, of the cells that both have.
    differences : dict of str to (str, str)
        What differs between the machines, before and now.
    """

    ratios: dict[Cell, float]
    differences: dict[str, tuple[str, str]]

    def changed(self, slower: bool) -> int:
        """Number of cells that became so much slower, or faster, that noise is not all of it."""
        return sum((r if slower else 1 / r) > CHANGED for r in self.ratios.values())


def compare(now: BenchResult, before: BenchResult) -> Comparison:
    """Compare the times of the same cells."""
    seconds = {timing.cell: timing.seconds for timing in before.timings}
    ratios = {
        timing.cell: timing.seconds / seconds[timing.cell]
        for timing in now.timings
        if timing.cell in seconds
    }
    pairs = {name: (str(before.environment.get(name, "unknown")), now.environment[name])
             for name in MACHINE if name in now.environment}  # fmt: skip
    return Comparison(ratios, {name: pair for name, pair in pairs.items() if pair[0] != pair[1]})


def comparison_notes(comparison: Comparison) -> list[str]:
    """What there is to say about a comparison, a line each."""
    if not comparison.ratios:
        return ["The earlier file has none of these cells: there is nothing to compare."]
    slower, faster = (comparison.changed(slower) for slower in (True, False))
    notes = [
        f"Of {len(comparison.ratios)} cells, {slower} slower and {faster} faster by more than "
        f"{CHANGED} times; the median ratio is {median(comparison.ratios.values()):.2f}. Machines "
        "are noisy: measure again before you believe a change, above all one of every cell."
    ]
    notes += [
        f"Another machine or setting, {name}: {before} before, {now} now."
        for name, (before, now) in comparison.differences.items()
    ]
    return notes
