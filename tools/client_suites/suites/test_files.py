"""skops and mlflow, whose default flavour is skops, keep a mixture as scikit-learn's class.

Or as fastgmm's, where its type is named as trusted.
"""

import mlflow.sklearn
import pytest
import skops.io
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from tested import GaussianMixture

X = load_iris().data


@pytest.fixture(params=["full", "tied", "diag", "spherical"])
def mixture(request):
    return GaussianMixture(3, covariance_type=request.param, random_state=0).fit(X)


def test_skops_as_scikit_learns_class(mixture):
    peer = mixture.to_sklearn() if hasattr(mixture, "to_sklearn") else mixture
    assert_array_equal(skops.io.loads(skops.io.dumps(peer)).predict(X), mixture.predict(X))


def test_skops_with_a_trusted_type(mixture):
    content = skops.io.dumps(mixture)
    untrusted = skops.io.get_untrusted_types(data=content)
    assert untrusted in ([], ["fastgmm.mixture.GaussianMixture"])
    copy = skops.io.loads(content, trusted=untrusted)
    assert type(copy) is type(mixture)
    assert_array_equal(copy.predict(X), mixture.predict(X))


def test_mlflow_as_scikit_learns_class(mixture, tmp_path):
    peer = mixture.to_sklearn() if hasattr(mixture, "to_sklearn") else mixture
    mlflow.sklearn.save_model(peer, tmp_path / "model")
    assert_array_equal(mlflow.sklearn.load_model(tmp_path / "model").predict(X), mixture.predict(X))


def test_mlflow_with_a_trusted_type(mixture, tmp_path):
    trusted = [f"{type(mixture).__module__}.{type(mixture).__qualname__}"]
    options = {"serialization_format": "skops", "skops_trusted_types": trusted}
    mlflow.sklearn.save_model(mixture, tmp_path / "model", **options)
    assert_array_equal(mlflow.sklearn.load_model(tmp_path / "model").predict(X), mixture.predict(X))
