"""One iteration of every library on one problem, timed once all agree on what it computes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median

import numpy as np

from fastgmm import kernels
from fastgmm._records import Parameters
from fastgmm.benchmarking.problems import Problem, draw
from fastgmm.benchmarking.timing import FEW, MANY, iteration_seconds, largest_difference
from fastgmm.model.factors import precisions_cholesky_from_covariances
from peer_table.libraries import Peer, PeerFit, limited_threads

SECONDS_PER_ROUND = 0.15  # at least, for each library: the short runs are repeated
TOLERANCES = {"float64": 1e-6, "float32": 1e-2}


@dataclass(frozen=True, slots=True)
class PeerTiming:
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
class PeersResult:
    """What all libraries did on one problem.

    Attributes
    ----------
    problem : Problem
    threads : int
    timings : list of PeerTiming
        fastgmm's first.
    counting_pairs : float
        Share of the pairs of point and component whose responsibility is above 1e-16 at the end.
        fastgmm sums over those alone, so efficiency means what it says where this is near 1.
    efficiency : float or None
        fastgmm's share of the multiply-add peak, for full covariances.
    """

    problem: Problem
    threads: int
    timings: list[PeerTiming] = field(default_factory=list)
    counting_pairs: float = 1.0
    efficiency: float | None = None


def measure(problem: Problem, threads: int, peers: list[Peer], rounds: int) -> PeersResult:
    """Check that the libraries agree on the problem, then time those that do.

    Parameters
    ----------
    problem : Problem
    threads : int
    peers : list of Peer
        fastgmm first.
    rounds : int
        In each, every library has its turn.
    """
    X, start = draw(problem)
    with limited_threads(threads, peers):
        try:
            ours = peers[0].run(X, start, MANY)
        except Exception as error:  # without ours there is nothing to compare with
            failed = [PeerTiming(peer.name, failure=in_words(error)) for peer in peers[:1]]
            failed += [PeerTiming(peer.name, failure="not compared") for peer in peers[1:]]
            return PeersResult(problem, threads, failed)
        checked = {peer.name: check(peer, X, start, ours) for peer in peers}
        believed = [peer for peer in peers if not checked[peer.name][0].failure]
        rows = [
            {peer.name: rested_seconds(peer, X, start, checked[peer.name][1]) for peer in believed}
            for _ in range(rounds)
        ]
        counting_pairs = share_of_counting_pairs(X, start, ours)
    timings = [
        replace(
            checked[peer.name][0],
            seconds=median(row[peer.name] for row in rows),
            ratio=median(row[peer.name] / row[peers[0].name] for row in rows),
        )
        if peer in believed
        else checked[peer.name][0]
        for peer in peers
    ]
    return PeersResult(problem, threads, timings, counting_pairs)


def with_efficiency(result: PeersResult, peak: float) -> PeersResult:
    """Compare fastgmm's time with the multiply-add peak, for full covariances."""
    seconds = result.timings[0].seconds
    if result.problem.covariance_type != "full" or seconds is None:
        return result
    return replace(result, efficiency=result.problem.flops / seconds / peak)


def check(peer: Peer, X: np.ndarray, start: Parameters, ours: PeerFit) -> tuple[PeerTiming, int]:
    """How far the library's parameters are from ours, or why there is nothing to time.

    Also by how many iterations its fits differ, of those that it was told to take.
    """
    if not peer.supports(start.covariance_type, X.dtype.name):
        return PeerTiming(peer.name, failure="not offered"), 0
    try:
        few, many = peer.run(X, start, FEW), peer.run(X, start, MANY)
    except Exception as error:  # whatever a library raises belongs into the table
        return PeerTiming(peer.name, failure=in_words(error)), 0
    failure, distance = "", largest_difference(many.parameters, ours.parameters)
    if not distance <= TOLERANCES[X.dtype.name]:  # NaN differs too
        failure = f"differs by {distance:.0e}"
    elif many.n_iterations <= few.n_iterations:
        failure = f"stops after iteration {many.n_iterations}"
    timing = PeerTiming(peer.name, difference=distance, failure=failure)
    return timing, many.n_iterations - few.n_iterations


def in_words(error: Exception) -> str:
    """What a table can hold of an error."""
    return f"fails: {' '.join(str(error).split())[:60]}"


def rested_seconds(peer: Peer, X: np.ndarray, start: Parameters, difference: int) -> float:
    """Seconds of one iteration, after a pause."""
    time.sleep(0.05)  # for the threads of the library before, which wait actively at first
    return iteration_seconds(partial(peer.run, X, start), SECONDS_PER_ROUND, difference)


def share_of_counting_pairs(X: np.ndarray, start: Parameters, fit: PeerFit) -> float:
    """Share of responsibilities above 1e-16."""
    factors = precisions_cholesky_from_covariances(fit.covariances, start.covariance_type)
    responsibilities = kernels.responsibilities(
        X, fit.weights, fit.means, factors.astype(X.dtype), start.covariance_type
    )
    return float(np.mean(responsibilities > 1e-16))
