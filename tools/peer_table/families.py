"""An iteration in mclust's fourteen families, beside R's mclust and pymclustR."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import numpy as np

from fastgmm import GaussianMixture, kernels
from fastgmm.benchmarking.problems import Problem, draw
from fastgmm.benchmarking.timing import fitted, timed

FAMILIES = (
    "EII", "VII", "EEI", "VEI", "EVI", "VVI",
    "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV",
)  # fmt: skip
FEW, MANY = 1, 4  # iterations between which the slope is taken
LONGER = 10  # times as many of fastgmm's, which are short
# How far apart the log-likelihoods may be after MANY iterations: updates that are iterated within
# one, of EVE and VVE, are cut off at different places.
AGREEMENT = 1e-3


@dataclass(frozen=True, slots=True)
class FamilyTiming:
    """An iteration of one library.

    Attributes
    ----------
    peer : str
    seconds, ratio : float or None
        Seconds, and times fastgmm's, medians over the rounds.
    failure : str
        Why there is no time.
    """

    peer: str
    seconds: float | None = None
    ratio: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class FamilyResult:
    """One family, fastgmm first."""

    name: str
    shape: tuple[int, int]
    components: int
    timings: list[FamilyTiming]


class Library(ABC):
    """EM of a family from hard labels, one M step first, then as many iterations as are asked."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def find(cls) -> str:
        """Return the version that is installed, or nothing."""

    @abstractmethod
    def run(self, X: np.ndarray, labels: np.ndarray, family: str, n: int) -> tuple[float, float]:
        """Seconds of n iterations, and the log-likelihood before the last M step."""


class FastGMM(Library):
    """What is measured here."""

    name = "fastgmm"

    @classmethod
    def find(cls) -> str:
        """It is."""
        return version("fastgmm")

    def run(self, X: np.ndarray, labels: np.ndarray, family: str, n: int) -> tuple[float, float]:
        """Fit without a tolerance."""
        model = GaussianMixture(
            int(labels.max()) + 1, covariance_type=family, init_params=labels,
            reg_covar=0.0, tol=0.0, max_iter=n,
        )  # fmt: skip
        model, seconds = timed(lambda: fitted(model, X))
        return seconds, model.lower_bounds_[-1] * len(X)


class RMclust(Library):
    """R's `me`, by a process of its own that takes the time itself."""

    name = "mclust (R)"
    SCRIPT = """
        suppressMessages(library(mclust))
        given <- commandArgs(TRUE)
        n <- as.integer(given[2]); d <- as.integer(given[3])
        X <- matrix(readBin(paste0(given[1], "/X"), "double", n * d), n, d)
        z <- unmap(readBin(paste0(given[1], "/labels"), "integer", n))
        control <- emControl(tol = c(0, 1e-8), itmax = c(as.integer(given[5]), 1000L))
        began <- proc.time()[["elapsed"]]
        result <- me(X, given[4], z, control = control)
        cat(proc.time()[["elapsed"]] - began, sprintf("%.17g", result$loglik))
    """

    @classmethod
    def find(cls) -> str:
        """Ask R, if there is one."""
        if shutil.which("Rscript") is None:
            return ""
        ask = 'cat(as.character(packageVersion("mclust")))'
        asked = subprocess.run(["Rscript", "-e", ask], capture_output=True, text=True, check=False)
        return asked.stdout if asked.returncode == 0 else ""

    def run(self, X: np.ndarray, labels: np.ndarray, family: str, n: int) -> tuple[float, float]:
        """Hand over the points in files."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "X").write_bytes(X.astype(np.float64).tobytes(order="F"))
            (Path(folder) / "labels").write_bytes(labels.astype(np.int32).tobytes())
            words = [folder, *X.shape, family, n]
            command = ["Rscript", "-e", self.SCRIPT, *map(str, words)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, log_likelihood = map(float, done.stdout.split())
        return seconds, log_likelihood


class PyMclustR(Library):
    """mclust once more, in numpy."""

    name = "pymclustR"

    @classmethod
    def find(cls) -> str:
        """Ask Python."""
        return version("pymclustR") if importlib.util.find_spec("mclust_py") else ""

    def run(self, X: np.ndarray, labels: np.ndarray, family: str, n: int) -> tuple[float, float]:
        """Run its `me`."""
        from mclust_py.control import em_control
        from mclust_py.em import me

        shares = np.eye(labels.max() + 1)[labels]
        control = em_control(tol=(0.0, 1e-8), itmax=(n, 1000))
        result, seconds = timed(lambda: me(X, family, shares, control=control))
        return seconds, float(result.loglik)


LIBRARIES: tuple[type[Library], ...] = (FastGMM, RMclust, PyMclustR)


def measure_family(name: str, rounds: int, quick: bool) -> FamilyResult:
    """Time those libraries that are there and arrive where fastgmm does."""
    n = 2_000 if quick else 100_000
    X, start = draw(Problem("full", "float64", n, 8, 8))
    labels = kernels.assign(X, *start.arguments)
    libraries = [library() for library in LIBRARIES if library.find()]
    ours = libraries[0].run(X, labels, name, MANY)[1]
    failures = {library.name: _failure(library, X, labels, name, ours) for library in libraries}
    sound = [library for library in libraries if not failures[library.name]]
    rows = []
    for _ in range(rounds):
        rows.append({library.name: _seconds(library, X, labels, name) for library in sound})
    timings = [
        FamilyTiming(library.name, failure=failures[library.name])
        if failures[library.name]
        else FamilyTiming(
            library.name,
            median(row[library.name] for row in rows),
            median(row[library.name] / row[libraries[0].name] for row in rows),
        )
        for library in libraries
    ]
    return FamilyResult(name, X.shape, int(labels.max()) + 1, timings)


def versions() -> dict[str, str]:
    """Of the libraries that are there."""
    return {library.name: library.find() for library in LIBRARIES if library.find()}


def _failure(
    library: Library, X: np.ndarray, labels: np.ndarray, name: str, expected: float
) -> str:
    try:
        _, log_likelihood = library.run(X, labels, name, MANY)
    except Exception as error:  # whatever a library raises belongs into the table
        return f"fails: {' '.join(str(error).split())[:40]}"
    apart = abs(log_likelihood / expected - 1)
    return "" if apart <= AGREEMENT else f"differs by {apart:.0e}"


def _seconds(library: Library, X: np.ndarray, labels: np.ndarray, name: str) -> float:
    """Seconds of one iteration: a slope."""
    longer: Any = LONGER if isinstance(library, FastGMM) else 1
    few, many = FEW * longer, MANY * longer
    time.sleep(0.05)  # for threads that wait actively
    short, long = (library.run(X, labels, name, n)[0] for n in (few, many))
    return (long - short) / (many - few)
