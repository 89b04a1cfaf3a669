"""Bad input: scikit-learn's exception types, a remedy in the message, and no work before it."""

import numpy as np
import pytest
import scipy.sparse
from axes import each_covariance_type
from problems import fixed_start, load
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as Peer

from fastgmm import GaussianMixture, kernels
from fastgmm.estimator import plan
from fastgmm.kernels.passes import Pass

X, K = load("iris")
D = X.shape[1]


def with_value(value, dtype=float):
    bad = X.astype(dtype)
    bad[7, 1] = value
    return bad


BAD_DATA = {
    "one dimension": (X[:, 0], "Reshape your data"),
    "three dimensions": (X[None], "dim 3"),
    "scalar": (np.float64(1), "Reshape your data|scalar"),
    "no rows": (X[:0], "0 sample"),
    "no columns": (X[:, :0], "0 feature"),
    "one row": (X[:1], "minimum of 2"),
    "empty list": ([], "Reshape your data|empty"),
    "ragged": ([[1.0, 2.0], [3.0]], "inhomogeneous"),
    "NaN": (with_value(np.nan), "NaN"),
    "infinity": (with_value(np.inf), "infinity"),
    "None": (with_value(None, object), "NaN|NoneType"),
    "float32 infinity": (with_value(-np.inf, np.float32), "infinity"),
    "complex": (X + 0j, "Complex data not supported"),
    "text": (with_value("red", object), "could not convert string to float"),
    "text array": (np.array([["a", "b"], ["c", "d"], ["e", "f"]]), "convert"),
    "sparse": (scipy.sparse.csr_array(X), "toarray"),
    "fewer rows than components": (X[:2], "n_components = 3, n_samples = 2"),
}

BAD_PRECISIONS = {
    "full shape": ("full", np.eye(D), "shape"),
    "full asymmetric": ("full", np.stack([np.eye(D) + np.eye(D, k=1)] * K), "symmetric"),
    "full indefinite": ("full", np.stack([-np.eye(D)] * K), "inverses of covariance"),
    "full singular": ("full", np.zeros((K, D, D)), "positive-definite"),
    "full NaN": ("full", np.full((K, D, D), np.nan), "NaN"),
    "tied shape": ("tied", np.eye(D + 1), "shape"),
    "tied asymmetric": ("tied", np.eye(D) + np.eye(D, k=1), "symmetric"),
    "tied indefinite": ("tied", -np.eye(D), "positive-definite"),
    "diag shape": ("diag", np.ones((D, K)), "shape"),
    "diag zero": ("diag", np.zeros((K, D)), "inverse variances"),
    "spherical shape": ("spherical", np.ones((K, 1)), "shape"),
    "spherical negative": ("spherical", -np.ones(K), "inverse variances"),
}

BAD_OPTIONS = {
    "covariance_type": ({"covariance_type": "triangular"}, "covariance_type.*'tied'"),
    "n_components 0": ({"n_components": 0}, "n_components"),
    "n_components float": ({"n_components": 2.0}, "n_components"),
    "tol": ({"tol": -1.0}, "tol"),
    "reg_covar": ({"reg_covar": -1e-6}, "reg_covar"),
    "max_iter": ({"max_iter": -1}, "max_iter"),
    "n_init": ({"n_init": 0}, "n_init"),
    "init_params": ({"init_params": "k-median"}, "init_params"),
    "random_state": ({"random_state": "seed"}, "random_state"),
    "warm_start": ({"warm_start": "yes"}, "warm_start"),
    "verbose": ({"verbose": -1}, "verbose"),
    "verbose_interval": ({"verbose_interval": 0}, "verbose_interval"),
    "weights sum": ({"weights_init": np.ones(K)}, "Divide weights_init by its sum"),
    "weights nearly": ({"weights_init": [0.5, 0.25, 0.25 + 1e-6]}, "normalized"),
    "weights negative": ({"weights_init": [-0.5, 0.5, 1.0]}, r"\[0, 1\]"),
    "weights shape": ({"weights_init": [0.5, 0.5]}, "shape"),
    "weights NaN": ({"weights_init": [0.5, 0.5, np.nan]}, "NaN"),
    "weights text": ({"weights_init": "uniform"}, "weights_init"),
    "means shape": ({"means_init": X[:2]}, "shape"),
    "means features": ({"means_init": X[:3, :2]}, "shape"),
    "means infinity": ({"means_init": np.full((K, D), np.inf)}, "infinity"),
}


@pytest.fixture
def no_work(monkeypatch):
    """Any kernel or seeding that is entered fails the test."""

    def forbidden(*arguments, **options):
        raise AssertionError("work was begun before the input was checked")

    for name in kernels.__all__:
        monkeypatch.setattr(kernels, name, forbidden)
    monkeypatch.setattr(Pass, "__init__", forbidden)
    monkeypatch.setattr(plan, "settled_start", forbidden)


def error_of(call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    return caught.value


def assert_same_type(ours, theirs):
    assert type(ours).__name__ == type(theirs).__name__


@pytest.mark.parametrize("method", ["fit", "fit_predict"])
@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data(case, method, no_work):
    bad, message = BAD_DATA[case]
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        getattr(GaussianMixture(K), method)(bad)
    assert_same_type(caught.value, error_of(lambda: getattr(Peer(K), method)(bad)))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "bic"])
@pytest.mark.parametrize("case", [c for c in BAD_DATA if "row" not in c or c == "no rows"])
def test_bad_data_at_prediction(case, method, fitted, no_work):
    bad, message = BAD_DATA[case]
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        getattr(fitted, method)(bad)
    if case not in ("complex", "text", "text array", "None"):  # scikit-learn casts these later
        peer = Peer(K, random_state=0).fit(X)
        assert_same_type(caught.value, error_of(lambda: getattr(peer, method)(bad)))


@pytest.fixture
def fitted():
    return GaussianMixture(K, random_state=0).fit(X)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "aic"])
def test_wrong_number_of_features(method, fitted, no_work):
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 4"):
        getattr(fitted, method)(X[:, :2])


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "bic"])
def test_not_fitted(method, no_work):
    with pytest.raises(NotFittedError, match="fit"):
        getattr(GaussianMixture(), method)(X)
    with pytest.raises(NotFittedError, match="fit"):
        GaussianMixture().sample()


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options(case, no_work):
    options, message = BAD_OPTIONS[case]
    options = {"n_components": K, **options}
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        GaussianMixture(**options).fit(X)
    assert_same_type(caught.value, error_of(lambda: Peer(**options).fit(X)))


@pytest.mark.parametrize("init_size", [0, -1, 2.5, "all"])
def test_bad_init_size(init_size, no_work):
    with pytest.raises(ValueError, match="init_size"):
        GaussianMixture(init_size=init_size).fit(X)


@pytest.mark.parametrize("case", BAD_PRECISIONS)
def test_bad_precisions(case, no_work):
    covariance_type, precisions, message = BAD_PRECISIONS[case]
    options = {"covariance_type": covariance_type, "precisions_init": precisions}
    with pytest.raises(ValueError, match=message) as caught:
        GaussianMixture(K, **options).fit(X)
    assert_same_type(caught.value, error_of(lambda: Peer(K, **options).fit(X)))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(len(X) - 1), "shape"),
        (np.ones((len(X), 1)), "1D"),
        (-np.ones(len(X)), "zero or more"),
        (np.where(np.arange(len(X)) == 3, -1e-9, 1.0), "zero or more"),
        (np.zeros(len(X)), "non-zero|positive"),
        (np.where(np.arange(len(X)) == 3, np.nan, 1.0), "NaN"),
        (np.where(np.arange(len(X)) == 3, np.inf, 1.0), "infinity"),
        (np.nan, "NaN"),
        (np.full(len(X), 1e307), "moderate scale"),
        (0.0, "non-zero|positive"),
        (["heavy"] * len(X), "could not convert"),
        (np.ones(len(X)) + 0j, "Complex"),
    ],
)
def test_bad_sample_weight(weight, message, fitted, no_work):
    for call in (GaussianMixture(K).fit, GaussianMixture(K).fit_predict, fitted.score):
        with pytest.raises(ValueError, match=message):
            call(X, sample_weight=weight)


def test_fewer_positive_weights_than_components(no_work):
    with pytest.raises(ValueError, match="Only 2 samples have a positive sample_weight"):
        GaussianMixture(K).fit(X, sample_weight=(np.arange(len(X)) < 2).astype(float))


@pytest.mark.parametrize("n_samples", [0, -3])
def test_sample_wants_at_least_one(n_samples, fitted):
    with pytest.raises(ValueError, match="at least one"):
        fitted.sample(n_samples)


@each_covariance_type
def test_parameters_that_do_not_fit_together_never_reach_a_kernel(covariance_type, no_work):
    fitted = GaussianMixture(K, covariance_type=covariance_type)
    fitted.weights_, fitted.means_ = np.full(K, 1 / K), X[:K]
    for shape in [(), (K + 1,), (D, K), (D, D, D), (K, D, D, 1)]:
        fitted.precisions_cholesky_ = np.ones(shape)
        with pytest.raises(ValueError, match="do not fit together"):
            fitted.predict(X)


def test_changed_options_are_noticed(fitted, no_work):
    fitted.set_params(covariance_type="diag")
    with pytest.raises(ValueError, match="covariance_type='diag'"):
        fitted.predict(X)
    fitted.set_params(covariance_type="full", warm_start=True, n_components=K + 1)
    with pytest.raises(ValueError, match="warm_start=False"):
        fitted.fit(X)
    fitted.set_params(n_components=K)
    with pytest.raises(ValueError, match="warm_start=False"):
        fitted.fit(X[:, :2])


def test_features_are_counted_where_parameters_were_set_by_hand(no_work):
    by_hand = GaussianMixture(K)
    by_hand.weights_, by_hand.means_ = np.full(K, 1 / K), X[:K]
    by_hand.covariances_ = by_hand.precisions_cholesky_ = np.stack([np.eye(D)] * K)
    with pytest.raises(ValueError, match="means of 4 features"):
        by_hand.predict(X[:, :2])


@each_covariance_type
def test_constructor_arguments_are_not_overwritten(covariance_type):
    given = {name: value.tolist() for name, value in fixed_start(X, K, covariance_type).items()}
    fitted = GaussianMixture(K, covariance_type=covariance_type, **given).fit(X)
    for name, value in given.items():
        assert getattr(fitted, name) is value
