"""Pictures: what all of them keep to, whatever they show."""

from __future__ import annotations

import builtins
import copy
import inspect
import pickle

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from numpy.testing import assert_allclose, assert_array_equal
from pictures import (
    FIGURES,
    OF_MODELS,
    OF_OTHERS,
    ON_AXES,
    TYPES,
    empty_axes,
    fitted,
    four_features,
    legend_of,
    pixels,
)
from processes import run_python
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as Peer

import fastgmm
from fastgmm import GaussianMixture, plotting
from fastgmm.plotting import component_colours

X = four_features()
NAMES = sorted([*OF_MODELS, *OF_OTHERS])
each_picture_of_models = pytest.mark.parametrize("name", OF_MODELS)
OF_POINTS = sorted({*OF_MODELS} - {"plot_ellipses", "plot_lower_bound"})


@pytest.fixture(scope="module")
def model():
    return fitted(X)


def draw(name, model, points=X):
    return OF_MODELS[name](model, points) if name in OF_MODELS else OF_OTHERS[name]()


def figure_of(drawn):
    return drawn if hasattr(drawn, "savefig") else drawn.figure


def test_every_public_picture_is_tested_here_and_loads_from_the_package():
    public = [name for name in plotting.__all__ if name.startswith("plot_")]
    assert sorted(public) == NAMES
    assert set(public) <= set(fastgmm.__all__)
    for name in public:
        assert getattr(fastgmm, name) is getattr(plotting, name)


@pytest.mark.parametrize("name", NAMES)
def test_it_shows_itself_in_a_notebook(name, model):
    """They ask objects for a picture; of pyplot's figures they know by themselves."""
    drawn = draw(name, model)
    assert drawn._repr_png_().startswith(b"\x89PNG")
    pickle.loads(pickle.dumps(figure_of(drawn)))._repr_png_()


@pytest.mark.parametrize("name", NAMES)
def test_its_documentation_says_what_goes_in_and_what_comes_out(name):
    function = getattr(plotting, name)
    documented = inspect.getdoc(function)
    for section in ("Parameters", "Returns", "Raises", "Examples"):
        assert f"\n{section}\n----" in documented
    for parameter in inspect.signature(function).parameters:
        assert f"\n{parameter} : " in documented


@pytest.mark.parametrize("name", NAMES)
def test_its_example_runs(name, monkeypatch):
    documented = inspect.getdoc(getattr(plotting, name))
    lines = [line[4:] for line in documented.splitlines() if line[:4] in (">>> ", "... ")]
    scope = {}
    exec("\n".join(lines), scope)
    assert any(hasattr(value, "_repr_png_") for value in scope.values())


def test_pyplot_is_never_imported():
    run_python(
        "import sys\n"
        "from pictures import *\n"
        "X = four_features()\n"
        "model = fitted(X)\n"
        "for draw in OF_MODELS.values(): draw(model, X)\n"
        "for draw in OF_OTHERS.values(): draw()\n"
        "assert 'matplotlib.figure' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )


@pytest.mark.parametrize("name", ON_AXES)
def test_it_draws_on_the_axes_that_are_given(name, model):
    axes = empty_axes()
    before = len(axes.get_children())
    assert ON_AXES[name](model, X, ax=axes) is axes
    assert len(axes.get_children()) > before
    with pytest.raises(TypeError, match="the matplotlib axes"):
        ON_AXES[name](model, X, ax=axes.figure)


@each_picture_of_models
def test_neither_the_model_nor_the_points_are_written_to(name, model):
    before, points = copy.deepcopy(vars(model)), X.copy()
    points.flags.writeable = False
    draw(name, model, points)
    assert vars(model).keys() == before.keys()
    for attribute, value in vars(model).items():
        if not attribute.startswith("fit_history"):
            assert_array_equal(value, before[attribute])
    assert_array_equal(points, X)


@pytest.mark.parametrize("covariance_type", TYPES)
@each_picture_of_models
def test_it_draws_models_of_every_type_and_of_data_frames(name, covariance_type):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X.astype(np.float32), columns=list("abcd"))
    drawn = draw(name, fitted(frame, covariance_type=covariance_type), frame)
    assert drawn._repr_png_()


@pytest.mark.parametrize("name", sorted({*OF_MODELS} - {"plot_snapshots"}))
def test_it_draws_models_of_scikit_learn(name):
    ours = GaussianMixture(2, random_state=0).fit(X)
    if name == "plot_lower_bound" and not hasattr(Peer(1).fit(X), "lower_bounds_"):
        pytest.skip("scikit-learn 1.6 keeps no lower bounds")
    peer = Peer(2, means_init=ours.means_, precisions_init=ours.precisions_, max_iter=50).fit(X)
    twin = GaussianMixture.from_sklearn(peer)
    assert_array_equal(*[pixels(figure_of(draw(name, one))) for one in (peer, twin)])


@each_picture_of_models
def test_models_that_are_not_fitted_are_refused(name):
    with pytest.raises(NotFittedError, match=r"a fitted mixture.*call fit"):
        draw(name, GaussianMixture(2))


@each_picture_of_models
def test_what_is_no_mixture_is_refused(name):
    with pytest.raises(TypeError, match=r"GaussianMixture.*not KMeans"):
        draw(name, KMeans(2, n_init=1, random_state=0).fit(X))


@pytest.mark.parametrize("points", [X[:, :3], X[0], 3.0, X[None]], ids=["3d", "row", "0", "3D"])
@pytest.mark.parametrize("name", OF_POINTS)
def test_points_that_do_not_fit_the_model_are_refused_before_anything_is_drawn(name, points, model):
    axes = empty_axes()
    before = len(axes.get_children())
    options = {"ax": axes} if name in ON_AXES else {}
    with pytest.raises(ValueError, match="the model's 4 features"):
        OF_MODELS[name](model, points, **options)
    with pytest.raises(ValueError, match="NaN"):
        OF_MODELS[name](model, np.full((5, 4), np.nan), **options)
    assert len(axes.get_children()) == before


PAIRS = ["plot_mixture", "plot_scatter", "plot_ellipses", "plot_contours", "plot_snapshots"]


@pytest.mark.parametrize("name", [*PAIRS, "plot_pairs"])
@pytest.mark.parametrize("features", [(0, 4), (-1, 0), ("a", 0), (0.5, 1), (0, 0), (), "f", 1])
def test_features_that_the_model_does_not_have_are_refused(name, features, model):
    if (name, features) == ("plot_snapshots", 1):
        return  # it draws a single feature, too
    given = () if name == "plot_ellipses" else (X,)
    with pytest.raises(ValueError, match=rf"{name}\(\) draws .*features"):
        getattr(plotting, name)(model, *given, features=features)


@pytest.mark.parametrize("name", PAIRS)
def test_without_a_choice_models_of_more_features_are_refused(name, model):
    given = () if name == "plot_ellipses" else (X,)
    with pytest.raises(ValueError, match=r"draws two features, and the model has 4; choose"):
        getattr(plotting, name)(model, *given)


def test_features_have_names_and_numbers():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    model = fitted(frame)
    for name in ["plot_mixture", "plot_scatter", "plot_contours"]:
        function = getattr(plotting, name)
        named, numbered = (function(model, frame, features=f) for f in [("d", "b"), (3, 1)])
        assert (named.get_xlabel(), named.get_ylabel()) == ("d", "b")
        assert_array_equal(pixels(named.figure), pixels(numbered.figure))
    with pytest.raises(ValueError, match=r"by name \(a, b, c, d\), not 'e'"):
        plotting.plot_histogram(model, frame, feature="e")


# --- colours ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted({*OF_MODELS} - {"plot_lower_bound"}))
def test_legends_give_each_component_its_colour(name, model):
    if name == "plot_responsibilities":
        return  # columns are labelled along the axis; their colours are tested beside
    entries = legend_of(draw(name, model))
    if name == "plot_contours":
        assert {"points", "50 % inside", "99 % inside"} <= set(entries)
        return
    for k, colour in enumerate(component_colours(3)):
        assert_allclose(entries[f"component {k}"], colour)


def test_legends_add_up_and_name_nothing_twice(model):
    axes = empty_axes()
    plotting.plot_contours(model, X, axes, features=(0, 1), levels=[0.5])
    plotting.plot_ellipses(model, axes, features=(0, 1))
    plotting.plot_mixture(model, X, axes, features=(0, 1))
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["points", "50 % inside", "component 0", "component 1", "component 2"]


def test_legends_of_very_many_components_name_some():
    axes = plotting.plot_ellipses(
        GaussianMixture.from_parameters(
            np.full(40, 1 / 40),
            np.random.default_rng(0).normal(size=(40, 2)),
            np.ones(40),
            "spherical",
        )
    )
    entries = legend_of(axes)
    assert 3 <= len(entries) <= 10
    assert {"component 0", "component 39"} <= set(entries)
    assert_allclose(entries["component 39"], component_colours(40)[39])


@pytest.mark.parametrize("n_components", [1, 10, 24, 25, 110])
def test_colours_differ_and_do_not_depend_on_how_many_there_are(n_components):
    colours = component_colours(n_components)
    assert colours.shape == (n_components, 3)
    assert np.all((colours >= 0) & (colours <= 1))
    assert len(np.unique(colours.round(6), axis=0)) == n_components
    if n_components <= 24:
        assert_array_equal(colours, component_colours(24)[:n_components])


def oklab(linear):
    """Ottosson's coordinates, in which equal distances look equal (2020)."""
    to_cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.cbrt(linear @ np.transpose(to_cones)) @ np.transpose(to_lab)


# How linear red, green and blue look without one kind of cones (Machado, Oliveira and Fernandes,
# IEEE Transactions on Visualization and Computer Graphics 15, 2009).
EYES = {
    "all": np.eye(3),
    "no red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def least_distance(colours, eyes):
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = oklab((linear @ np.transpose(EYES[eyes])).clip(0, 1))
    distances = np.linalg.norm(seen[:, None] - seen, axis=2)
    return distances[np.triu_indices(len(colours), 1)].min()


@pytest.mark.parametrize("eyes", EYES)
def test_colours_are_told_apart_by_all_eyes(eyes):
    from matplotlib import colormaps

    assert least_distance(component_colours(12), eyes) > 0.07
    assert least_distance(component_colours(24), eyes) > 0.05
    usual = np.array(colormaps["tab10"].colors)
    assert min(least_distance(usual, one) for one in EYES) < 0.01  # so it can fail


def test_without_matplotlib_the_error_says_how_to_install_it(monkeypatch, model):
    real_import = builtins.__import__

    def no_matplotlib(name, *arguments, **options):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    for name in NAMES:
        with pytest.raises(ImportError, match=r"fastgmm\[plot\]"):
            draw(name, model)


def test_figures_are_of_a_size_for_pages(model):
    for name in FIGURES:
        width, height = figure_of(draw(name, model)).get_size_inches()
        assert 4 <= width <= 10
        assert 2 <= height <= 10
