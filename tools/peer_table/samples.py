"""What people do with more rows than they have time for, beside a fit to all of them."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer

from fastgmm import GaussianMixture

ROWS, HELD_OUT, FEATURES, COMPONENTS = 2_000_000, 200_000, 8, 16
SUBSAMPLES = (20_000, 100_000)
PASSES = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # of fastgmm, at which its likelihood is looked at
STARTS = (1, 5)  # of growing samples
SAME = 1e-4  # by which the mean log-likelihood may be lower


@dataclass(frozen=True, slots=True)
class SampleTiming:
    """One way to fit.

    Attributes
    ----------
    name : str
    seconds : float or None
        Of the fit, reading from memory.
    held_out : float or None
        Mean log-likelihood of rows that were not seen.
    ours : float or None
        Seconds of fastgmm until rows that were not seen are as likely.
    failure : str
        Why there is no time.
    """

    name: str
    seconds: float | None = None
    held_out: float | None = None
    ours: float | None = None
    failure: str = ""


class Way(ABC):
    """A way to a mixture of many rows."""

    name: ClassVar[str]

    @classmethod
    def find(cls) -> str:
        """Return the version that is installed, or nothing."""
        return version("scikit-learn")

    @abstractmethod
    def fit(self, X: np.ndarray) -> tuple[Any, float]:
        """Return a mixture of fastgmm's and the seconds that it took to find it."""


class Subsample(Way):
    """scikit-learn with its defaults, on some of the rows."""

    def __init__(self, size: int) -> None:
        self.size, self.name = size, f"scikit-learn on {size:,} rows"  # type: ignore[misc]

    def fit(self, X: np.ndarray) -> tuple[Any, float]:
        """Draw, fit and convert."""
        began = time.perf_counter()
        rows = np.random.default_rng(0).choice(len(X), min(self.size, len(X)), replace=False)
        model = Peer(COMPONENTS, random_state=0).fit(X[rows])
        return GaussianMixture.from_sklearn(model), time.perf_counter() - began


class Spark(Way):
    """Spark's GaussianMixture on all the rows, in this machine's cores; rows are in its memory."""

    name = "Spark, all rows"

    @classmethod
    def find(cls) -> str:
        """Ask for Java, too."""
        if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
            return ""
        return version("pyspark")

    def fit(self, X: np.ndarray) -> tuple[Any, float]:
        """Hand over the rows in a file, and cache them before the time is taken."""
        import pyarrow as pa
        from pyarrow import parquet
        from pyspark.ml.clustering import GaussianMixture as SparkMixture
        from pyspark.ml.feature import VectorAssembler
        from pyspark.sql import SparkSession

        names = [f"x{j}" for j in range(X.shape[1])]
        with tempfile.TemporaryDirectory() as folder:
            columns = {name: X[:, j].astype(np.float64) for j, name in enumerate(names)}
            parquet.write_table(pa.table(columns), Path(folder) / "rows.parquet")
            builder = SparkSession.builder.master("local[*]").config("spark.driver.memory", "8g")
            session = builder.config("spark.ui.enabled", "false").getOrCreate()
            try:
                session.sparkContext.setLogLevel("ERROR")
                rows = session.read.parquet(str(Path(folder) / "rows.parquet")).repartition(8)
                rows = VectorAssembler(inputCols=names, outputCol="features").transform(rows)
                rows = rows.select("features").cache()
                rows.count()
                began = time.perf_counter()
                model = SparkMixture(k=COMPONENTS, seed=0, tol=1e-3, maxIter=100).fit(rows)
                gaussians = model.gaussiansDF.collect()
                seconds = time.perf_counter() - began
                weights = np.array(model.weights)
                means = np.array([row["mean"].toArray() for row in gaussians])
                covariances = np.array([row["cov"].toArray() for row in gaussians])
            finally:
                session.stop()
        covariances = (covariances + covariances.swapaxes(1, 2)) / 2
        mixture = GaussianMixture.from_parameters(weights / weights.sum(), means, covariances)
        return mixture, seconds


class Growing(Way):
    """fastgmm on all the rows, by samples that grow, from several starts."""

    def __init__(self, n_init: int) -> None:
        self.n_init = n_init
        starts = "one start" if n_init == 1 else f"{n_init} starts"
        self.name = f"fastgmm, growing samples, {starts}"  # type: ignore[misc]

    def fit(self, X: np.ndarray) -> tuple[Any, float]:
        """Fit until the lower bound hardly rises."""
        began = time.perf_counter()
        model = GaussianMixture(
            COMPONENTS, growing_samples=True, tol=1e-6, max_iter=1000, n_init=self.n_init,
            random_state=0,
        )  # fmt: skip
        return model.fit(X), time.perf_counter() - began


def measure_ways(quick: bool) -> list[SampleTiming]:
    """Fit in each way that is there, and see how soon fastgmm does as well."""
    n = 4_000 if quick else ROWS
    X, unseen = points(n, 0), points(n // 10 if quick else HELD_OUT, 1)
    GaussianMixture(COMPONENTS, max_iter=2, random_state=0, tol=100.0).fit(X[:20_000])  # compiles
    curve = passes_of_fastgmm(X, unseen, PASSES[:3] if quick else PASSES)
    own = [timing_of(Growing(n_init), X, unseen) for n_init in STARTS]
    curve += [(way.seconds, way.held_out) for way in own if way.held_out is not None]
    ways = [*map(Subsample, SUBSAMPLES), *([Spark()] if Spark.find() else [])]
    return [*(timing_of(way, X, unseen, sorted(curve)) for way in ways), *own]


def timing_of(
    way: Way, X: np.ndarray, unseen: np.ndarray, curve: Iterable[tuple[float, float]] = ()
) -> SampleTiming:
    """One way's time and likelihood, and the time of fastgmm to the same."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model, seconds = way.fit(X)
    except Exception as error:  # whatever a library raises belongs into the table
        return SampleTiming(way.name, failure=f"fails: {' '.join(str(error).split())[:40]}")
    held_out = float(model.score(unseen.astype(np.float64)))
    ours = next((spent for spent, reached in curve if reached >= held_out - SAME), None)
    return SampleTiming(way.name, seconds, held_out, ours)


def passes_of_fastgmm(
    X: np.ndarray, unseen: np.ndarray, passes: tuple[int, ...]
) -> list[tuple[float, float]]:
    """Seconds of default fits of ever more iterations, and how likely they make unseen rows."""
    curve = []
    for n_iter in passes:
        model = GaussianMixture(COMPONENTS, tol=0.0, max_iter=n_iter, random_state=0)
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X)
        seconds = time.perf_counter() - began
        curve.append((seconds, float(model.score(unseen))))
    return curve


def points(n: int, seed: int) -> np.ndarray:
    """Rows of components that overlap, in single precision."""
    rng = np.random.default_rng(12)
    means = 1.5 * rng.standard_normal((COMPONENTS, FEATURES))
    factors = rng.standard_normal((COMPONENTS, FEATURES, FEATURES)) / 2 + np.eye(FEATURES)
    weights = rng.dirichlet(np.full(COMPONENTS, 3.0))
    rng = np.random.default_rng(seed)
    component = rng.choice(COMPONENTS, n, p=weights)
    X = rng.standard_normal((n, FEATURES))
    for k in range(COMPONENTS):
        X[component == k] = means[k] + X[component == k] @ factors[k].T
    return X.astype(np.float32)


def versions() -> dict[str, str]:
    """Of the libraries that are there."""
    return {"Spark": Spark.find()} if Spark.find() else {}
