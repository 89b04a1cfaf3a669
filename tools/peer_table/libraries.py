"""The libraries, each behind the same few methods. A new one is a class and a line in `PEERS`."""

from __future__ import annotations

import contextlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np
import sklearn.mixture
from threadpoolctl import threadpool_limits

import fastgmm
from fastgmm._records import Parameters
from fastgmm.benchmarking.timing import fitted_from


class PeerFit(NamedTuple):
    """Where a library arrived, in scikit-learn's shapes, and after how many iterations."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    n_iterations: int

    @property
    def parameters(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Those of the mixture."""
        return self.weights, self.means, self.covariances


class Peer(ABC):
    """One library's EM, without regularization: oneDAL regularizes only what is singular."""

    name: ClassVar[str]
    module: ClassVar[str]
    distribution: ClassVar[str]

    @classmethod
    def is_installed(cls) -> bool:
        """Whether the library can be imported."""
        return importlib.util.find_spec(cls.module) is not None

    @classmethod
    def version(cls) -> str:
        """Version of the installed distribution."""
        return version(cls.distribution)

    @abstractmethod
    def supports(self, covariance_type: str, dtype: str) -> bool:
        """Whether the library has this covariance type in this precision."""

    @abstractmethod
    def run(self, X: np.ndarray, start: Parameters, n_iterations: int) -> PeerFit:
        """Take so many iterations from the start, or fewer where the library will not go on."""

    @abstractmethod
    def use_threads(self, n_threads: int) -> None:
        """Limit the threads that threadpoolctl does not know of."""


class ScikitLearn(Peer):
    """The incumbent."""

    name, module, distribution = "scikit-learn", "sklearn", "scikit-learn"
    estimator: ClassVar[Any] = sklearn.mixture.GaussianMixture

    def supports(self, covariance_type: str, dtype: str) -> bool:
        """Everything."""
        return True

    def run(self, X: np.ndarray, start: Parameters, n_iterations: int) -> PeerFit:
        """Fit with a tolerance that is never met."""
        model = fitted_from(self.estimator, X, start, n_iterations)
        return PeerFit(model.weights_, model.means_, model.covariances_, model.n_iter_)

    def use_threads(self, n_threads: int) -> None:
        """Nothing: it has those of BLAS."""


class FastGMM(ScikitLearn):
    """What is measured here; called like scikit-learn."""

    name = module = distribution = "fastgmm"
    estimator = fastgmm.GaussianMixture

    def use_threads(self, n_threads: int) -> None:
        """Numba's threads."""
        numba.set_num_threads(n_threads)


class OneDAL(Peer):
    """Intel's library for data analytics, through daal4py."""

    name, module, distribution = "oneDAL", "daal4py", "scikit-learn-intelex"
    storages: ClassVar[dict[str, str]] = {"full": "full", "diag": "diagonal"}

    def supports(self, covariance_type: str, dtype: str) -> bool:
        """Full and diagonal covariances."""
        return covariance_type in self.storages

    def run(self, X: np.ndarray, start: Parameters, n_iterations: int) -> PeerFit:
        """Run the batch algorithm.

        It stops as soon as the likelihood no longer rises. The factor of regularization stays at
        its default: it is used where a variance is all but zero, and added to nothing else.
        """
        import daal4py

        diagonal = start.covariance_type == "diag"
        algorithm = daal4py.em_gmm(
            nComponents=len(start.weights),
            fptype="float" if X.dtype == np.float32 else "double",
            maxIterations=n_iterations,
            accuracyThreshold=0.0,
            covarianceStorage=self.storages[start.covariance_type],
        )
        covariances = start.covariances[:, None] if diagonal else start.covariances
        result = algorithm.compute(X, start.weights[None], start.means, list(covariances))
        covariances = np.stack(result.covariances)
        return PeerFit(
            np.ravel(result.weights),
            result.means,
            covariances[:, 0] if diagonal else covariances,
            int(np.ravel(result.nIterations)[0]),
        )

    def use_threads(self, n_threads: int) -> None:
        """oneDAL's own pool."""
        import daal4py

        daal4py.daalinit(n_threads)


PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (FastGMM, ScikitLearn, OneDAL)}


@contextlib.contextmanager
def limited_threads(n_threads: int, peers: list[Peer]) -> Iterator[None]:
    """Have every library use so many threads."""
    before = numba.get_num_threads()
    try:
        with threadpool_limits(n_threads):
            for peer in peers:
                peer.use_threads(n_threads)
            yield
    finally:
        numba.set_num_threads(before)
