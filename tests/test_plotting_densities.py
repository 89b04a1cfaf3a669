"""Pictures of densities: contours are about their shares, curves are marginal densities."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.colors import to_rgb
from matplotlib.contour import ContourSet
from numpy.testing import assert_allclose
from pictures import TYPES, fitted, four_features

from fastgmm import GaussianMixture, plot_contours, plot_histogram
from fastgmm.model.families import FAMILIES
from fastgmm.plotting import component_colours

X = four_features()
SHARES = (0.2, 0.5, 0.95)
each_type = pytest.mark.parametrize("covariance_type", TYPES)


def contours_in(axes):
    (contours,) = (one for one in axes.collections if isinstance(one, ContourSet))
    return contours


def marginal(model, features):
    """A mixture of these features alone, made of its parameters."""
    K, d = model.means_.shape
    dense = FAMILIES[model.covariance_type].dense(model.covariances_, K, d)
    blocks = dense[:, np.array(features)[:, None], features]
    return GaussianMixture.from_parameters(model.weights_, model.means_[:, features], blocks)


@each_type
def test_contours_are_lines_of_equal_density_of_the_marginal_mixture(covariance_type):
    model = fitted(X, covariance_type=covariance_type)
    axes = plot_contours(model, features=(2, 0), levels=SHARES)
    contours, pair = contours_in(axes), marginal(model, [2, 0])
    assert len(contours.levels) == 3
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        assert len(path.vertices) > 20
        assert_allclose(pair.score_samples(path.vertices), level, atol=0.02)


@each_type
def test_contours_are_about_their_shares_of_the_probability(covariance_type):
    """Points that are drawn anew lie inside as often as they should."""
    model = fitted(X, covariance_type=covariance_type)
    pair = marginal(model, [2, 0])
    densities = pair.score_samples(pair.sample(200_000)[0])
    levels = contours_in(plot_contours(model, features=(2, 0), levels=SHARES)).levels
    inside = [np.mean(densities >= level) for level in levels[::-1]]
    assert_allclose(inside, SHARES, atol=0.01)


def test_the_density_on_the_grid_integrates_to_the_share_inside():
    from fastgmm.plotting.densities import contours_of
    from fastgmm.plotting.models import view

    shares = np.array([0.3, 0.9, 0.999])
    contours = contours_of(view(fitted(X), (0, 1), 2, "it"), shares)
    density = np.exp(contours.log_density)
    for share, threshold in zip(shares, contours.thresholds, strict=True):
        inside = np.where(contours.log_density >= threshold, density, 0)
        mass = np.trapezoid(np.trapezoid(inside, contours.x, axis=1), contours.y)
        assert_allclose(mass, share, atol=0.01)


def test_contours_are_closed_and_narrow_components_are_not_lost():
    """The widest lies within the grid, and one of a thousandth of the width has its own."""
    means = [[0, 0], [7, 7], [-30, 40]]
    mixture = GaussianMixture.from_parameters([0.5, 0.3, 0.2], means, [4, 1e-4, 1e-6], "spherical")
    axes = plot_contours(mixture, levels=[0.99])
    (path,) = contours_in(axes).get_paths()
    pieces = [piece for piece in path.to_polygons(closed_only=False) if len(piece) > 2]
    assert len(pieces) == 3
    for piece in pieces:
        assert_allclose(piece[0], piece[-1])
    centres = sorted(tuple(piece.mean(axis=0).round(0)) for piece in pieces)
    assert_allclose(centres, sorted(means), atol=0.5)
    assert np.all(path.vertices.min(axis=0) >= [axes.get_xlim()[0], axes.get_ylim()[0]])
    assert np.all(path.vertices.max(axis=0) <= [axes.get_xlim()[1], axes.get_ylim()[1]])


def test_contours_far_from_zero_are_the_same():
    near = GaussianMixture.from_parameters([1.0], [[0, 0]], [[[2, 1], [1, 2]]])
    far = GaussianMixture.from_parameters([1.0], [[1e8, -1e8]], [[[2, 1], [1, 2]]])
    levels = [contours_in(plot_contours(one)).levels for one in (near, far)]
    assert_allclose(*levels)


@pytest.mark.parametrize("levels", [(), (0, 0.5), (0.5, 1), (-0.1,), (np.nan,), 90])
def test_levels_that_are_no_shares_are_refused(levels):
    with pytest.raises(ValueError, match=r"shares of the probability between 0 and 1"):
        plot_contours(fitted(X), features=(0, 1), levels=levels)


def test_a_collapsed_component_has_no_density():
    model = GaussianMixture(1).fit(X)
    model.covariances_ = np.zeros((1, 4, 4))
    for draw in (
        lambda: plot_contours(model, features=(0, 1)),
        lambda: plot_histogram(model, X, feature=0),
    ):
        with pytest.raises(ValueError, match="a component of this one has collapsed"):
            draw()


# --- histograms ------------------------------------------------------------------------------
def curves_in(axes):
    """The curves of the components, in order, and that of the mixture."""
    lines = [line for line in axes.lines if len(line.get_xdata())]
    (mixture,) = (line for line in lines if line.get_label() == "mixture")
    return [line for line in lines if line is not mixture], mixture


@each_type
def test_curves_are_densities_of_the_marginal_mixture(covariance_type):
    model = fitted(X, covariance_type=covariance_type)
    components, mixture = curves_in(plot_histogram(model, X, feature=2))
    x = mixture.get_xdata()
    expected = np.exp(marginal(model, [2]).score_samples(x[:, None]))
    assert_allclose(mixture.get_ydata(), expected, rtol=1e-6)
    assert_allclose(sum(line.get_ydata() for line in components), expected, rtol=1e-6)
    for line, weight, colour in zip(components, model.weights_, component_colours(3), strict=True):
        assert_allclose(np.trapezoid(line.get_ydata(), x), weight, rtol=1e-3)
        assert_allclose(to_rgb(line.get_color()), colour)


@pytest.mark.parametrize("bins", [None, 7, "fd", [-20.0, -3.0, 0.5, 20.0]])
def test_bars_have_the_area_one_and_count_the_points(bins):
    (bars,) = plot_histogram(fitted(X), X, feature=1, bins=bins).patches
    heights, edges, _ = bars.get_data()
    counts, _ = np.histogram(X[:, 1], edges)
    assert_allclose(heights * np.diff(edges) * len(X), counts)
    assert counts.sum() == len(X)


def test_bars_are_finer_than_the_components_and_not_empty():
    rng = np.random.default_rng(0)
    means = np.arange(12) * 10.0
    x = (rng.choice(means, 5000) + rng.normal(size=5000))[:, None]
    mixture = GaussianMixture.from_parameters(
        np.full(12, 1 / 12), means[:, None], np.ones(12), "spherical"
    )
    for n in (30, 5000):
        (bars,) = plot_histogram(mixture, x[:n]).patches
        _, edges, _ = bars.get_data()
        assert 10 <= len(edges) - 1 <= max(10, n // 5)
    assert np.diff(edges)[0] <= 1.01 * max(0.5, np.ptp(x) / 200)


def test_outliers_do_not_make_millions_of_bars():
    x = np.append(np.random.default_rng(0).normal(size=999), 1e9)[:, None]
    (bars,) = plot_histogram(GaussianMixture(2, random_state=0).fit(x), x).patches
    assert len(bars.get_data().values) <= 200


def test_a_feature_is_chosen_unless_there_is_one():
    with pytest.raises(ValueError, match=r"draws one feature, and the model has 4; choose"):
        plot_histogram(fitted(X), X)
    with pytest.raises(ValueError, match=r"features of the model by number, from 0 to 3.*not 4"):
        plot_histogram(fitted(X), X, feature=4)
    assert plot_histogram(fitted(X[:, :1]), X[:, :1]).get_xlabel() == "feature 0"
