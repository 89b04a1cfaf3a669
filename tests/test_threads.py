"""Threads and processes: the same bits from any number of them, and no deadlock after a fork."""

from __future__ import annotations

import hashlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
from processes import run_python
from sklearn.utils._param_validation import InvalidParameterError
from threadpoolctl import threadpool_info, threadpool_limits

from fastgmm import GaussianMixture
from fastgmm._records import COVARIANCE_TYPES
from fastgmm.kernels.jit import threading_layer
from fastgmm.system import threads
from fastgmm.system.processors import cpu_quota
from fastgmm.system.threads import blas_on_one_thread

# The problems are small, and these are tests of the drivers.
pytestmark = pytest.mark.usefixtures("on_drivers")


def installed_layers() -> list[str]:
    layers = {"workqueue": "workqueue", "omp": "omppool", "tbb": "tbbpool"}
    found = []
    for layer, module in layers.items():
        try:
            importlib.import_module(f"numba.np.ufunc.{module}")
        except ImportError:
            continue
        found.append(layer)
    return found


LAYERS = installed_layers()
over_layers = pytest.mark.parametrize("layer", LAYERS)
forks = pytest.mark.skipif(
    sys.platform != "linux", reason="forking beside threads is safe on Linux only"
)


# --- used by the scripts below too ------------------------------------------------------------
def points(n: int = 6000, d: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)) + 4 * rng.integers(3, size=(n, 1))


def fit(X: np.ndarray, covariance_type: str = "diag", **options: object) -> GaussianMixture:
    """Two iterations, without a warning."""
    options = {"n_components": 3, "init_params": "random_means", "random_state": 0} | options
    return GaussianMixture(covariance_type=covariance_type, tol=100, **options).fit(X)


def digest(model: GaussianMixture) -> str:
    arrays = (model.weights_, model.means_, model.covariances_, model.lower_bounds_)
    return hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()


def fit_and_digest(seed: int) -> str:
    return digest(fit(points(), random_state=seed, init_params="kmeans"))


def blas_threads() -> list[int]:
    return sorted(p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas")


def after_fork(check: Callable[[], bool]) -> str:
    """How a forked child ends in which `check` is called."""
    pid = os.fork()
    if pid == 0:
        code = 2  # an exception
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            signalled = os.WIFSIGNALED(status)
            return "killed" if signalled else ["right", "wrong", "raised"][os.WEXITSTATUS(status)]
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hung"


# --- any number of threads --------------------------------------------------------------------
BITS = """
import numba, test_threads
from fastgmm.kernels import partition, small_problems
from test_threads import COVARIANCE_TYPES, digest, fit, points
def digests(X, *kind, **options):
    found = set()
    for n_threads in 1, 2, 4, 8:
        numba.set_num_threads(n_threads)
        found |= {digest(fit(X, *kind, **options)) for repetition in range(20)}
    found |= {digest(fit(X, *kind, n_jobs=n_jobs, **options)) for n_jobs in (1, 2, -1, -2)}
    return found
for covariance_type in COVARIANCE_TYPES:
    print(*digests(points(), covariance_type))
print(*digests(points(900, 24), "full", n_components=9))  # small, in several tiles
small_problems.MOST_POINTS = 0
partition.SHARED_BYTES, partition.RUN_BYTES = 0, 2**17  # so that this one takes two steps
print(*digests(points(900, 24), "full", n_components=9))
assert numba.threading_layer() == layer
"""


def test_layers_numbers_of_threads_and_repetitions_give_the_same_bits():
    outputs = {
        run_python(f"{layer = }\n{BITS}", NUMBA_NUM_THREADS="8", NUMBA_THREADING_LAYER=layer)
        for layer in LAYERS
    }
    assert len(outputs) == 1
    assert len(outputs.pop().split()) == len(COVARIANCE_TYPES) + 2  # one digest for each problem


AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
from test_threads import digest, fit, points
X = points(1000)
def fits(thread):
    kinds = ("full", "diag") if thread % 2 else ("diag", "full")
    seeds = range(50)
    return [digest(fit(X, k, random_state=s, n_jobs=1 + s % 2)) for s in seeds for k in kinds]
expected = [sorted(fits(0)), sorted(fits(1))]
with ThreadPoolExecutor(8) as pool:
    for thread, found in enumerate(pool.map(fits, range(8))):
        assert sorted(found) == expected[thread % 2]
print("same")
"""


@over_layers
def test_a_hundred_fits_on_each_of_eight_python_threads(layer: str):
    output = run_python(AT_ONCE, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="4")
    assert output == "same\n"


def test_threads_of_a_pool_have_masks_of_their_own():
    """As in Dask: fits in threads that somebody else started."""
    X, before = points(), numba.get_num_threads()
    expected = digest(fit(X))
    with ThreadPoolExecutor(2) as pool:
        for n_jobs in (1, 2, -1, None):
            assert pool.submit(lambda n: digest(fit(X, n_jobs=n)), n_jobs).result() == expected
    assert numba.get_num_threads() == before


def test_failed_fits_leave_the_number_of_threads():
    X, before, blas = points(200), numba.get_num_threads(), blas_threads()
    unfit = {"reg_covar": 0, "n_components": 2}
    for i in range(100):
        n_jobs = (None, 1, 2, -1, -2)[i % 5]
        if i % 2:
            fit(X, n_jobs=n_jobs)
        else:
            with pytest.raises(ValueError, match=r"ill-defined|NaN"):
                fit(np.full((9, 2), 1.0 if i % 4 else np.nan), n_jobs=n_jobs, **unfit)
        assert numba.get_num_threads() == before
    assert blas_threads() == blas


@pytest.mark.parametrize("n_jobs", [0, 1.5, "all"])
def test_impossible_n_jobs(n_jobs: object):
    with pytest.raises(InvalidParameterError, match="n_jobs"):
        fit(points(), n_jobs=n_jobs)


def test_blas_is_limited_until_the_last_of_several_fits_ends():
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        outer, inner = blas_on_one_thread(), blas_on_one_thread()
        with outer:
            assert set(blas_threads()) == {1}
            with pytest.raises(ZeroDivisionError), inner:
                raise ZeroDivisionError
            assert set(blas_threads()) == {1}
        assert blas_threads() == before


# --- processes --------------------------------------------------------------------------------
FORKED = """
import threading, warnings
from test_threads import after_fork, blas_threads, digest, fit, points
warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point here
X, blas = points(), blas_threads()
starts = "random_means", "kmeans", "k-means++"
expected = {init: digest(fit(X, init_params=init)) for init in starts}
ends = []
def fork_and_fit():
    for init in expected:
        for again in range(3):
            ends.append(after_fork(lambda: (
                blas_threads() == blas
                and digest(fit(X, init_params=init)) == expected[init]
                and blas_threads() == blas
            )))
fork_and_fit()
done = threading.Event()
def keep_fitting():
    while not done.is_set():
        fit(X)
busy = threading.Thread(target=keep_fitting)
busy.start()
try:
    fork_and_fit()
finally:
    done.set()
    busy.join()
print(*ends)
assert digest(fit(X)) == expected["random_means"]
"""


@forks
@over_layers
def test_forked_children_fit(layer: str):
    """Also while another thread of the parent fits, and after its k-means had used OpenMP."""
    ends = run_python(FORKED, NUMBA_THREADING_LAYER=layer).split()
    assert ends == ["right"] * 18


FORK_INSIDE = """
import os, warnings, numpy as np
from test_threads import after_fork, blas_threads, digest, fit, points
warnings.simplefilter("ignore", DeprecationWarning)
parent, X, blas = os.getpid(), points(), blas_threads()
def start(rows, n_components, random_state):
    if os.getpid() == parent:
        assert after_fork(lambda: digest(fit(X)) == expected) == "right"
        if (child := os.fork()):
            assert os.waitpid(child, 0)[1] == 0
    return np.arange(len(rows)) % n_components
expected = digest(fit(X))
fit(X, init_params=start)
assert blas_threads() == blas
print("same")
if os.getpid() != parent:
    os._exit(0)
"""


@forks
def test_a_fork_within_a_fit():
    """Which goes on in the child too."""
    assert run_python(FORK_INSIDE) == "same\nsame\n"


LAUNCHERS = {
    "prange": """
@numba.njit(parallel=True)
def total(values):
    result = 0.0
    for i in numba.prange(len(values)):
        result += values[i]
    return result
total(np.ones(1000))
""",
    "set_num_threads": "numba.set_num_threads(1); numba.set_num_threads(2)",
    "a fit that is refused": """
from fastgmm import GaussianMixture
try:
    GaussianMixture(2, n_jobs=1).fit(np.full((9, 2), np.nan))
except ValueError:
    pass
""",
}

LAUNCHED = """
import os, signal, warnings
import numba, numpy as np
warnings.simplefilter("ignore", DeprecationWarning)
if not launch_first:
    import test_threads
exec(launch)
def generation(left):
    pid = os.fork()
    if pid:
        print(os.waitpid(pid, 0)[1])
        return
    signal.alarm(120)
    if left:
        generation(left - 1)
    from test_threads import fit, points
    fit(points())
    os._exit(0)
generation(1)
"""


@forks
@pytest.mark.parametrize("launch_first", [True, False], ids=["before import", "after import"])
@pytest.mark.parametrize("launch", LAUNCHERS.values(), ids=LAUNCHERS)
def test_forked_after_others_have_launched_the_threads(launch: str, launch_first: bool):
    """In a child, and in a child of a child."""
    output = run_python(f"{launch = }\n{launch_first = }\n{LAUNCHED}", NUMBA_NUM_THREADS="2")
    assert output.split() == ["0", "0"]


COMPILING = """
import os, signal, threading, time, warnings
import numba, numpy as np
from fastgmm import kernels
warnings.simplefilter("ignore", DeprecationWarning)
done = threading.Event()
def compile_all_the_time():
    while not done.is_set():
        numba.njit(lambda x: x + 1)(1.0)
busy = threading.Thread(target=compile_all_the_time)
busy.start()
ends = []
try:
    for again in range(20):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)  # a deadlock ends here
            numba.njit(lambda x: x + 2)(1.0)
            os._exit(0)
        ends.append(os.waitpid(pid, 0)[1])
finally:
    done.set()
    busy.join()
print(ends == [0] * 20)
"""


@forks
def test_a_fork_while_another_thread_compiles():
    """Whose locks would stay locked in the child."""
    assert run_python(COMPILING) == "True\n"


POOLS = """
import multiprocessing, sys, warnings, joblib
from test_threads import fit_and_digest
expected = [fit_and_digest(seed) for seed in range(4)]
warnings.simplefilter("ignore", DeprecationWarning)
for method in ("fork", "spawn") if sys.platform == "linux" else ("spawn",):
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(fit_and_digest, range(4)).get(120) == expected
parallel = joblib.Parallel(2, backend="loky", timeout=120)
assert parallel(joblib.delayed(fit_and_digest)(seed) for seed in range(4)) == expected
print("same")
"""


def test_pools_of_processes():
    assert run_python(POOLS) == "same\n"


# --- how threads wait -------------------------------------------------------------------------
WAITING = """
import os
os.dup2(1, 2)
before = dict(os.environ)
from fastgmm import kernels
assert dict(os.environ) == before
import numba
numba.get_num_threads()
print(numba.threading_layer())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only GNU's OpenMP is told how to wait")
@pytest.mark.parametrize(
    ("setting", "turns"),
    [
        ({}, threading_layer.SPIN_COUNT),
        ({"OMP_WAIT_POLICY": "passive"}, 0),
        ({"OMP_WAIT_POLICY": "active"}, 30_000_000_000),
        ({"GOMP_SPINCOUNT": "7"}, 7),
    ],
    ids=["default", "passive", "active", "given"],
)
def test_waiting_threads_give_up_their_processor(setting: dict[str, str], turns: int):
    """Soon, unless the user has said how they shall wait; what OpenMP says it was told."""
    output = run_python(WAITING, OMP_DISPLAY_ENV="verbose", NUMBA_THREADING_LAYER="omp", **setting)
    assert f"GOMP_SPINCOUNT = '{turns}'" in output
    assert output.endswith("omp\n")


# --- a container's processors -----------------------------------------------------------------
V1, V2 = "3:cpuset:/\n2:cpu,cpuacct:/a/b\n1:memory:/a\n", "0::/a/b\n"
QUOTAS = {
    "nothing": (V2, {}, None),
    "unlimited": (V2, {"a/b/cpu.max": "max 100000"}, None),
    "rounded up": (V2, {"a/b/cpu.max": "150000 100000"}, 2),
    "less than one": (V2, {"a/b/cpu.max": "1000 100000"}, 1),
    "of the parent": (V2, {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
    "the least": (V2, {"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, 2),
    "in a container's own root": (V2, {"cpu.max": "100000 50000"}, 2),
    "not numbers": (V2, {"a/b/cpu.max": "many"}, None),
    "version 1": (
        V1,
        {"cpu/a/b/cpu.cfs_quota_us": "250000", "cpu/a/b/cpu.cfs_period_us": "100000"},
        3,
    ),
    "version 1, unlimited": (
        V1,
        {"cpu/a/b/cpu.cfs_quota_us": "-1", "cpu/a/b/cpu.cfs_period_us": "100000"},
        None,
    ),
    "version 1, of the parent": (
        V1,
        {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"},
        1,
    ),
    "version 1, half": (V1, {"cpu/a/b/cpu.cfs_quota_us": "250000"}, None),
}


@pytest.mark.parametrize(("membership", "files", "expected"), QUOTAS.values(), ids=QUOTAS.keys())
def test_quota_of_a_container(
    membership: str, files: dict[str, str], expected: int | None, tmp_path: Path
):
    (tmp_path / "self").write_text(membership)
    for name, content in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    assert cpu_quota(tmp_path / "self", tmp_path / "cgroup") == expected


def test_no_control_groups(tmp_path: Path):
    assert cpu_quota(tmp_path / "self", tmp_path) is None


def test_threads_within_the_quota_unless_the_user_says_how_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "max_threads", lambda: 8)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    for quota, expected in [(3, 3), (20, 8), (None, 8)]:
        monkeypatch.setattr(threads, "cpu_quota", lambda quota=quota: quota)
        assert threads.most_threads() == expected
    monkeypatch.setenv("NUMBA_NUM_THREADS", "8")
    monkeypatch.setattr(threads, "cpu_quota", lambda: 3)
    assert threads.most_threads() == 8
