"""skl2onnx: a mixture as scikit-learn's class becomes a graph that predicts the same."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnxruntime import InferenceSession
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from tested import GaussianMixture

X = load_iris().data


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_graph_predicts_the_same(covariance_type):
    mixture = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    peer = mixture.to_sklearn() if hasattr(mixture, "to_sklearn") else mixture
    graph = to_onnx(peer, X[:1], target_opset=18).SerializeToString()
    session = InferenceSession(graph, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(None, {"X": X})
    assert_array_equal(np.ravel(labels), mixture.predict(X))
    assert_allclose(probabilities, mixture.predict_proba(X), atol=1e-10)
