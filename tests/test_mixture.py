"""The estimator against scikit-learn's, and as a citizen of scikit-learn."""

import pickle
import re
import warnings
from inspect import Parameter, signature

import numpy as np
import pandas as pd
import pytest
import sklearn
from axes import each_covariance_type
from numpy.testing import assert_array_equal
from problems import (
    ARRAYS,
    COVARIANCE_TYPES,
    INIT_PARAMS,
    RANDOM,
    assert_close,
    assert_same_fit,
    fixed_start,
    load,
)
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastgmm import GaussianMixture, kernels


@parametrize_with_checks([
    *(GaussianMixture(covariance_type=t) for t in COVARIANCE_TYPES),
    GaussianMixture(missing="em"),
    GaussianMixture(prior="conjugate", init_params="hierarchical"),
])  # fmt: skip
def test_scikit_learns_estimator_checks(estimator, check):
    check(estimator)


def both(X, *arguments, **options):
    """The two estimators fitted with the same options."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours = GaussianMixture(*arguments, **options).fit(X)
        return ours, Peer(*arguments, **options).fit(X)


# --- the same path as scikit-learn ----------------------------------------------------------
@each_covariance_type
@pytest.mark.parametrize("data", ["iris", "wine", "digits", *RANDOM])
def test_same_path_from_a_fixed_start(data, covariance_type):
    X, K = load(data)
    options = {"covariance_type": covariance_type, **fixed_start(X, K, covariance_type)}
    ours, theirs = both(X, K, tol=1e-4, max_iter=200, **options)
    assert ours.n_iter_ > 2
    assert_same_fit(ours, theirs)
    assert_array_equal(ours.predict(X), theirs.predict(X))
    assert_close(ours.predict_proba(X), theirs.predict_proba(X), 1e-8)
    assert_close(ours.score_samples(X), theirs.score_samples(X), 1e-8)
    for method in ("score", "aic", "bic"):
        assert_close(getattr(ours, method)(X), getattr(theirs, method)(X), 1e-9)


@pytest.mark.parametrize("init_params", INIT_PARAMS)
@each_covariance_type
@pytest.mark.parametrize("data", ["iris", "wine"])
def test_same_path_from_the_same_random_state(data, covariance_type, init_params):
    X, K = load(data)
    options = {"covariance_type": covariance_type, "init_params": init_params}
    assert_same_fit(*both(X, K, random_state=0, **options))


@each_covariance_type
def test_same_best_of_several_starts(covariance_type):
    X, K = load("iris")
    options = {"covariance_type": covariance_type, "init_params": "random_from_data"}
    ours, theirs = both(X, K, n_init=3, random_state=4, **options)
    assert_same_fit(ours, theirs)
    alone, _ = both(X, K, n_init=1, random_state=4, **options)
    assert ours.lower_bound_ >= alone.lower_bound_


def test_starts_differ_and_the_best_is_kept():
    X, K = load("wine")
    runs = []
    random_state = np.random.RandomState(0)
    for _ in range(4):
        runs.append(both(X, K, init_params="random_from_data", random_state=random_state)[0])
        random_state.randint(10)
    assert len({run.lower_bound_ for run in runs}) > 1
    ours, theirs = both(X, K, init_params="random_from_data", n_init=4, random_state=0)
    assert_same_fit(ours, theirs)
    assert ours.lower_bound_ >= runs[0].lower_bound_


@each_covariance_type
@pytest.mark.parametrize("n_init", [1, 2])
def test_without_iterations_the_start_is_kept(covariance_type, n_init):
    X, K = load("iris")
    options = {"covariance_type": covariance_type, "max_iter": 0, "random_state": 0}
    ours, theirs = both(X, K, n_init=n_init, init_params="random", **options)
    assert_same_fit(ours, theirs)
    assert ours.converged_ is False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GaussianMixture(K, **options).fit(X)


@each_covariance_type
def test_without_iterations_covariances_follow_from_precisions(covariance_type):
    X, K = load("iris")
    given = fixed_start(X, K, covariance_type)
    ours = GaussianMixture(K, covariance_type=covariance_type, max_iter=0, **given).fit(X)
    assert_close(ours.precisions_, given["precisions_init"], 1e-12)
    assert_array_equal(ours.means_, given["means_init"])
    assert np.all(np.isfinite(ours.covariances_))


@each_covariance_type
def test_warm_start_goes_on_where_it_was(covariance_type):
    X, K = load("iris")
    options = {"covariance_type": covariance_type, "max_iter": 1, "warm_start": True}
    ours, theirs = both(X, K, random_state=0, **options)
    for estimator in (ours, theirs):
        estimator.set_params(n_init=3)  # of no effect on a fit that goes on
    assert not ours.converged_  # there was nothing to compare the first lower bound with
    for _ in range(40):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            ours.fit(X)
            theirs.fit(X)
        assert_same_fit(ours, theirs)
        assert ours.n_iter_ == 1
    assert theirs.converged_


def test_a_fit_that_goes_on_is_a_single_run(capsys):
    X, K = load("iris")
    fitted = GaussianMixture(K, n_init=3, warm_start=True, random_state=0, verbose=1).fit(X)
    assert capsys.readouterr().out.count("Initialization converged") == 3
    fitted.fit(X)
    assert capsys.readouterr().out.count("Initialization converged") == 1


def test_warns_when_not_converged():
    X, K = load("iris")
    with pytest.warns(ConvergenceWarning, match="max_iter=2") as caught:
        ours = GaussianMixture(K, max_iter=2, tol=0, random_state=0).fit(X)
    assert caught[0].filename == __file__
    assert not ours.converged_


@pytest.mark.parametrize("verbose", [1, 2, True])
def test_prints_as_scikit_learn(verbose, capsys):
    X, K = load("iris")
    options = {"verbose": verbose, "verbose_interval": 2, "n_init": 2, "max_iter": 6}
    printed = []
    for estimator in (GaussianMixture, Peer):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator(K, init_params="random_from_data", random_state=3, **options).fit(X)
        printed.append(re.sub(r"lapse \d+\.\d+s", "lapse", capsys.readouterr().out))
    assert printed[0] == printed[1]
    assert "Iteration 2" in printed[0]


def test_prints_nothing_unless_asked(capsys):
    X, K = load("iris")
    GaussianMixture(K, random_state=0).fit(X)
    assert capsys.readouterr().out == ""


@each_covariance_type
def test_samples_are_scikit_learns(covariance_type):
    X, K = load("wine")
    ours, theirs = both(X, K, covariance_type=covariance_type, random_state=7)
    for name in ARRAYS:  # to the last bit, so that the draws can be compared so
        setattr(ours, name, getattr(theirs, name))
    for n in (1, 200):
        (points, components), (other_points, other_components) = ours.sample(n), theirs.sample(n)
        assert_array_equal(points, other_points)
        assert_array_equal(components, other_components)
        assert points.dtype == other_points.dtype
        assert components.dtype == other_components.dtype


def test_constructor_adds_keywords_alone():
    def arguments(estimator):
        return [(p.name, p.kind, p.default) for p in signature(estimator).parameters.values()]

    ours, theirs = arguments(GaussianMixture), arguments(Peer)
    assert ours[: len(theirs)] == theirs
    assert ours[len(theirs) :] == [
        ("init_size", Parameter.KEYWORD_ONLY, 20_000),
        ("init_whiten", Parameter.KEYWORD_ONLY, False),
        ("fit_history", Parameter.KEYWORD_ONLY, False),
        ("reg_covar_relative", Parameter.KEYWORD_ONLY, 0.0),
        ("rank", Parameter.KEYWORD_ONLY, 1),
        ("prior", Parameter.KEYWORD_ONLY, None),
        ("shrinkage", Parameter.KEYWORD_ONLY, None),
        ("missing", Parameter.KEYWORD_ONLY, "raise"),
        ("noise", Parameter.KEYWORD_ONLY, False),
        ("semi_supervised", Parameter.KEYWORD_ONLY, False),
        ("freeze", Parameter.KEYWORD_ONLY, None),
        ("on_degenerate", Parameter.KEYWORD_ONLY, "raise"),
        ("growing_samples", Parameter.KEYWORD_ONLY, False),
        ("step_size", Parameter.KEYWORD_ONLY, None),
        ("keep_on_interrupt", Parameter.KEYWORD_ONLY, False),
        ("n_jobs", Parameter.KEYWORD_ONLY, None),
    ]


# --- what EM promises -----------------------------------------------------------------------
@each_covariance_type
@pytest.mark.parametrize("data", ["iris", "random 3"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_lower_bound_never_falls(data, covariance_type, weighted):
    X, K = load(data)
    weight = np.random.default_rng(2).uniform(size=len(X)) if weighted else None
    options = {"covariance_type": covariance_type, **fixed_start(X, K, covariance_type)}
    fitted = GaussianMixture(K, reg_covar=0, tol=1e-5, max_iter=500, **options)
    fitted.fit(X, sample_weight=weight)
    assert len(fitted.lower_bounds_) > 5
    assert np.all(np.diff(fitted.lower_bounds_) > -1e-12)
    assert fitted.lower_bound_ == fitted.lower_bounds_[-1]


def test_with_one_component_the_types_are_views_of_one_covariance():
    X, _ = load("wine")
    fits = {t: GaussianMixture(1, covariance_type=t, reg_covar=0).fit(X) for t in COVARIANCE_TYPES}
    full = fits["full"].covariances_[0]
    assert_close(full, np.cov(X.T, bias=True), 1e-12)
    assert_close(fits["tied"].covariances_, full, 1e-12)
    assert_close(fits["diag"].covariances_[0], np.diag(full), 1e-12)
    assert_close(fits["spherical"].covariances_, [np.diag(full).mean()], 1e-12)


def test_with_one_feature_the_types_of_own_variance_agree():
    X = load("iris")[0][:, 2:3]
    start = {"weights_init": [0.5, 0.5], "means_init": [[2.0], [5.0]]}
    precisions = {"full": np.ones((2, 1, 1)), "diag": np.ones((2, 1)), "spherical": np.ones(2)}
    fits = [
        GaussianMixture(2, covariance_type=t, precisions_init=p, **start).fit(X)
        for t, p in precisions.items()
    ]
    for other in fits[1:]:
        assert_close(other.lower_bounds_, fits[0].lower_bounds_, 1e-12)
        assert_close(other.bic(X), fits[0].bic(X), 1e-12)


@each_covariance_type
def test_an_offset_of_the_data_only_moves_the_means(covariance_type):
    X, K = load("iris")
    X, offset = np.round(X * 1024) / 1024, 2.0**27
    start = fixed_start(X, K, covariance_type)
    here = GaussianMixture(K, covariance_type=covariance_type, **start).fit(X)
    start["means_init"] = start["means_init"] + offset
    there = GaussianMixture(K, covariance_type=covariance_type, **start).fit(X + offset)
    assert there.n_iter_ == here.n_iter_
    assert_close(there.covariances_, here.covariances_, 1e-6)
    assert_close(there.means_ - offset, here.means_, 1e-6)


@each_covariance_type
def test_permuted_components_stay_permuted(covariance_type):
    X, K = load("iris")
    start = fixed_start(X, K, covariance_type)
    order = [2, 0, 1]
    permuted = {
        name: value if name == "precisions_init" and covariance_type == "tied" else value[order]
        for name, value in start.items()
    }
    here = GaussianMixture(K, covariance_type=covariance_type, **start).fit(X)
    there = GaussianMixture(K, covariance_type=covariance_type, **permuted).fit(X)
    assert there.n_iter_ == here.n_iter_
    assert_close(there.means_, here.means_[order], 1e-10)
    assert_close(there.weights_, here.weights_[order], 1e-10)


# --- data as they come ----------------------------------------------------------------------
@each_covariance_type
def test_float32_stays_float32(covariance_type):
    X, K = load("iris")
    options = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-4}
    single, peer = both(X.astype(np.float32), K, **options)
    double = GaussianMixture(K, **options).fit(X)
    for name in ARRAYS:
        assert getattr(single, name).dtype == getattr(peer, name).dtype == np.float32
    assert_close(single.means_, double.means_, 1e-3)
    assert_close(single.means_, peer.means_, 1e-3)
    assert_close(single.score(X.astype(np.float32)), double.score(X), 1e-4)
    for method in ("predict_proba", "score_samples"):
        assert getattr(single, method)(X.astype(np.float32)).dtype == np.float32
        assert getattr(single, method)(X).dtype == np.float64


def test_predicting_float32_with_a_float64_model():
    X, K = load("wine")
    fitted = GaussianMixture(K, random_state=0).fit(X)
    assert_close(fitted.score(X.astype(np.float32)), fitted.score(X), 1e-4)


@each_covariance_type
@pytest.mark.parametrize("order", ["F", "strided", "reversed", "list", "integer"])
def test_memory_order_does_not_matter(order, covariance_type):
    X, K = load("iris")
    X = np.round(10 * X)
    other = {
        "F": lambda: np.asfortranarray(X),
        "strided": lambda: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
        "reversed": lambda: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
        "list": X.tolist,
        "integer": lambda: X.astype(np.int32),
    }[order]()
    options = {"covariance_type": covariance_type, "random_state": 0}
    one, two = (GaussianMixture(K, **options).fit(data) for data in (X, other))
    assert_same_fit(one, two, rtol=1e-10)
    assert_close(two.predict_proba(other), one.predict_proba(X), 1e-10)


@each_covariance_type
def test_input_is_never_modified(covariance_type):
    X, K = load("iris")
    given = {"X": X.copy(), "w": np.arange(len(X), dtype=float) + 1}
    given |= fixed_start(X, K, covariance_type)
    before = {name: value.copy() for name, value in given.items()}
    start = {name: value for name, value in given.items() if name.endswith("init")}
    for read_only in (False, True):
        for value in given.values():
            value.setflags(write=not read_only)
        fitted = GaussianMixture(K, covariance_type=covariance_type, warm_start=True, **start)
        for _ in range(2):
            fitted.fit(given["X"], sample_weight=given["w"])
        fitted.fit_predict(given["X"])
        fitted.predict_proba(given["X"])
        fitted.score(given["X"], sample_weight=given["w"])
        for name, value in given.items():
            assert_array_equal(value, before[name])
    fitted.set_params(max_iter=0, warm_start=False).fit(given["X"])
    fitted.means_ += 1  # what was fitted belongs to the estimator, not to the caller
    assert_array_equal(given["means_init"], before["means_init"])


def test_a_refit_leaves_earlier_arrays_alone():
    X, K = load("iris")
    fitted = GaussianMixture(K, random_state=0, warm_start=True).fit(X)
    arrays = {name: getattr(fitted, name) for name in ARRAYS}
    before = {name: array.copy() for name, array in arrays.items()}
    fitted.fit(X[:100])
    for name, array in arrays.items():
        assert_array_equal(array, before[name])
    assert not np.array_equal(fitted.means_, before["means_"])


def test_fit_computes_no_labels_and_keeps_nothing_of_the_data(monkeypatch):
    X, K = load("iris")

    def forbidden(*arguments, **options):
        raise AssertionError("fit has no use for labels")

    for name in ("assign", "responsibilities"):
        monkeypatch.setattr(kernels, name, forbidden)
    fitted = GaussianMixture(K, random_state=0).fit(X)
    assert all(len(X) not in np.shape(value) for value in vars(fitted).values())


def test_more_rows_than_init_size():
    X, K = load("digits")
    options = {"init_size": 300, "random_state": 0, "max_iter": 200}
    subset = GaussianMixture(K, **options).fit(X)
    assert_same_fit(subset, GaussianMixture(K, **options).fit(X))
    whole = GaussianMixture(K, **{**options, "init_size": None}).fit(X)
    assert not np.array_equal(subset.means_, whole.means_)
    assert subset.score(X) == pytest.approx(whole.score(X), abs=0.5)


# --- a citizen of scikit-learn --------------------------------------------------------------
@each_covariance_type
def test_fit_predict_is_fit_then_predict(covariance_type):
    X, K = load("wine")
    options = {"covariance_type": covariance_type, "random_state": 0}
    labels = GaussianMixture(K, **options).fit_predict(X)
    assert_array_equal(labels, GaussianMixture(K, **options).fit(X).predict(X))
    assert_array_equal(labels, Peer(K, **options).fit_predict(X))


def test_data_frames_bring_their_names():
    X, K = load("iris")
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    fitted = GaussianMixture(K, random_state=0).fit(frame, sample_weight=pd.Series(np.ones(150)))
    assert list(fitted.feature_names_in_) == ["a", "b", "c", "d"]
    assert fitted.n_features_in_ == 4
    assert_same_fit(fitted, Peer(K, random_state=0).fit(frame))
    for method in ("predict", "predict_proba", "score_samples", "score", "aic", "bic"):
        getattr(fitted, method)(frame)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        fitted.predict(X)


def test_pipeline_and_clone():
    X, K = load("wine")
    options = {"random_state": 0, "covariance_type": "tied", "init_size": 1000}
    ours = make_pipeline(StandardScaler(), GaussianMixture(K, **options))
    options.pop("init_size")
    theirs = make_pipeline(StandardScaler(), Peer(K, **options))
    assert_same_fit(clone(ours).fit(X)[-1], theirs.fit(X)[-1])
    assert clone(ours[-1]).get_params() == ours[-1].get_params()
    assert_array_equal(ours.fit_predict(X), theirs.predict(X))


@pytest.mark.filterwarnings("ignore:Best performing initialization")  # reg_covar makes one fall
def test_grid_search_finds_what_scikit_learns_finds():
    X = np.random.default_rng(0).permutation(load("iris")[0])
    grid = {"n_components": [1, 2, 3], "covariance_type": ["full", "spherical"]}
    ours, theirs = (
        GridSearchCV(estimator(random_state=0, reg_covar=1e-3), grid, cv=3).fit(X)
        for estimator in (GaussianMixture, Peer)
    )
    assert ours.best_params_ == theirs.best_params_
    key = "mean_test_score"
    assert_close(ours.cv_results_[key], theirs.cv_results_[key], 1e-8)


def test_weights_are_routed():
    X, K = load("iris")
    weight = np.arange(len(X), dtype=float)
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = GaussianMixture(K, random_state=0).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, estimator).fit(X, sample_weight=weight)
    scaled = StandardScaler().fit_transform(X)
    direct = GaussianMixture(K, random_state=0).fit(scaled, sample_weight=weight)
    assert_same_fit(pipeline[-1], direct)


def test_a_pickle_predicts_the_same():
    X, K = load("iris")
    fitted = GaussianMixture(K, random_state=0).fit(X)
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), fitted.predict_proba(X))


@each_covariance_type
def test_parameters_set_by_hand_predict(covariance_type):
    X, K = load("iris")
    theirs = Peer(K, covariance_type=covariance_type, random_state=0).fit(X)
    ours = GaussianMixture(K, covariance_type=covariance_type, random_state=0)
    ours.weights_, ours.means_ = theirs.weights_.tolist(), theirs.means_.tolist()
    ours.precisions_cholesky_ = theirs.precisions_cholesky_
    assert_close(ours.predict_proba(X), theirs.predict_proba(X), 1e-10)
    assert_close(ours.sample(5)[0], theirs.sample(5)[0], 1e-8)


@each_covariance_type
def test_a_collapsed_component_is_refused_with_the_remedies(covariance_type):
    X = np.zeros((20, 2))
    options = {"reg_covar": 0, "init_params": "random", "random_state": 0}
    for estimator in (GaussianMixture, Peer):
        with pytest.raises(ValueError, match=r"ill-defined empirical covariance.*reg_covar"):
            estimator(2, covariance_type=covariance_type, **options).fit(X)
