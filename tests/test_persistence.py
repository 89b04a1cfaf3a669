"""Saved models: what goes in comes out, and whatever else comes in is refused in one line."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
import zipfile
from functools import partial

import numpy as np
import pytest
from axes import each_covariance_type
from problems import ARRAYS
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fastgmm import persistence
from fastgmm.mixture import GaussianMixture
from fastgmm.persistence import HEADER, load, save


def points():
    rng = np.random.default_rng(0)
    clusters = [rng.normal(m, s, (80, 2)) for m, s in [(0, 1), (5, 2), (-6, 0.5)]]
    return np.concatenate(clusters)


def fitted(covariance_type="full", **options):
    options = {"random_state": 7, "tol": 1e-2, **options}
    return GaussianMixture(3, covariance_type=covariance_type, **options).fit(points())


@pytest.fixture(scope="module")
def model():
    return fitted()


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "model.npz"
    save(model, path)
    return path


def rewrite(path, change):
    """Write the archive again after `change` has altered its members in place."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def header_in(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(HEADER))


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def refusal(path):
    """The message with which `load` refuses the file: one line that names the file."""
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@each_covariance_type
def test_round_trip(covariance_type, tmp_path):
    model, X = fitted(covariance_type), points()
    save(model, tmp_path / "model.npz")
    copy = load(tmp_path / "model.npz")
    assert type(copy) is type(model)
    assert copy.get_params() == model.get_params()
    for name in ARRAYS:
        assert getattr(copy, name).dtype == getattr(model, name).dtype
        np.testing.assert_array_equal(getattr(copy, name), getattr(model, name))
    for name in ["converged_", "n_iter_", "n_features_in_", "lower_bound_", "log_likelihood_"]:
        assert getattr(copy, name) == getattr(model, name)
    assert list(copy.lower_bounds_) == list(model.lower_bounds_)
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(copy.score_samples(X), model.score_samples(X))
    assert copy.score(X) == model.score(X)
    assert copy.aic(X) == model.aic(X)
    assert copy.bic(X) == model.bic(X)
    for ours, theirs in zip(copy.sample(20), model.sample(20), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_single_precision_stays_single(tmp_path):
    model = fitted()
    for name in ARRAYS:
        setattr(model, name, getattr(model, name).astype(np.float32))
    save(model, tmp_path / "model.npz")
    copy = load(tmp_path / "model.npz")
    for name in ARRAYS:
        assert getattr(copy, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(copy, name), getattr(model, name))


def test_feature_names(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(points(), columns=["weight", "Länge"])
    model = GaussianMixture(2, random_state=0).fit(frame)
    save(model, tmp_path / "model.npz")
    copy = load(tmp_path / "model.npz")
    assert copy.feature_names_in_.tolist() == ["weight", "Länge"]
    np.testing.assert_array_equal(copy.predict(frame), model.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        copy.predict(frame[["Länge", "weight"]])


def test_array_parameters_are_kept_and_generators_are_not(tmp_path):
    start = points()[[0, 100, 200]]
    model = fitted(means_init=start, random_state=np.random.RandomState(0), n_init=np.int64(1))
    save(model, tmp_path / "model.npz")
    copy = load(tmp_path / "model.npz")
    np.testing.assert_array_equal(copy.means_init, start)
    assert copy.random_state is None


STARTS = {
    "function": lambda rows, K, random_state: random_state.dirichlet(np.ones(K), len(rows)),
    "labels": np.arange(240) % 3,
    "responsibilities": np.full((240, 3), 1 / 3),
    "list": [0, 1, 2] * 80,
}


@pytest.mark.parametrize("init_params", STARTS.values(), ids=STARTS.keys())
def test_starts_that_are_no_name_are_not_kept(init_params, model, tmp_path):
    started = clone(model).set_params(init_params=init_params)
    vars(started).update({name: value for name, value in vars(model).items() if name[-1] == "_"})
    save(started, tmp_path / "model.npz")
    assert "init_params" not in header_in(tmp_path / "model.npz")["parameters"]
    assert load(tmp_path / "model.npz").get_params() == model.get_params()  # the default again


def test_starts_with_a_name_are_kept(tmp_path):
    save(fitted(init_params="random_means", max_iter=500), tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").init_params == "random_means"


def test_the_history_is_not_kept(model, saved, tmp_path):
    with_history = fitted(fit_history=True)
    assert len(with_history.fit_history_) == with_history.n_iter_ + 1
    save(with_history, tmp_path / "history.npz")
    with zipfile.ZipFile(saved) as one, zipfile.ZipFile(tmp_path / "history.npz") as other:
        assert one.namelist() == other.namelist()
    copy = load(tmp_path / "history.npz")
    assert copy.fit_history is True
    assert copy.fit_history_ == []


def test_a_likelihood_that_there_is_not_stays_so(tmp_path):
    model = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [3.0]], [1.0, 2.0], "spherical")
    save(model, tmp_path / "model.npz")
    copy = load(tmp_path / "model.npz")
    assert np.isnan(copy.log_likelihood_)
    assert type(copy.log_likelihood_) is float


def test_files_of_before_there_was_a_likelihood_are_loaded(saved, model):
    rewrite(saved, without("log_likelihood_.npy"))
    copy = load(saved)
    assert np.isnan(copy.log_likelihood_)
    np.testing.assert_array_equal(copy.predict_proba(points()), model.predict_proba(points()))


def test_a_model_of_zero_iterations(tmp_path):
    save(fitted(max_iter=0), tmp_path / "model.npz")
    copy = load(tmp_path / "model.npz")
    assert copy.n_iter_ == 0
    assert copy.lower_bound_ == -np.inf
    assert list(copy.lower_bounds_) == []


def test_loaded_models_are_writable_and_can_be_saved_again(saved, tmp_path):
    copy = load(saved)
    copy.means_ += 0
    save(copy, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()


def test_numpy_opens_it_without_pickle(saved, model):
    with np.load(saved, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["means_"], model.means_)
        assert json.loads(archive[HEADER])["format"] == persistence.FORMAT


# --- saving ---------------------------------------------------------------------------------
def test_only_fitted_models_of_fastgmm_are_saved(tmp_path):
    from sklearn.mixture import GaussianMixture as Other

    with pytest.raises(NotFittedError):
        save(GaussianMixture(2), tmp_path / "model.npz")
    with pytest.raises(TypeError, match="estimator of fastgmm"):
        save(Other(2, random_state=0).fit(points()), tmp_path / "model.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file(saved, model, monkeypatch):
    before = saved.read_bytes()

    def full_disk(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save(model, saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.npz"]


def test_a_model_that_load_would_refuse_is_not_saved(saved, model):
    before, broken = saved.read_bytes(), fitted()
    broken.means_ = np.full_like(broken.means_, np.nan)
    with pytest.raises(ValueError, match="means_ holds NaN"):
        save(broken, saved)
    assert saved.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="links and devices of POSIX")
def test_links_and_devices_stay_what_they_are(model, tmp_path):
    link = tmp_path / "link.npz"
    link.symlink_to(tmp_path / "model.npz")
    save(model, link)
    save(model, link)
    assert link.is_symlink()
    assert load(tmp_path / "model.npz").n_features_in_ == 2
    save(model, os.devnull)
    assert not os.path.isfile(os.devnull)


def test_the_umask_decides_who_may_read(saved):
    umask = os.umask(0)
    os.umask(umask)
    assert saved.stat().st_mode & 0o777 == 0o666 & ~umask


# --- loading what is not a model --------------------------------------------------------------
def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.npz")


def test_other_files(tmp_path):
    path = tmp_path / "data.npz"
    path.write_text("x,y\n1,2\n")
    assert "not a .npz archive" in refusal(path)
    path.write_bytes(b"")
    assert "not a .npz archive" in refusal(path)
    np.savez(path, X=points())
    assert "no header of fastgmm" in refusal(path)
    np.savez_compressed(path, X=points())
    assert "compressed" in refusal(path)


def test_pickles_are_refused(saved):
    def hide(members):
        stream = io.BytesIO()
        np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        members["means_.npy"] = stream.getvalue()

    rewrite(saved, hide)
    assert "means_ holds object" in refusal(saved)


def header_with(**changes):
    def change(members):
        header = json.loads(members[HEADER]) | changes
        members[HEADER] = json.dumps(header).encode()

    return change


def fitted_with(**changes):
    def change(members):
        header = json.loads(members[HEADER])
        header["fitted"] |= changes
        members[HEADER] = json.dumps(header).encode()

    return change


def parameters_with(**changes):
    def change(members):
        header = json.loads(members[HEADER])
        header["parameters"] |= changes
        members[HEADER] = json.dumps(header).encode()

    return change


def array_with(name, array):
    def change(members):
        members[f"{name}.npy"] = npy(array)

    return change


def without(name):
    return lambda members: members.pop(name)


LOWER = np.tile([[1.0, 0], [1, 1]], (3, 1, 1))

REFUSED = {
    "newer format": (header_with(format_version=2), "upgrade with: pip install"),
    "newer estimator": (header_with(estimator="FutureMixture"), "upgrade with: pip install"),
    "newer parameter": (parameters_with(colour="blue"), "upgrade with: pip install"),
    "wrong parameter": (parameters_with(tol="small"), "'tol' parameter"),
    "no format version": (header_with(format_version="1"), "no format version"),
    "other format": (header_with(format="zoo"), "no header of fastgmm"),
    "no header": (without(HEADER), "no header of fastgmm"),
    "no parameters": (header_with(parameters=None), "no parameters"),
    "header is a list": (lambda members: members.update({HEADER: b"[]"}), "no header of fastgmm"),
    "header is not JSON": (lambda members: members.update({HEADER: b"{"}), "not a whole"),
    "deep header": (lambda members: members.update({HEADER: b"[" * 10**5}), "not a whole"),
    "covariance type": (parameters_with(covariance_type="round"), "unknown covariance_type"),
    "other covariance type": (parameters_with(covariance_type="diag"), "shape"),
    "boolean": (fitted_with(converged_=1), "wrong converged_"),
    "integer": (fitted_with(n_features_in_=-3), "wrong n_features_in_"),
    "huge dimension": (fitted_with(n_features_in_=10**30, n_iter_=0), "shape"),
    "feature names": (
        header_with(feature_names_in_=["a"]),
        "more or fewer feature names",
    ),
    "feature names kind": (header_with(feature_names_in_=[1, 2]), "wrong feature names"),
    "missing array": (without("means_.npy"), "means_ is missing"),
    "shape of means": (array_with("means_", np.ones((3, 4))), "means_ has the shape"),
    "shape of weights": (array_with("weights_", np.ones((1, 3))), "weights_ has the shape"),
    "no components": (array_with("weights_", np.ones(0)), "no component"),
    "history": (array_with("lower_bounds_", np.ones(999)), "lower_bounds_ has the shape"),
    "history of NaN": (array_with("lower_bound_", np.array(np.nan)), "NaN"),
    "likelihoods": (array_with("log_likelihood_", np.ones(2)), "log_likelihood_ has the shape"),
    "integers": (array_with("means_", np.ones((3, 2), int)), "means_ holds int"),
    "mixed dtypes": (array_with("weights_", np.full(3, 1 / 3, "float32")), "differ in dtype"),
    "NaN": (array_with("means_", np.full((3, 2), np.nan)), "means_ holds NaN"),
    "infinity": (array_with("covariances_", np.full((3, 2, 2), np.inf)), "covariances_ holds"),
    "weights": (array_with("weights_", np.array([0.5, 0.5, 0.5])), "sum to 1"),
    "negative weight": (array_with("weights_", np.array([1.5, -0.5, 0.0])), "proportions"),
    "diagonal": (array_with("precisions_cholesky_", -np.tile(np.eye(2), (3, 1, 1))), "positive"),
    "lower triangle": (array_with("precisions_cholesky_", LOWER), "upper triangular"),
}


@pytest.mark.parametrize(("change", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_inconsistent_files_are_refused(change, said, saved):
    rewrite(saved, change)
    assert said in refusal(saved)


def test_a_huge_declared_array_is_refused_before_it_is_allocated(saved):
    def swell(members):
        members["means_.npy"] = npy(np.ones((3, 2))).replace(b"(3, 2)", b"(9999999999, 9999999999)")

    rewrite(saved, swell)
    tracemalloc.start()
    refusal(saved)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_a_huge_declared_member_is_refused(saved):
    content = bytearray(saved.read_bytes())
    at = content.index(b"PK\x01\x02") + 24  # the first entry's size in the central directory
    content[at : at + 4] = (2**31).to_bytes(4, "little")
    saved.write_bytes(content)
    assert "more bytes than it has" in refusal(saved)


def test_truncated_files_are_refused(saved):
    whole = saved.read_bytes()
    for length in np.linspace(1, len(whole) - 1, 25).astype(int):
        saved.write_bytes(whole[:length])
        refusal(saved)


def flip(whole, rng):
    """Other bytes anywhere in the file."""
    content = np.frombuffer(whole, np.uint8).copy()
    where = rng.integers(len(whole), size=rng.integers(1, 30))
    content[where] = rng.integers(256, size=len(where))
    return content.tobytes()


def truncate(whole, rng):
    return whole[: rng.integers(len(whole))]


def swap(members, rng):
    """The content of one member under the name of another."""
    one, other = rng.choice(sorted(members), 2, replace=False)
    members[one], members[other] = members[other], members[one]


def edit_array(members, rng):
    """Other characters in the header that numpy parses, whole otherwise."""
    name = rng.choice([name for name in sorted(members) if name != HEADER])
    content = bytearray(members[name])
    at = content.index(b"'shape'") + rng.integers(20)
    content[at : at + 3] = rng.choice([b"999", b"-1,", b"(((", b"\x00\xff\x00", b"2e9"])
    members[name] = bytes(content)


def edit_header(members, rng):
    """Another value somewhere in the header."""
    header = json.loads(members[HEADER])
    place = header[rng.choice(["parameters", "fitted"])] if rng.random() < 0.7 else header
    name = rng.choice(sorted(place))
    values = [None, -1, 10**18, 1e308, "", "x" * 10**5, [], {}, [[0] * 1000] * 100, True]
    place[name] = values[rng.integers(len(values))]
    members[HEADER] = json.dumps(header).encode()


@pytest.mark.parametrize("change", [flip, truncate, swap, edit_array, edit_header])
def test_fuzzed_files_raise_value_error_or_load(change, saved):
    """Forty of each kind; what loads is a model, as some bytes and values may be others."""
    whole, refusals = saved.read_bytes(), []
    tracemalloc.start()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        if change in (flip, truncate):
            saved.write_bytes(change(whole, rng))
        else:
            saved.write_bytes(whole)
            rewrite(saved, partial(change, rng=rng))
        try:
            assert load(saved).predict(points()).shape == (240,)
        except ValueError as error:
            refusals.append(str(error))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    assert len(refusals) > 10
    assert all("cannot be loaded" in refusal for refusal in refusals)


def test_files_of_an_earlier_format_load(saved, model):
    """Without the array and the parameters that came later."""
    later = {"reg_covar_relative", "prior", "shrinkage", "missing", "on_degenerate"}
    later |= {"rank", "noise", "semi_supervised", "freeze"}
    later |= {"growing_samples", "step_size", "keep_on_interrupt", "n_jobs"}

    def age(members):
        del members["log_likelihood_.npy"]
        header = json.loads(members[HEADER])
        assert later <= set(header["parameters"])
        header["parameters"] = {k: v for k, v in header["parameters"].items() if k not in later}
        members[HEADER] = json.dumps(header).encode()

    rewrite(saved, age)
    copy = load(saved)
    assert np.isnan(copy.log_likelihood_)
    assert copy.get_params() == model.get_params()
    np.testing.assert_array_equal(copy.predict_proba(points()), model.predict_proba(points()))
