"""Pictures of clusters: ellipses are covariances, areas and shades are responsibilities."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.colors import to_rgb
from numpy.testing import assert_allclose, assert_array_equal
from pictures import TYPES, fitted, four_features

from fastgmm import (
    GaussianMixture,
    plot_ellipses,
    plot_mixture,
    plot_pairs,
    plot_responsibilities,
    plot_scatter,
)
from fastgmm.model.families import FAMILIES
from fastgmm.plotting import component_colours

X = four_features()
each_type = pytest.mark.parametrize("covariance_type", TYPES)


@pytest.fixture(scope="module")
def model():
    return fitted(X)


def covariance_of(ellipse, sigma):
    """The covariance whose ellipse of so many standard deviations this is."""
    angle = np.radians(ellipse.angle)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    variances = np.diag([(ellipse.width / 2) ** 2, (ellipse.height / 2) ** 2])
    return rotation @ variances @ rotation.T / sigma**2


# --- ellipses --------------------------------------------------------------------------------
@each_type
def test_ellipses_are_those_of_the_marginal_distribution(covariance_type):
    model = fitted(X, covariance_type=covariance_type)
    pair, sigmas = [3, 1], [0.5, 1, 2.5]
    patches = plot_ellipses(model, features=pair, sigmas=sigmas).patches
    assert len(patches) == 9
    dense = FAMILIES[covariance_type].dense(model.covariances_, 3, 4)
    for i, ellipse in enumerate(patches):
        k, sigma = i // 3, sigmas[i % 3]
        assert_allclose(ellipse.get_center(), model.means_[k, pair])
        assert_allclose(covariance_of(ellipse, sigma), dense[k][np.ix_(pair, pair)], atol=1e-12)
        assert_allclose(to_rgb(ellipse.get_edgecolor()), component_colours(3)[k])


@pytest.mark.parametrize("sigmas", [(), (1, 0), (-1,), (np.nan,), (np.inf,), [[1, 2]]])
def test_ellipses_of_no_size_are_refused(sigmas, model):
    with pytest.raises(ValueError, match="positive numbers of standard deviations"):
        plot_ellipses(model, features=(0, 1), sigmas=sigmas)


def test_ellipses_lie_within_the_axes(model):
    axes = plot_ellipses(model, features=(0, 1), sigmas=(3,))
    for ellipse in axes.patches:
        corners = axes.transData.inverted().transform(ellipse.get_window_extent().get_points())
        assert np.all(corners >= [axes.get_xlim()[0], axes.get_ylim()[0]])
        assert np.all(corners <= [axes.get_xlim()[1], axes.get_ylim()[1]])


def test_of_many_components_each_has_its_number_where_there_is_room():
    means = [[i % 3, i // 3] for i in range(9)] + [[2.001, 2]]
    mixture = GaussianMixture.from_parameters(
        np.full(10, 0.1), means, np.full(10, 0.01), "spherical"
    )
    axes = plot_ellipses(mixture)
    numbers = {text.get_text(): text.get_position() for text in axes.texts}
    assert numbers == {str(k): tuple(means[k]) for k in range(9)}
    crosses = [line.get_xydata() for line in axes.lines if line.get_marker() == "+"]
    assert_allclose(crosses, [[means[9]]])


# --- points ----------------------------------------------------------------------------------
def test_the_mixture_has_points_in_the_colours_of_their_components(model):
    axes = plot_mixture(model, X, features=(1, 3))
    (points,) = axes.collections
    assert_allclose(points.get_offsets(), X[:, [1, 3]])
    assert_allclose(points.get_facecolor()[:, :3], component_colours(3)[model.predict(X)])
    assert len(axes.patches) == 6


def test_the_mixture_does_without_points(model):
    axes = plot_mixture(model, features=(1, 3))
    assert not axes.collections
    assert len(axes.patches) == 6


def test_areas_are_squares_of_the_largest_responsibility():
    overlapping = fitted(X / [3, 3, 3, 3], n_components=5)
    points = X / 3
    (drawn,) = plot_scatter(overlapping, points, features=(0, 1)).collections
    responsibilities = overlapping.predict_proba(points)
    assert_allclose(drawn.get_sizes(), 50 * responsibilities.max(axis=1) ** 2)
    colours = component_colours(5)[responsibilities.argmax(axis=1)]
    assert_allclose(drawn.get_facecolor()[:, :3], colours)


def test_areas_of_more_points_shrink_with_their_number(model):
    many = model.sample(4000)[0]
    (drawn,) = plot_scatter(model, many, features=(0, 1)).collections
    assert_allclose(drawn.get_sizes(), 12.5 * model.predict_proba(many).max(axis=1) ** 2)


# --- responsibilities ------------------------------------------------------------------------
def shades(axes, n_components):
    """The responsibilities that the colours of a heat map stand for."""
    (image,) = axes.images
    colours = np.asarray(image.get_array())
    full = component_colours(n_components)
    return ((1 - colours) * (1 - full)).sum(axis=2) / ((1 - full) ** 2).sum(axis=1)


def test_a_row_is_a_point_and_its_shades_are_responsibilities():
    model = fitted(X, n_components=5)
    expected = model.predict_proba(X)
    in_order = plot_responsibilities(model, X, sort=False)
    assert_allclose(shades(in_order, 5), expected, atol=1e-12)
    assert_array_equal(in_order.images[0].get_extent(), [-0.5, 4.5, len(X) - 0.5, -0.5])
    drawn = shades(plot_responsibilities(model, X), 5)
    assert_allclose(np.sort(drawn, axis=0), np.sort(expected, axis=0), atol=1e-12)
    labels, largest = drawn.argmax(axis=1), drawn.max(axis=1)
    assert np.all(np.diff(labels) >= 0)
    assert np.all(np.diff(largest)[np.diff(labels) == 0] <= 1e-12)


def test_neighbours_of_many_points_are_drawn_as_their_mean(model):
    many = model.sample(2500)[0]
    drawn = shades(plot_responsibilities(model, many, sort=False), 3)
    expected = model.predict_proba(many)
    assert drawn.shape == (1000, 3)
    assert_allclose(drawn[0], expected[:2].mean(axis=0), atol=1e-12)
    assert_allclose(drawn[-1], expected[-3:].mean(axis=0), atol=1e-12)


# --- pairs -----------------------------------------------------------------------------------
def test_pairs_are_below_the_diagonal_and_densities_on_it(model):
    figure = plot_pairs(model, X)
    assert len(figure.axes) == 10
    places = {}
    for axes in figure.axes:
        place = axes.get_subplotspec()
        places[place.rowspan.start, place.colspan.start] = axes
    for (i, j), axes in places.items():
        if i > j:
            (points,) = axes.collections
            assert_allclose(points.get_offsets(), X[:, [j, i]])
            centres = [ellipse.get_center() for ellipse in axes.patches[::2]]
            assert_allclose(centres, model.means_[:, [j, i]])
        else:
            assert i == j
            curves = [line for line in axes.lines if line.get_label() == "mixture"]
            x, density = curves[0].get_data()
            assert_allclose(np.trapezoid(density, x), 1, atol=1e-3)
    for i in range(4):
        column = [axes.get_xlim() for place, axes in places.items() if place[1] == i]
        row = [axes.get_ylim() for place, axes in places.items() if place[0] == i > place[1]]
        assert len(set(column)) == 1
        assert len(set(row)) <= 1


def test_pairs_of_chosen_features(model):
    figure = plot_pairs(model, X, features=(3, 0))
    assert len(figure.axes) == 3
    labels = {(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes}
    assert ("feature 3", "feature 0") in labels


def test_pairs_of_too_many_features_are_refused_unless_they_are_chosen():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(40, 9))
    model = GaussianMixture(1).fit(wide)
    with pytest.raises(ValueError, match=r"two to 8 features.*here are 9"):
        plot_pairs(model, wide)
    assert len(plot_pairs(model, wide, features=range(9)).axes) == 45
    with pytest.raises(ValueError, match=r"here are 1"):
        plot_pairs(model, wide, features=[0])
