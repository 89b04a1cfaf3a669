"""Among other libraries: data frames, other processes, scikit-learn's tools around an estimator."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from axes import each_covariance_type
from numpy.testing import assert_array_equal
from problems import (
    COVARIANCE_TYPES,
    assert_close,
    assert_same_arrays,
    assert_same_fit,
    load,
)
from processes import run_python
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as Peer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr, get_tags

from fastgmm import GaussianMixture

X, K = load("iris")
y = load_iris().target
WEIGHT = np.random.default_rng(0).integers(1, 4, size=len(X)).astype(float)
NAMES = ["a", "b", "c", "d"]

each_library = pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
each_mixture = pytest.mark.parametrize("estimator", [GaussianMixture, Peer], ids=["ours", "theirs"])


def frame_of(library, data, names=NAMES):
    return library.DataFrame(dict(zip(names, data.T, strict=True)))


# --- data frames -----------------------------------------------------------------------------
@each_library
@each_covariance_type
def test_a_frame_is_its_numbers_and_names(library, covariance_type):
    frame, options = frame_of(library, X), {"covariance_type": covariance_type, "random_state": 0}
    fitted = GaussianMixture(K, **options).fit(frame, sample_weight=library.Series(WEIGHT))
    plain = GaussianMixture(K, **options).fit(X, sample_weight=WEIGHT)
    assert fitted.feature_names_in_.tolist() == NAMES
    assert not hasattr(plain, "feature_names_in_")
    assert_same_fit(fitted, plain, rtol=1e-10)  # another memory order: rounding differs
    assert_array_equal(fitted.predict(frame), plain.predict(X))
    for method in ("predict_proba", "score_samples", "score", "aic", "bic"):
        assert_close(getattr(fitted, method)(frame), getattr(plain, method)(X), 1e-10)
    labels = GaussianMixture(K, **options).fit_predict(frame)
    assert_array_equal(labels, GaussianMixture(K, **options).fit_predict(X))


@each_library
def test_icl_of_a_frame(library):
    frame = frame_of(library, X)
    fitted = GaussianMixture(K, random_state=0).fit(frame)
    expected = GaussianMixture(K, random_state=0).fit(X).icl(X)
    assert fitted.icl(frame) == pytest.approx(expected, rel=1e-10)


@each_library
def test_other_columns_are_refused(library):
    fitted = GaussianMixture(K, random_state=0).fit(frame_of(library, X))
    others = {
        "must be in the same order": frame_of(library, X[:, ::-1], NAMES[::-1]),
        "unseen at fit time:\n- e": frame_of(library, X, ["a", "b", "c", "e"]),
        "now missing:\n- d": frame_of(library, X[:, :3], NAMES[:3]),
    }
    for said, other in others.items():
        with pytest.raises(ValueError, match=said):
            fitted.predict(other)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        fitted.predict(X)


@each_library
@pytest.mark.parametrize("dtypes", ["float32", "float64", "mixed", "integers"])
def test_columns_become_the_type_that_they_do_in_scikit_learn(library, dtypes):
    columns = {
        "float32": [np.float32] * 4,
        "float64": [np.float64] * 4,
        "mixed": [np.float32, np.float64, np.int64, np.float32],
        "integers": [np.int64] * 4,
    }[dtypes]
    cells = zip(NAMES, np.round(10 * X).T, columns, strict=True)
    frame = library.DataFrame({name: column.astype(dtype) for name, column, dtype in cells})
    ours, theirs = (E(K, random_state=0).fit(frame) for E in (GaussianMixture, Peer))
    assert ours.means_.dtype == theirs.means_.dtype
    assert ours.predict_proba(frame).dtype == theirs.predict_proba(frame).dtype
    assert_close(ours.means_, theirs.means_, 1e-3 if ours.means_.dtype == np.float32 else 1e-8)
    if library is pd:  # polars hands scikit-learn float64 always
        assert ours.means_.dtype == (np.float32 if dtypes == "float32" else np.float64)


# --- other processes and threads -------------------------------------------------------------
READ_AND_PREDICT = (
    "import sys\n"
    "from pathlib import Path\n"
    "from problems import load\n"
    "{read}\n"
    "X, K = load('iris')\n"
    "Path({out!r}).write_bytes(model.predict_proba(X).tobytes() + model.means_.tobytes())"
)


@pytest.mark.parametrize("library", ["pickle", "joblib"])
def test_a_pickle_is_the_same_in_another_process(library, tmp_path):
    fitted = GaussianMixture(K, random_state=0).fit(X)
    path, out = str(tmp_path / "model"), str(tmp_path / "out")
    if library == "pickle":
        (tmp_path / "model").write_bytes(pickle.dumps(fitted))
        read = f"import pickle; model = pickle.loads(Path({path!r}).read_bytes())"
    else:
        joblib.dump(fitted, path)
        read = f"import joblib; model = joblib.load({path!r})"
    run_python(READ_AND_PREDICT.format(read=read, out=out))
    expected = fitted.predict_proba(X).tobytes() + fitted.means_.tobytes()
    assert (tmp_path / "out").read_bytes() == expected


def fit_from(seed):
    options = {"init_params": "random_from_data", "max_iter": 1000}
    return GaussianMixture(K, random_state=seed, **options).fit(X)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_fits_side_by_side_are_those_one_after_another(backend):
    serial = [fit_from(seed) for seed in range(4)]
    assert len({fitted.lower_bound_ for fitted in serial}) > 1
    parallel = joblib.Parallel(n_jobs=2, backend=backend)
    for ours, expected in zip(
        parallel(joblib.delayed(fit_from)(seed) for seed in range(4)), serial, strict=True
    ):
        assert_same_arrays(ours, expected)
        assert ours.lower_bounds_ == expected.lower_bounds_


# --- search, pipelines, cross-validation -----------------------------------------------------
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_grid_search_finds_what_scikit_learns_finds(n_jobs):
    grid = {"n_components": [1, 2, 3], "covariance_type": COVARIANCE_TYPES}
    splits = KFold(3, shuffle=True, random_state=0)
    options = {"random_state": 0, "tol": 1e-2, "reg_covar": 1e-9}
    ours, theirs = (
        GridSearchCV(estimator(**options), grid, cv=splits, n_jobs=n_jobs).fit(X)
        for estimator in (GaussianMixture, Peer)
    )
    assert ours.best_params_ == theirs.best_params_
    for key in ("mean_test_score", "std_test_score"):
        assert_close(ours.cv_results_[key], theirs.cv_results_[key], 1e-8)
    assert_same_fit(ours.best_estimator_, theirs.best_estimator_)


def test_a_pipeline_with_pca():
    ours, theirs = (
        Pipeline([("pca", PCA(2)), ("mixture", estimator(K, random_state=0))])
        for estimator in (GaussianMixture, Peer)
    )
    assert ours.get_params()["mixture__n_components"] == K
    assert_array_equal(ours.fit_predict(X), theirs.fit_predict(X))
    assert_same_fit(ours[-1], theirs[-1])
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-10)
    ours.set_params(mixture__n_components=2, pca__n_components=3).fit(X)
    assert ours[-1].means_.shape == (2, 3)


def test_a_pipeline_that_hands_on_frames():
    pipeline = make_pipeline(PCA(2), GaussianMixture(K, random_state=0))
    pipeline.set_output(transform="pandas").fit(X)
    assert pipeline[-1].feature_names_in_.tolist() == ["pca0", "pca1"]
    plain = make_pipeline(PCA(2), GaussianMixture(K, random_state=0)).fit(X)
    assert_array_equal(pipeline.predict(X), plain.predict(X))


def test_cross_validated_scores_are_scikit_learns():
    splits = KFold(5, shuffle=True, random_state=0)
    ours, theirs = (
        cross_val_score(estimator(2, random_state=0), X, cv=splits)
        for estimator in (GaussianMixture, Peer)
    )
    assert len(ours) == 5
    assert_close(ours, theirs, 1e-8)


# --- sample weights through scikit-learn's tools ---------------------------------------------
@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def weighted(**options):
    estimator = GaussianMixture(random_state=0, **options).set_fit_request(sample_weight=True)
    return estimator.set_score_request(sample_weight=True)


@pytest.mark.usefixtures("routing")
def test_weights_go_through_a_pipeline_to_fit_and_score():
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    pipeline = make_pipeline(scaler, weighted(n_components=K)).fit(X, sample_weight=WEIGHT)
    scaled = StandardScaler().fit_transform(X)
    direct = GaussianMixture(K, random_state=0).fit(scaled, sample_weight=WEIGHT)
    assert_same_arrays(pipeline[-1], direct)
    score = pipeline.score(X, sample_weight=WEIGHT)
    assert score == direct.score(scaled, sample_weight=WEIGHT) != direct.score(scaled)


@pytest.mark.usefixtures("routing")
def test_weights_go_through_a_grid_search_to_fit_and_score():
    splits = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(weighted(), {"n_components": [1, 2]}, cv=splits)
    search.fit(X, sample_weight=WEIGHT)
    for n_components, mean in zip([1, 2], search.cv_results_["mean_test_score"], strict=True):
        scores = [
            GaussianMixture(n_components, random_state=0)
            .fit(X[train], sample_weight=WEIGHT[train])
            .score(X[test], sample_weight=WEIGHT[test])
            for train, test in splits.split(X)
        ]
        assert mean == pytest.approx(np.mean(scores), rel=1e-12)
    best = GaussianMixture(**search.best_params_, random_state=0).fit(X, sample_weight=WEIGHT)
    assert_same_arrays(search.best_estimator_, best)


@pytest.mark.usefixtures("routing")
def test_weights_that_nobody_asked_for_are_refused():
    with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
        make_pipeline(GaussianMixture(K)).fit(X, sample_weight=WEIGHT)


# --- inside of other estimators --------------------------------------------------------------
class GenerativeClassifier(ClassifierMixin, BaseEstimator):
    """Bayes' rule with a mixture for each class."""

    def __init__(self, mixture):
        self.mixture = mixture

    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.log_priors_ = np.log(counts / len(y))
        self.mixtures_ = [clone(self.mixture).fit(X[y == label]) for label in self.classes_]
        return self

    def predict_proba(self, X):
        joint = np.stack([mixture.score_samples(X) for mixture in self.mixtures_], axis=1)
        joint = np.exp(joint + self.log_priors_ - joint.max(axis=1, keepdims=True))
        return joint / joint.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


AROUND = {
    "alone": lambda classifier: classifier,
    "calibrated": lambda classifier: CalibratedClassifierCV(classifier, cv=3),
    "calibrated together": lambda classifier: CalibratedClassifierCV(
        classifier, cv=3, method="isotonic", ensemble=False, n_jobs=2
    ),
    "one against the rest": OneVsRestClassifier,
    "calibrated against the rest": lambda classifier: OneVsRestClassifier(
        CalibratedClassifierCV(classifier, cv=3)
    ),
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND.keys())
def test_a_mixture_for_each_class_of_a_classifier(around):
    options = {"n_components": 2, "covariance_type": "diag", "random_state": 0, "tol": 1e-2}
    ours, theirs = (
        around(GenerativeClassifier(estimator(**options))).fit(X, y)
        for estimator in (GaussianMixture, Peer)
    )
    assert_close(ours.predict_proba(X), theirs.predict_proba(X), 1e-6)
    assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.score(X, y) > 0.9


# --- an estimator like the others ------------------------------------------------------------
def test_its_picture_names_it_and_what_was_changed():
    estimator = GaussianMixture(17, tol=0.125)
    for html in (estimator._repr_html_(), estimator_html_repr(make_pipeline(estimator))):
        for said in ("GaussianMixture", "n_components", "17", "tol", "0.125"):
            assert said in html
    assert repr(estimator) == "GaussianMixture(n_components=17, tol=0.125)"


def test_parameters_are_got_and_set():
    options = {
        "n_components": 4,
        "covariance_type": "tied",
        "init_params": "random_means",
        "init_size": None,
        "init_whiten": True,
        "fit_history": True,
    }
    estimator = GaussianMixture().set_params(**options)
    assert estimator.get_params() == GaussianMixture().get_params() | options
    assert GaussianMixture(**estimator.get_params()).get_params() == estimator.get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'colour'"):
        estimator.set_params(colour="blue")


@pytest.mark.parametrize(
    "init_params",
    [
        "random",
        lambda rows, K, random_state: random_state.dirichlet(np.ones(K), len(rows)),
        y,
    ],
    ids=["name", "function", "array"],
)
def test_a_clone_is_as_if_never_fitted(init_params):
    fitted = GaussianMixture(3, random_state=0, init_params=init_params).fit(X)
    copy = clone(fitted)
    assert vars(copy).keys() == copy.get_params().keys()
    assert_array_equal(copy.init_params, init_params)
    assert_same_arrays(copy.fit(X), fitted)


def test_its_tags_are_scikit_learns():
    ours, theirs = get_tags(GaussianMixture()), get_tags(Peer())
    theirs.array_api_support = False  # arrays of numpy alone
    assert ours == theirs
