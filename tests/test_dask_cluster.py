"""A cluster of Dask: what is made stays on its workers, and may be lost with them."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import GaussianMixture, load
from fastgmm.cli import main
from fastgmm.data import cluster as cluster_module
from fastgmm.data.dask import DaskSource
from fastgmm.data.partitions import Kind
from fastgmm.em.step import em_step
from fastgmm.model.maximization import MaximumLikelihood

N = 2000
OF_CLUSTER = {"dashboard_address": ":0", "threads_per_worker": 1}


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(n_workers=2, processes=True, **OF_CLUSTER) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 3)) + rng.choice([-1.0, 1.0], (N, 1))


def counted(block: np.ndarray, folder: str) -> np.ndarray:
    """Leave a file behind, since this runs in another process."""
    (Path(folder) / uuid.uuid4().hex).touch()
    return block


def counted_blocks(points: np.ndarray, folder: Path) -> da.Array:
    X = da.from_array(points, chunks=(250, 3))
    return X.map_blocks(counted, str(folder), dtype=points.dtype, meta=points[:0])


def test_a_fit_is_that_of_an_array_and_upstream_runs_once(client, points, tmp_path):
    model = GaussianMixture(2, random_state=0, tol=1e-6)
    expected = GaussianMixture(2, random_state=0, tol=1e-6).fit(points)
    X = counted_blocks(points, tmp_path)
    model.fit(X)
    assert model.n_iter_ == expected.n_iter_ > 3
    assert_allclose(model.means_, expected.means_, rtol=1e-10)
    assert_allclose(model.covariances_, expected.covariances_, rtol=1e-10)
    assert len(list(tmp_path.iterdir())) == 8
    assert_array_equal(model.predict(X).compute(), expected.predict(points))


def test_a_killed_worker_changes_nothing(client, points, tmp_path):
    start = GaussianMixture(2, random_state=0, max_iter=0).fit(points)
    p = expected = start._parameters()
    blocks, kind = (
        list(counted_blocks(points, tmp_path).to_delayed().ravel()),
        Kind(points.dtype, 3),
    )
    source, whole = DaskSource(blocks, kind), DaskSource([dask.delayed(points)], kind)
    maximization = MaximumLikelihood("full", 1e-6)
    for n_iter in range(6):
        expected = em_step(whole, maximization, expected).parameters
        if n_iter == 3:
            before = client.run(os.getpid)
            os.kill(next(iter(before.values())), signal.SIGKILL)
        p = em_step(source, maximization, p).parameters
    for one, other in zip(p[:4], expected[:4], strict=True):
        assert_allclose(one, other, rtol=1e-10)
    assert 8 < len(list(tmp_path.iterdir())) <= 16  # what it had was made again, once


def test_the_command_line_fits_files_on_a_cluster(client, points, tmp_path, capsys):
    table = pd.DataFrame(points, columns=list("abc")).assign(name="text")
    for i, part in enumerate(np.array_split(np.arange(N), 2)):
        table.iloc[part].to_parquet(tmp_path / f"{i}.parquet")
        table.iloc[part].to_csv(tmp_path / f"{i}.csv", index=False)
    expected = GaussianMixture(2, random_state=0).fit(points)
    address, model = client.scheduler.address, tmp_path / "model.npz"
    for suffix in ("parquet", "csv"):
        command = ["fit", f"{tmp_path}/*.{suffix}", "-k", "2", "--index", "name"]
        assert main([*command, "--scheduler", address, "--out", str(model)]) == 0
        assert f"{N:,} × 3" in capsys.readouterr().out
        found = load(model)
        assert list(found.feature_names_in_) == list("abc")
        assert_allclose(found.means_, expected.means_, rtol=1e-10)
    assert main(["fit", str(model), "-k", "2", "--scheduler", address]) == 2
    assert "workers read .parquet or .csv files" in capsys.readouterr().err


def dying(block: np.ndarray) -> np.ndarray:
    os._exit(1)


def test_a_task_that_kills_its_workers_ends_the_fit(client, points):
    client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
    X = da.from_array(points, chunks=(N, 3))
    model = GaussianMixture(2, random_state=0).fit(points)
    before = dict(vars(model))
    with pytest.raises(ConnectionError, match=r"Workers of Dask died.* smaller partitions"):
        model.fit(X.map_blocks(dying, dtype=X.dtype, meta=points[:0]))
    assert vars(model) == before


def test_a_cluster_without_workers_ends_the_fit(points, monkeypatch):
    monkeypatch.setattr(cluster_module, "PATIENCE", 0.05)
    p = GaussianMixture(2, random_state=0).fit(points)._parameters()
    with (
        LocalCluster(n_workers=1, processes=False, **OF_CLUSTER) as cluster,
        Client(cluster) as client,
    ):
        source = DaskSource([dask.delayed(points)], Kind(points.dtype, 3))
        assert source.n_rows == N
        cluster.scale(0)
        client.sync(cluster._correct_state)
        with pytest.raises(ConnectionError, match="has had no worker for"):
            source.expectation(p)
