"""The estimator that chooses its mixture."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastgmm import MixtureSelector, select_mixture


@parametrize_with_checks([MixtureSelector((1, 2), ["full", "diag"])])
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return rng.normal(size=(240, 2)) + np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 80, axis=0)


def test_it_selects_as_the_function_does(X):
    selector = MixtureSelector(range(1, 5), ["full", "spherical"], random_state=0).fit(X)
    selection = select_mixture(X, range(1, 5), ["full", "spherical"], random_state=0)
    np.testing.assert_array_equal(selector.selection_.table.value, selection.table.value)
    assert (selector.best_n_components_, selector.best_covariance_type_) == (3, "spherical")
    best = selection.best_model_
    np.testing.assert_array_equal(selector.predict(X), best.predict(X))
    np.testing.assert_array_equal(selector.predict_proba(X), best.predict_proba(X))
    np.testing.assert_array_equal(selector.score_samples(X), best.score_samples(X))
    assert selector.score(X) == best.score(X)
    np.testing.assert_array_equal(selector.sample(5, 1)[0], best.sample(5, 1)[0])
    np.testing.assert_array_equal(clone(selector).fit_predict(X), best.predict(X))


def test_arguments_reach_the_mixtures(X):
    selector = MixtureSelector([2], ["diag"], tol=1e-8, reg_covar=0.5, max_iter=500).fit(X)
    model = selector.best_model_
    assert (model.tol, model.reg_covar, model.max_iter) == (1e-8, 0.5, 500)


def test_it_stands_in_pipelines_and_searches(X):
    pipeline = make_pipeline(StandardScaler(), MixtureSelector([1, 3], ["diag"], random_state=0))
    search = GridSearchCV(pipeline, {"mixtureselector__criterion": ["bic", "aic"]}, cv=2).fit(X)
    assert len(np.unique(search.predict(X))) == 3


def test_names_of_features_are_kept(X):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=["east", "north"])
    selector = MixtureSelector([1, 2], ["diag"]).fit(table)
    assert selector.feature_names_in_.tolist() == ["east", "north"]
    assert selector.best_model_.marginal(["north"]).means_.shape[1] == 1
    selector.predict(table)


def test_weights_are_multiplicities(X):
    weight = np.random.default_rng(0).integers(0, 3, size=len(X))
    weighted = MixtureSelector([1, 2], ["full"], random_state=0).fit(X, sample_weight=weight)
    repeated = MixtureSelector([1, 2], ["full"]).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(
        weighted.selection_.table.value[0], repeated.selection_.table.value[0]
    )


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_components": []}, "numbers from 1 on"),
        ({"covariance_types": []}, "covariance_types is empty"),
        ({"n_init": 0}, "n_init should be 1 or more"),
        ({"criterion": "best"}, "criterion"),
        ({"max_iter": -1}, "max_iter"),
    ],
)
def test_bad_arguments_are_refused(X, arguments, match):
    with pytest.raises(ValueError, match=match):
        MixtureSelector(**arguments).fit(X)
