"""The tool that compares fastgmm with other libraries: it measures, doubts, and writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fastgmm._records import COVARIANCE_TYPES
from fastgmm.benchmarking.problems import DTYPES, Problem, draw

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from peer_table import cli, families, measurement, peak, samples, scaling, sweeps  # noqa: E402
from peer_table.libraries import FastGMM, ScikitLearn  # noqa: E402
from peer_table.publishing import BEGIN, END, FILES, FOLDER, PAGE, README  # noqa: E402
from peer_table.scaling import DriverCall, Iteration  # noqa: E402
from peer_table.whole_fits import Task, TaskResult, measure_task  # noqa: E402

OPTIONS = ["--cells", "400x2x3", "--peers", "scikit-learn", "--rounds", "1"]


class Deviating(ScikitLearn):
    """Arrives somewhere else."""

    name = "deviating"

    def run(self, X, start, n_iterations):
        fit = super().run(X, start, n_iterations)
        return fit._replace(means=fit.means + 1e-3)


class Failing(ScikitLearn):
    """Raises."""

    name = "failing"

    def run(self, X, start, n_iterations):
        raise RuntimeError("out of luck")


class Stopping(ScikitLearn):
    """Stops early, at the right parameters."""

    name = "stopping"

    def run(self, X, start, n_iterations):
        return super().run(X, start, n_iterations)._replace(n_iterations=1)


@pytest.fixture(scope="module", autouse=True)
def _in_a_hurry():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measurement, "SECONDS_PER_ROUND", 0.0)
        patch.setattr(peak, "PEAK_SECONDS", 0.01)
        patch.setattr(peak, "BLOCK_ROWS", (4,))
        yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("peers") / "peers.json"
    types = ["--covariance-types", "full", "diag", "--dtypes", "float64", "--threads", "1"]
    assert cli.main([*OPTIONS, *types, "--json", str(path)]) == 0
    return path


def test_json_tells_everything(measured: Path):
    report = json.loads(measured.read_text())
    assert report["machine"]["versions"].keys() >= {"fastgmm", "scikit-learn", "numpy", "numba"}
    assert report["machine"]["peak, GFLOP/s"]["float64, 1 thread"] > 0
    full, diag = report["cells"]
    assert full["cell"] == {"covariance_type": "full", "n": 400, "d": 2, "K": 3}
    assert full["efficiency"] > 0
    assert diag["efficiency"] is None
    for cell in (full, diag):
        ours, theirs = cell["timings"]
        assert (ours["peer"], theirs["peer"]) == ("fastgmm", "scikit-learn")
        assert ours["ratio"] == 1
        assert theirs["seconds"] > 0
        assert theirs["difference"] < 1e-12


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what is published into."""
    (tmp_path / FOLDER).mkdir(parents=True)
    for page in (README, PAGE):
        (tmp_path / page).write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    return tmp_path


def test_pages_are_rewritten_between_the_marks(measured: Path, checkout: Path):
    for _ in range(2):  # the second time it reads what the first one wrote
        cli.main(["--publish", str(measured), "--root", str(checkout)])
        for page in (README, PAGE):
            text = (checkout / page).read_text(encoding="utf-8")
            assert text.startswith(f"before\n\n{BEGIN}\n")
            assert text.endswith(f"\n{END}\n\nafter\n")
            assert "old" not in text
            # In rows alone: a peer that was faster, as noise has it, is named below the tables.
            rows = [line for line in text.splitlines() if line.startswith("|") and "full" in line]
            assert len(rows) == (2 if page == PAGE else 1)
    assert "| full | 400 | 2 | 3 |" in (checkout / PAGE).read_text(encoding="utf-8")
    assert json.loads((checkout / FOLDER / FILES["cells"]).read_text())["cells"]


def test_a_page_without_marks_stays_as_it_is(measured: Path, checkout: Path):
    (checkout / README).write_text("nothing to replace")
    with pytest.raises(ValueError, match="no lines"):
        cli.main(["--publish", str(measured), "--root", str(checkout)])
    assert (checkout / README).read_text() == "nothing to replace"


def test_what_is_published_is_what_was_measured(tmp_path: Path):
    """Nobody has edited the tables, or the files that they are made from alone."""
    (tmp_path / FOLDER).mkdir(parents=True)
    published = [PAGE, README, *(f"{FOLDER}/{name}" for name in FILES.values())]
    for name in published:
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    files = [str(ROOT / FOLDER / name) for name in FILES.values()]
    cli.main(["--publish", *files, "--root", str(tmp_path)])
    for name in published:
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes(), name


def test_what_is_not_the_same_is_not_timed():
    peers = [FastGMM(), ScikitLearn(), Deviating(), Failing(), Stopping()]
    result = measurement.measure(Problem("diag", "float64", 400, 2, 3), 1, peers, 1)
    ours, sklearn, deviating, failing, stopping = result.timings
    assert not ours.failure
    assert not sklearn.failure
    assert deviating.failure.startswith("differs by ")
    assert failing.failure == "fails: out of luck"
    assert stopping.failure == "stops after iteration 1"
    for timing in (deviating, failing, stopping):
        assert timing.seconds is timing.ratio is None


def test_without_ours_nothing_is_compared():
    result = measurement.measure(
        Problem("diag", "float64", 400, 2, 3), 1, [Failing(), ScikitLearn()], 1
    )
    assert [t.failure for t in result.timings] == ["fails: out of luck", "not compared"]


def test_tables_show_failures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setitem(cli.PEERS, "scikit-learn", Deviating)
    types = ["--covariance-types", "diag", "--dtypes", "float64", "--threads", "1"]
    assert cli.main([*OPTIONS, *types]) == 0
    assert "differs by" in capsys.readouterr().out


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_problems_are_the_same_every_time(covariance_type: str, dtype: str):
    problem = Problem(covariance_type, dtype, 300, 4, 3)
    (X, start), (again, start_again) = draw(problem), draw(problem)
    np.testing.assert_array_equal(X, again)
    assert X.dtype == dtype
    for array, other in zip(start[:4], start_again[:4], strict=True):
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, other)


def test_whole_fits_are_compared():
    X, _ = draw(Problem("full", "float64", 400, 2, 3))
    result = measure_task(Task("points", lambda quick: X, (2, 3), max_iter=3), 1, quick=True)
    assert isinstance(result, TaskResult)
    assert result.shape == (400, 2)
    assert result.seconds > 0
    assert result.ratio == pytest.approx(result.peer_seconds / result.seconds)
    assert result.log_likelihood == pytest.approx(result.peer_log_likelihood)
    assert abs(result.loss) < 1e-9


def test_an_iteration_is_put_together_for_more_cores():
    calls = (
        DriverCall((1.0,) * 6, on_one=0.1, on_two=0.2),
        DriverCall((3.0, 1.0, 1.0, 1.0), on_one=0.1, on_two=0.2),
    )
    iteration = Iteration(serial=0.5, calls=calls)
    assert iteration.seconds(1) == pytest.approx(0.5 + 0.2 + 12)
    assert iteration.seconds(2) == pytest.approx(0.5 + 0.4 + 3 + 3)
    assert iteration.imbalance(1) == pytest.approx(1)
    assert iteration.imbalance(4) == pytest.approx((2 + 3) * 4 / 12)
    # Of 64 threads only as many wake as have a block, and none is faster than the longest block.
    assert iteration.overhead(64) == pytest.approx(0.4 + (4 + 2) * scaling.WAKING)
    assert iteration.speedup(64) < 12.7 / (1 + 3)


@pytest.mark.parametrize(("n", "d", "K"), [(40_000, 2, 3), (900, 64, 40)])
def test_an_iteration_taken_apart_does_the_same(n: int, d: int, K: int):
    """And each block once, also those of a large model, of several calls."""
    step = scaling.prepared_step(Problem("full", "float64", n, d, K))
    found = []
    iteration = scaling.taken_apart_once(lambda: found.append(step()))
    np.testing.assert_array_equal(found[0].parameters.covariances, step().parameters.covariances)
    assert found[0].objective == step().objective
    assert len(iteration.calls) == (1 if d == 2 else 2)
    assert iteration.serial > 0
    assert all(len(call.blocks) > 1 for call in iteration.calls)
    assert 0 < iteration.speedup(64) < 64


def test_scaling_is_shown_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture):
    path = tmp_path / "scaling.json"
    assert cli.main(["--scaling", "--cells", "100000x2x3", "--quick", "--json", str(path)]) == 0
    assert "predicted" in capsys.readouterr().out
    (result,) = json.loads(path.read_text())["scaling"]
    assert result["cell"] == {"covariance_type": "full", "n": 5000, "d": 2, "K": 3}
    assert result["cores"] == [2, 4, 16, 64]
    assert len(result["speedups"]) == 4
    assert result["serial"] > 0


class Elsewhere(families.FastGMM):
    """Another family's likelihood."""

    name = "elsewhere"

    def run(self, X, labels, family, n):
        return super().run(X, labels, "EII" if family == "VVV" else "VVV", n)


class Broken(families.FastGMM):
    """Raises."""

    name = "broken"

    def run(self, X, labels, family, n):
        raise RuntimeError("out of luck")


class Missing(families.FastGMM):
    """Is not installed."""

    @classmethod
    def find(cls):
        return ""


def test_families_are_shown_kept_and_published(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    ours = families.FastGMM
    monkeypatch.setattr(families, "LIBRARIES", (ours, Elsewhere, Broken, Missing))
    path = tmp_path / "families.json"
    assert cli.main(["--families", "--quick", "--rounds", "1", "--json", str(path)]) == 0
    assert "differs by" in capsys.readouterr().out
    first, last = json.loads(path.read_text())["families"]
    assert (first["name"], last["name"]) == ("EII", "VVV")
    own, elsewhere, broken = first["timings"]
    assert own["ratio"] == 1
    assert elsewhere["failure"].startswith("differs by ")
    assert broken["failure"] == "fails: out of luck"
    cli.main(["--publish", str(path), "--root", str(checkout)])
    assert "| VVV | " in (checkout / PAGE).read_text()
    assert (checkout / FOLDER / FILES["families"]).exists()


class NoSpark(samples.Spark):
    """Says that it is there."""

    @classmethod
    def find(cls):
        return "0"

    def fit(self, X):
        raise OSError("no cluster")


def test_ways_to_fit_many_rows_are_shown_kept_and_published(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(samples, "Spark", NoSpark)
    monkeypatch.setattr(samples, "SUBSAMPLES", (1_000,))
    path = tmp_path / "samples.json"
    assert cli.main(["--samples", "--quick", "--json", str(path)]) == 0
    assert "fails: no cluster" in capsys.readouterr().out
    some, spark, growing, _ = json.loads(path.read_text())["samples"]
    assert growing["held_out"] > some["held_out"]
    assert some["seconds"] > 0
    assert spark["failure"] == "fails: no cluster"
    cli.main(["--publish", str(path), "--root", str(checkout)])
    assert "| scikit-learn on 1,000 rows | " in (checkout / PAGE).read_text()
    assert (checkout / FOLDER / FILES["samples"]).exists()


@pytest.mark.skipif(
    "mclust (R)" not in families.versions(), reason="R's mclust is not installed everywhere"
)
def test_rs_mclust_arrives_where_we_do():
    X, start = draw(Problem("full", "float64", 500, 3, 3))
    labels = families.kernels.assign(X, *start.arguments)
    seconds, theirs = families.RMclust().run(X, labels, "VEI", 5)
    assert seconds >= 0
    assert theirs == pytest.approx(families.FastGMM().run(X, labels, "VEI", 5)[1], rel=1e-6)


@pytest.mark.parametrize("axis", ["d", "K", "n"])
def test_a_sweep_changes_one_size_alone(axis: str):
    for covariance_type in COVARIANCE_TYPES:
        problems = sweeps.sweep(axis, covariance_type, "float32", quick=False)
        assert [getattr(problem, axis) for problem in problems] == list(sweeps.VALUES[axis])
        for other in {"d", "K"} - {axis}:
            assert len({getattr(problem, other) for problem in problems}) == 1


def test_a_sweep_is_drawn_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture):
    path, picture = tmp_path / "sweep.json", tmp_path / "sweep.svg"
    types = ["--covariance-types", "full", "diag", "--dtypes", "float64", *OPTIONS[2:]]
    files = ["--json", str(path), "--picture", str(picture)]
    assert cli.main(["--sweep", "d", "--quick", *types, *files]) == 0
    assert "sweep.svg" in capsys.readouterr().out
    cells = json.loads(path.read_text())["cells"]
    assert [cell["cell"]["d"] for cell in cells] == 2 * list(sweeps.QUICK_VALUES["d"])
    text = picture.read_text()
    for words in ("full", "diag", "features", "share of the multiply-add peak", "scikit-learn"):
        assert words in text


def test_a_sweep_is_not_published(tmp_path: Path, checkout: Path):
    report = tmp_path / "sweep.json"
    report.write_text(json.dumps({"sweep": "d", "cells": [{}], "tasks": []}))
    with pytest.raises(ValueError, match="leave its file out"):
        cli.main(["--publish", str(report), "--root", str(checkout)])
    assert not list((checkout / FOLDER).iterdir())


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        (["--cells", "400x2x3"], "leave --cells"),
        (["--whole-fits"], "leave --cells"),
        (["--threads", "1", "2"], "one number"),
        (["--picture", "sweep.doc"], "must end in one of"),
    ],
)
def test_a_sweep_is_refused_before_it_is_measured(wrong, remedy, capsys, monkeypatch):
    monkeypatch.setattr(cli, "usable_cores", lambda: 2)
    with pytest.raises(SystemExit):
        cli.main(["--sweep", "d", *wrong])
    assert remedy in capsys.readouterr().err


def test_threads_and_cells_are_checked(capsys: pytest.CaptureFixture):
    for wrong in (["--threads", "0"], ["--cells", "many"], ["--rounds", "0"]):
        with pytest.raises(SystemExit):
            cli.main(wrong)
    assert "error" in capsys.readouterr().err
