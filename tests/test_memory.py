"""Memory: none is kept, and what does not fit is refused before any of it is taken."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from axes import each_dtype
from memory_peak import peak_of
from numpy.testing import assert_allclose, assert_array_equal
from processes import run_python
from scipy.spatial.distance import pdist
from sklearn.cluster import KMeans

from fastgmm import GaussianMixture
from fastgmm.data.isometry import isometric_rows
from fastgmm.em import initialization
from fastgmm.em.memory import bytes_of_fit
from fastgmm.system import memory
from fastgmm.system.memory import UNQUESTIONED, available_bytes, check_memory

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


FITS = """
import numpy as np
from test_memory import GaussianMixture, resident_bytes
X = np.random.default_rng(0).normal(size=(300, 2))
def fits(n):
    for i in range(n):
        kind = ("full", "tied", "diag", "spherical")[i % 4]
        mixture = GaussianMixture(2, covariance_type=kind, tol=100, init_params="random_means")
        mixture.fit(X).predict_proba(X)
fits(100)
before = resident_bytes()
fits(1000)
print(resident_bytes() / before)
"""


@on_linux
def test_a_thousand_fits_keep_no_memory():
    assert float(run_python(FITS)) <= 1.01


# --- refused ----------------------------------------------------------------------------------
@pytest.fixture
def little_is_left(monkeypatch: pytest.MonkeyPatch) -> int:
    """A machine with as much memory as is never asked about."""
    monkeypatch.setattr(memory, "available_bytes", lambda: UNQUESTIONED)
    return UNQUESTIONED


def assert_refused(call, *arguments) -> int:
    """Return the number of bytes that the refusal names."""
    before = resident_bytes() if sys.platform == "linux" else 0
    with pytest.raises(MemoryError, match=rf"of which {UNQUESTIONED:,} are available") as caught:
        call(*arguments)
    if sys.platform == "linux":
        assert resident_bytes() - before < 2**25
    message = str(caught.value)
    return int(message.split("would take ")[1].split(" bytes")[0].replace(",", ""))


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_too_many_covariances(covariance_type: str, little_is_left: int):
    d = 1200 if covariance_type == "full" else 60_000
    X = np.zeros((100, d), np.float32)
    covariances = 100 * d * 8 * (d if covariance_type == "full" else 1)
    mixture = GaussianMixture(100, covariance_type=covariance_type)
    assert assert_refused(mixture.fit, X) > covariances
    assert not hasattr(mixture, "means_")


def test_too_many_responsibilities(little_is_left: int):
    X = np.zeros((300_000, 1), np.float32)
    mixture = GaussianMixture(300, covariance_type="diag", init_size=None)
    assert assert_refused(mixture.fit, X) > 300_000 * 300 * 4
    K = 300
    mixture = GaussianMixture.from_parameters(
        np.full(K, 1 / K), np.zeros((K, 1)), np.ones((K, 1)), "diag"
    )
    assert assert_refused(mixture.predict_proba, X) == 300_000 * 300 * 4
    assert mixture.predict(X).shape == (300_000,)  # needs none of that


def test_too_many_samples(little_is_left: int):
    mixture = GaussianMixture.from_parameters([1.0], [[0.0, 0]], [[1.0, 1]], "diag")
    assert assert_refused(mixture.sample, 10**9) >= 10**9 * 2 * 8
    assert len(mixture.sample(10)[0]) == 10


@on_linux
def test_more_than_any_machine_has():
    mixture = GaussianMixture.from_parameters([1.0], [[0.0, 0]], [[1.0, 1]], "diag")
    with pytest.raises(MemoryError, match=r"The samples would take 32,\d{3},000,000,000,000 bytes"):
        mixture.sample(10**15)


def test_small_requests_never_look(monkeypatch: pytest.MonkeyPatch):
    def look() -> int:
        raise AssertionError

    monkeypatch.setattr(memory, "available_bytes", look)
    check_memory(UNQUESTIONED, "This", "wait")
    X = np.random.default_rng(0).normal(size=(100, 2))
    mixture = GaussianMixture(covariance_type="diag").fit(X)
    mixture.predict_proba(X)
    mixture.sample(10)
    with pytest.raises(AssertionError):
        check_memory(UNQUESTIONED + 1, "This", "wait")


def test_nothing_is_refused_where_nothing_is_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    check_memory(2**80, "This", "wait")


# --- what there is ----------------------------------------------------------------------------
MEMINFO = "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    2000 kB\nSwapFree:   500 kB\n"
MACHINE = 2500 * 1024
V1, V2 = "2:cpu:/a/b\n1:hugetlb,memory:/a/b\n", "0::/a/b\n"
CONTAINERS = {
    "no limit": (V2, {"a/b/memory.max": "max", "a/b/memory.current": "100"}, MACHINE),
    "no files": (V2, {}, MACHINE),
    "a limit": (V2, {"a/b/memory.max": "100000", "a/b/memory.current": "40000"}, 60_000),
    "a limit of the parent": (
        V2,
        {
            "a/b/memory.max": "100000",
            "a/b/memory.current": "40000",
            "a/memory.max": "100000",
            "a/memory.current": "90000",
        },
        10_000,
    ),
    "a limit that is more": (
        V2,
        {"a/b/memory.max": f"{10**12}", "a/b/memory.current": "0"},
        MACHINE,
    ),
    "more than the limit": (V2, {"memory.max": "1000", "memory.current": "2000"}, 0),
    "half the files": (V2, {"a/b/memory.max": "100000"}, MACHINE),
    "version 1": (
        V1,
        {
            "memory/a/b/memory.limit_in_bytes": "5000",
            "memory/a/b/memory.usage_in_bytes": "1000",
        },
        4000,
    ),
    "version 1, no limit": (
        V1,
        {
            "memory/a/b/memory.limit_in_bytes": "9223372036854771712",
            "memory/a/b/memory.usage_in_bytes": "1000",
        },
        MACHINE,
    ),
}


@pytest.mark.parametrize(
    ("membership", "files", "expected"), CONTAINERS.values(), ids=CONTAINERS.keys()
)
def test_memory_of_a_container(
    membership: str, files: dict[str, str], expected: int, tmp_path: Path
):
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "self").write_text(membership)
    for name, content in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    places = [tmp_path / name for name in ("meminfo", "self", "cgroup")]
    assert available_bytes(*places) == expected


def test_memory_of_an_unknown_machine(tmp_path: Path):
    """All of it is the best guess, where the system tells at all."""
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\n")
    for meminfo in (tmp_path / "meminfo", tmp_path / "nothing"):
        available = available_bytes(meminfo, tmp_path / "nothing", tmp_path)
        if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
            assert available == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        else:
            assert available is None


MODEST = [
    *(("diag", 400, 3000, 128, "float32"), ("spherical", 300, 4000, 60, "float64")),
    *(("tied", 4000, 32, 1000, "float64"), ("full", 2000, 60, 40, "float64")),
]


@pytest.mark.parametrize(("covariance_type", "n", "d", "K", "dtype"), MODEST)
def test_a_fit_takes_about_what_is_looked_for(covariance_type, n, d, K, dtype):
    """Once it was K d² numbers whatever the covariance type: 4.6 GB for the first of these."""
    X = np.random.default_rng(0).standard_normal((n, d)).astype(dtype)
    mixture = GaussianMixture(
        K,
        covariance_type=covariance_type,
        init_params="random",
        max_iter=2,
        random_state=0,
        tol=1e9,
    )
    peak = peak_of(mixture.fit, X)
    expected = bytes_of_fit(n, K, d, covariance_type, X.itemsize)
    assert expected / 5 < peak < 2 * expected


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_wide_data_are_not_copied(covariance_type):
    """K-means, which holds two copies, sees them in fewer dimensions."""
    X = np.random.default_rng(0).standard_normal((1000, 20_000))  # with AVX-512 tiles are 100 MB
    mixture = GaussianMixture(5, covariance_type=covariance_type, max_iter=2, tol=1e9)
    assert peak_of(mixture.fit, X) < X.nbytes


def test_rows_in_fewer_dimensions_keep_their_distances():
    rng = np.random.default_rng(0)
    for n, d, rank in [(20, 300, 300), (20, 300, 5), (1, 7, 7)]:
        X = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d)) + 1e3
        rows = isometric_rows(X)
        assert rows.shape[0] == n
        assert rows.shape[1] <= n
        assert_allclose(pdist(rows), pdist(X), rtol=1e-9)


@each_dtype
def test_k_means_of_wide_data_has_scikit_learns_labels(dtype, monkeypatch):
    monkeypatch.setattr(initialization, "LARGE", 0)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 900)) + 0.3 * rng.normal(size=(4, 900))[np.arange(120) % 4]
    X = X.astype(dtype)
    for seed in range(3):
        expected = KMeans(4, n_init=1, random_state=np.random.RandomState(seed)).fit(X).labels_
        actual = initialization.labels_of_kmeans(X, 4, np.random.RandomState(seed), None)
        assert_array_equal(actual, expected)
