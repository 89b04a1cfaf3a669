"""What a notebook shows of a mixture: a summary, then scikit-learn's diagram."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer
from sklearn.pipeline import make_pipeline

from fastgmm import GaussianMixture
from fastgmm.estimator.notebook import summary
from fastgmm.system.colours import component_colours

X = np.random.default_rng(0).normal([0, 5], [1, 3], (300, 2))


class Text(HTMLParser):
    """The words of a page, and the tags that are open at its end."""

    def __init__(self, html):
        super().__init__()
        self.words, self.open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def said(model):
    page = Text(summary(model))
    assert not page.open
    return " ".join(" ".join(page.words).split())


def test_it_says_what_was_found():
    model = GaussianMixture(3, random_state=0).fit(X)
    text = said(model)
    assert text.startswith("3 Gaussian components in 2 features, full covariances. Converged after")
    assert f"after {model.n_iter_} iterations." in text
    assert (
        f"log-likelihood {model.log_likelihood_:.6g}, lower bound {model.lower_bound_:.6g}." in text
    )
    for k, weight in enumerate(model.weights_):
        assert f"{k}: {100 * weight:.3g} %" in text
    assert "Collapsed" not in text


def test_it_gives_each_component_the_colour_and_the_width_that_pictures_give():
    model = GaussianMixture(3, random_state=0).fit(X)
    bar = re.findall(r"flex: ([0-9.]+) 1 0; background: #([0-9a-f]{6})", summary(model))
    np.testing.assert_allclose([float(width) for width, _ in bar], model.weights_, atol=1e-6)
    colours = [list(bytes.fromhex(colour)) for _, colour in bar]
    np.testing.assert_allclose(colours, 255 * component_colours(3), atol=0.5)


def test_it_says_how_a_fit_ended():
    with pytest.warns(ConvergenceWarning):
        model = GaussianMixture(2, max_iter=1, tol=0, random_state=0).fit(X)
    assert "Not converged after 1 iteration." in said(model)
    points = np.concatenate([X, np.full((30, 2), 50.0)])
    model = GaussianMixture(2, random_state=0).fit(points)
    (collapsed,) = model.degenerate_components_
    assert f"Collapsed or empty components: {collapsed}." in said(model)


def test_it_says_of_given_parameters_what_they_are():
    model = GaussianMixture.from_parameters([1.0], [[0.0]], [1.0], "spherical")
    assert said(model) == "1 Gaussian component in 1 feature, spherical covariances. ■ 0: 100 %"
    model.log_likelihood_ = model.lower_bound_ = None  # by hand
    assert said(model).startswith("1 Gaussian component")


def test_it_says_of_very_many_components_the_weights_they_are_between():
    weights = np.arange(1, 31) / np.arange(1, 31).sum()
    model = GaussianMixture.from_parameters(weights, np.zeros((30, 1)), np.ones(30), "spherical")
    assert said(model).endswith("Weights from 0.215 % to 6.45 %.")


def test_it_says_nothing_of_what_is_not_fitted():
    model = GaussianMixture(3)
    assert summary(model) == ""
    model.weights_ = "none"
    assert summary(model) == ""
    assert "GaussianMixture" in model._repr_html_()


def test_it_stands_above_the_diagram_wherever_a_notebook_looks():
    model = GaussianMixture(3, random_state=0).fit(X)
    for html in (model._repr_html_(), model._repr_mimebundle_()["text/html"]):
        assert html.startswith(summary(model))
        assert "sk-top-container" in html
    assert model._repr_mimebundle_()["text/plain"] == repr(model)
    assert repr(model) == "GaussianMixture(n_components=3, random_state=0)"


def test_it_leaves_the_display_of_text_alone():
    model = GaussianMixture(3, random_state=0).fit(X)
    with sklearn.config_context(display="text"):
        assert not hasattr(model, "_repr_html_")
        assert model._repr_mimebundle_() == {"text/plain": repr(model)}


def test_its_links_lead_to_the_page_of_the_class_that_it_stands_for():
    page = Peer()._get_doc_link()
    assert page.endswith("/modules/generated/sklearn.mixture.GaussianMixture.html")
    model = GaussianMixture(2, random_state=0).fit(X)
    assert model._get_doc_link() == page
    for html in (model._repr_html_(), make_pipeline(model)._repr_html_()):
        links = set(re.findall(r'href="([^"#]*)', html))
        assert page in links
        assert not any("fastgmm" in link for link in links)


def test_subclasses_elsewhere_have_no_link():
    class Mine(GaussianMixture):
        pass

    assert Mine()._get_doc_link() == ""
