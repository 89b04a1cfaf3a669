"""One iteration of every library on one problem, timed once all agree on what it computes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from statistics import median
from time import perf_counter

import numpy as np

from fastgmm import kernels
from fastgmm.model.factors import precisions_cholesky_from_covariances
from peer_table.libraries import Peer, limited_threads
from peer_table.problems import Cell, Mixture, draw

FEW, MANY = 2, 7  # iterations; what is done once per fit cancels in the difference
SECONDS_PER_ROUND = 0.15  # at least, for each library: the short runs are repeated
TOLERANCES = {"float64": 1e-6, "float32": 1e-2}


@dataclass(frozen=True, slots=True)
class Timing:
    """What one library did on one problem.

    Attributes
    ----------
    peer : str
    seconds : float or None
        Of one iteration, median over the rounds; None where there is nothing to believe.
    ratio : float or None
        To fastgmm's in the same round, median over the rounds.
    difference : float or None
        From fastgmm's parameters: largest of max |a - b| / max |b|.
    failure : str
        Why it was not timed, if it was not.
    """

    peer: str
    seconds: float | None = None
    ratio: float | None = None
    difference: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class CellResult:
    """What all libraries did on one problem.

    Attributes
    ----------
    cell : Cell
    dtype : str
    threads : int
    timings : list of Timing
        fastgmm's first.
    counting_pairs : float
        Share of the pairs of point and component whose responsibility is above 1e-16 at the end.
        fastgmm sums over those alone, so efficiency means what it says where this is near 1.
    efficiency : float or None
        fastgmm's share of the multiply-add peak, for full covariances.
    """

    cell: Cell
    dtype: str
    threads: int
    timings: list[Timing] = field(default_factory=list)
    counting_pairs: float = 1.0
    efficiency: float | None = None


def measure(cell: Cell, dtype: str, threads: int, peers: list[Peer], rounds: int) -> CellResult:
    """Check that the libraries agree on the problem, then time those that do.

    Parameters
    ----------
    cell : Cell
    dtype : {'float64', 'float32'}
    threads : int
    peers : list of Peer
        fastgmm first.
    rounds : int
        In each, every library has its turn.
    """
    X, start = draw(cell, dtype)
    with limited_threads(threads, peers):
        try:
            ours = peers[0].run(X, start, MANY).mixture
        except Exception as error:  # without ours there is nothing to compare with
            failed = [Timing(peer.name, failure=in_words(error)) for peer in peers[:1]]
            failed += [Timing(peer.name, failure="not compared") for peer in peers[1:]]
            return CellResult(cell, dtype, threads, failed)
        checked = {peer.name: check(peer, X, start, ours, dtype) for peer in peers}
        believed = [peer for peer in peers if not checked[peer.name].failure]
        rows = [
            {peer.name: iteration_seconds(peer, X, start) for peer in believed}
            for _ in range(rounds)
        ]
        counting_pairs = share_of_counting_pairs(X, ours)
    timings = [
        Timing(
            peer.name,
            median(row[peer.name] for row in rows),
            median(row[peer.name] / row[peers[0].name] for row in rows),
            checked[peer.name].difference,
        )
        if peer in believed
        else checked[peer.name]
        for peer in peers
    ]
    return CellResult(cell, dtype, threads, timings, counting_pairs)


def with_efficiency(result: CellResult, peak: float) -> CellResult:
    """Compare fastgmm's time with the multiply-add peak, for full covariances."""
    seconds = result.timings[0].seconds
    if result.cell.covariance_type != "full" or seconds is None:
        return result
    return replace(result, efficiency=result.cell.flops / seconds / peak)


def check(peer: Peer, X: np.ndarray, start: Mixture, ours: Mixture, dtype: str) -> Timing:
    """Return how far the library's parameters are from ours, or why there is nothing to time."""
    if not peer.supports(start.covariance_type, dtype):
        return Timing(peer.name, failure="not offered")
    try:
        few, many = peer.run(X, start, FEW), peer.run(X, start, MANY)
    except Exception as error:  # whatever a library raises belongs into the table
        return Timing(peer.name, failure=in_words(error))
    distance = difference(many.mixture, ours)
    if not distance <= TOLERANCES[dtype]:  # NaN differs too
        return Timing(peer.name, difference=distance, failure=f"differs by {distance:.0e}")
    if many.n_iterations <= few.n_iterations:
        failure = f"stops after iteration {many.n_iterations}"
        return Timing(peer.name, difference=distance, failure=failure)
    return Timing(peer.name, difference=distance)


def in_words(error: Exception) -> str:
    """What a table can hold of an error."""
    return f"fails: {' '.join(str(error).split())[:60]}"


def difference(theirs: Mixture, ours: Mixture) -> float:
    """Largest of max |a - b| / max |b| over the weights, the means and the covariances."""
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b, np.float64))
        for a, b in zip(theirs[1:], ours[1:], strict=True)
    ]
    return float(np.max([np.abs(a - b).max() / np.abs(b).max() for a, b in pairs]))


def iteration_seconds(peer: Peer, X: np.ndarray, start: Mixture) -> float:
    """Seconds of one iteration: the slope between two numbers of them."""
    time.sleep(0.05)  # for the threads of the library before, which wait actively at first
    few, many = [], []
    began = perf_counter()
    while not few or perf_counter() - began < SECONDS_PER_ROUND:
        few.append(timed_run(peer, X, start, FEW))
        many.append(timed_run(peer, X, start, MANY))
    (short, n_short), (long, n_long) = min(few), min(many)
    return max((long - short) / (n_long - n_short), 1e-9)  # above 0 though noise exceed the work


def timed_run(peer: Peer, X: np.ndarray, start: Mixture, n_iterations: int) -> tuple[float, int]:
    """Seconds of a run, and how many iterations it took."""
    began = perf_counter()
    fit = peer.run(X, start, n_iterations)
    return perf_counter() - began, fit.n_iterations


def share_of_counting_pairs(X: np.ndarray, mixture: Mixture) -> float:
    """Share of responsibilities above 1e-16."""
    factors = precisions_cholesky_from_covariances(mixture.covariances, mixture.covariance_type)
    responsibilities = kernels.responsibilities(
        X, mixture.weights, mixture.means, factors.astype(X.dtype), mixture.covariance_type
    )
    return float(np.mean(responsibilities > 1e-16))
