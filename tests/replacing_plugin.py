"""A plugin for pytest: in scikit-learn's tests, fastgmm's GaussianMixture replaces its own.

It has to be loaded (``-p replacing_plugin``) before the modules of those tests are imported.
"""

import sklearn.mixture

import fastgmm

sklearn.mixture.GaussianMixture = fastgmm.GaussianMixture
sklearn.mixture.BayesianGaussianMixture = fastgmm.BayesianGaussianMixture


def pytest_collection_modifyitems(items):
    """Have the report say of each case which class its module tests."""
    for item in items:
        is_bayesian = "bayesian" in item.module.__name__
        name = "BayesianGaussianMixture" if is_bayesian else "GaussianMixture"
        tested = getattr(item.module, name)
        item.user_properties.append(("tested", f"{tested.__module__}.{tested.__qualname__}"))
