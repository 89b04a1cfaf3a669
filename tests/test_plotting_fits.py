"""Pictures of fits: what iterations were like, and which model is chosen."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from numpy.testing import assert_allclose, assert_array_equal
from pictures import fitted, four_features, legend_of
from sklearn.exceptions import NotFittedError

from fastgmm import GaussianMixture, plot_lower_bound, plot_selection, plot_snapshots
from fastgmm.plotting import component_colours

X = four_features()


# --- lower bounds ----------------------------------------------------------------------------
def test_a_curve_is_the_lower_bounds():
    model = fitted(X, init_params="random_means")
    (line,) = plot_lower_bound(model).lines
    assert_array_equal(line.get_xdata(), np.arange(1, model.n_iter_ + 1))
    assert_array_equal(line.get_ydata(), model.lower_bounds_)
    assert line.get_label() == f"{model.n_iter_} iterations, converged"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_fits_of_a_mapping_are_drawn_together():
    models = {"one": fitted(X, max_iter=1), 3: fitted(X, init_params="random_means")}
    axes = plot_lower_bound(models)
    for line, model in zip(axes.lines, models.values(), strict=True):
        assert_array_equal(line.get_ydata(), model.lower_bounds_)
    ended = f"3: {models[3].n_iter_} iterations, converged"
    assert list(legend_of(axes)) == ["one: 1 iteration, not converged", ended]


def test_what_has_no_iterations_has_no_curve():
    given = GaussianMixture.from_parameters([1.0], [[0.0]], [1.0], "spherical")
    with pytest.raises(ValueError, match=r"this model has none in lower_bounds_; fit it"):
        plot_lower_bound(given)
    with pytest.raises(ValueError, match=r"the model 'given' has none in lower_bounds_"):
        plot_lower_bound({"fitted": fitted(X), "given": given})
    with pytest.raises(ValueError, match="one fitted model or more"):
        plot_lower_bound({})
    with pytest.raises(NotFittedError, match="not fitted yet"):
        plot_lower_bound({"fitted": fitted(X), "not": GaussianMixture()})


# --- snapshots -------------------------------------------------------------------------------
def titles(figure):
    return [axes.get_title() for axes in figure.axes]


@pytest.fixture(scope="module")
def slow():
    return fitted(X, init_params="random_means", tol=0, max_iter=30)


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_snapshots_are_of_the_parameters_that_were_kept(slow):
    shown = [0, 1, 3, 30]
    figure = plot_snapshots(slow, X, shown, features=(2, 1))
    assert titles(figure) == ["start", "iteration 1", "iteration 3", "iteration 30"]
    for axes, iteration in zip(figure.axes, shown, strict=True):
        centres = [ellipse.get_center() for ellipse in axes.patches[::2]]
        assert_allclose(centres, slow.fit_history_[iteration].means[:, [2, 1]])
        assert_allclose(axes.collections[0].get_offsets(), X[:, [2, 1]])
        assert axes.get_xlim() == figure.axes[0].get_xlim()
        assert axes.get_ylim() == figure.axes[0].get_ylim()
    assert_allclose(centres, slow.means_[:, [2, 1]])


def test_points_have_the_colours_that_their_responsibilities_mix(slow):
    (axes,) = plot_snapshots(slow, X, [30], features=(2, 1)).axes
    mixed = slow.predict_proba(X) @ component_colours(3)
    assert_allclose(axes.collections[0].get_facecolor()[:, :3], mixed.clip(0, 1))


def test_usual_snapshots_end_with_the_last(slow):
    pair = {"features": (0, 1)}
    usual = ["start", "iteration 1", "iteration 2", "iteration 5", "iteration 20", "iteration 30"]
    assert titles(plot_snapshots(slow, X, **pair)) == usual
    one = fitted(X, max_iter=1)
    assert titles(plot_snapshots(one, X, **pair)) == ["start", "iteration 1"]
    start = fitted(X, max_iter=0)
    assert titles(plot_snapshots(start, X, **pair)) == ["start"]


@pytest.mark.parametrize("features", [None, 0, [0], "length"])
def test_snapshots_of_one_feature_are_densities(features):
    x = pytest.importorskip("pandas").DataFrame({"length": X[:, 0]})
    model = fitted(x)
    figure = plot_snapshots(model, x, features=features)
    for axes in figure.axes:
        (mixture,) = (line for line in axes.lines if line.get_label() == "mixture")
        assert_allclose(np.trapezoid(mixture.get_ydata(), mixture.get_xdata()), 1, atol=1e-3)
    places = type(x)({"length": mixture.get_xdata()})
    expected = np.exp(model.score_samples(places))
    assert_allclose(mixture.get_ydata(), expected, rtol=1e-5, atol=1e-12)


def test_components_that_were_dropped_are_in_the_pictures_before():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(50, 2)), np.full((5, 2), 9.0)])
    labels = np.repeat([0, 1], [50, 5])
    options = {"on_degenerate": "drop", "init_params": labels}
    model = fitted(points, 2, **options)
    assert len(model.weights_) == 1
    figure = plot_snapshots(model, points)
    sizes = [len(axes.patches) // 2 for axes in figure.axes]
    assert sizes == [len(model.fit_history_[0].weights), *[1] * (len(sizes) - 1)]


def test_without_a_history_the_error_says_how_to_get_one():
    model = GaussianMixture(2, random_state=0).fit(X[:, :2])
    with pytest.raises(ValueError, match=r"kept none; fit it with.*fit_history=True"):
        plot_snapshots(model, X[:, :2])


@pytest.mark.parametrize("iterations", [[31], [-1], [], [0.5], 3, "ab"])
def test_iterations_that_there_were_not_are_refused(iterations, slow):
    with pytest.raises(ValueError, match=r"iterations from 0, the start, to 30"):
        plot_snapshots(slow, X, iterations, features=(0, 1))


# --- selection -------------------------------------------------------------------------------
def test_the_lowest_value_is_marked_and_named():
    sizes = [3, 1, 2]
    axes = plot_selection(
        sizes, {"full": [5.0, 9.0, 4.0], "diag": [7.0, np.nan, 3.0]}, criterion="AIC"
    )
    full, diag, lowest = axes.lines
    assert_array_equal(full.get_xydata(), [[1, 9], [2, 4], [3, 5]])
    assert_array_equal(diag.get_xydata(), [[1, np.nan], [2, 3], [3, 7]])
    assert_array_equal(lowest.get_xydata(), [[2, 3]])
    assert list(legend_of(axes)) == ["full", "diag", "lowest: diag, 2 components"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("components", "AIC")


def test_a_single_criterion_needs_no_name():
    axes = plot_selection(np.arange(1, 4), np.array([1.0, 2.0, 3.0]))
    assert list(legend_of(axes)) == ["BIC", "lowest: 1 component"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ([1, 2], {"full": [1.0]}),
            r"2 numbers of components, and 'full' has values of shape \(1,\)",
        ),
        (([1, 2], [[1.0, 2.0]]), r"'BIC' has values of shape \(1, 2\)"),
        (([1, 2], {}), r"a line or more.*got 0"),
        (([], {"full": []}), r"array of shape \(0,\)"),
        ((3, {"full": 3}), r"array of shape \(\)"),
        (([1, 2], [np.nan, np.inf]), r"finite values, and there are none"),
    ],
)
def test_what_is_no_selection(arguments, said):
    with pytest.raises(ValueError, match=said):
        plot_selection(*arguments)
