"""Pictures: drawn without pyplot, of the right size, in the right colours."""

from __future__ import annotations

import builtins
import pickle
import sys

import numpy as np
import pytest
from axes import each_covariance_type

import fastgmm
from fastgmm import plotting
from fastgmm.mixture import GaussianMixture
from fastgmm.plotting import component_colours, plot_mixture, plot_segmentation

pytest.importorskip("matplotlib")


def pixels(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def segmented(height=20, width=32):
    """Left half red, right half green, both of pure colours."""
    labels = np.zeros((height, width), int)
    labels[:, width // 2 :] = 1
    colours = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    return np.zeros((height, width, 3)), labels, colours


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 1, (60, 2)), rng.normal(6, 2, (60, 2))])


def test_segmentation_has_the_photograph_beside_the_segments():
    image, labels, colours = segmented()
    drawn = pixels(plot_segmentation(image, labels, colours))
    height, width = drawn.shape[:2]
    assert width == 2 * 640 + 3 * 24
    assert height > 400
    middle = drawn[height // 2]
    assert tuple(middle[24 + 320]) == (0, 0, 0)
    assert tuple(middle[2 * 24 + 640 + 160]) == (255, 0, 0)
    assert tuple(middle[2 * 24 + 640 + 480]) == (0, 255, 0)
    bar = drawn[-24 - 10]
    assert tuple(bar[24 + 300]) == (255, 0, 0)  # darker than green, so first
    assert tuple(bar[width - 24 - 300]) == (0, 255, 0)


def test_segmentation_takes_flat_labels_and_means_outside_the_range():
    image, labels, colours = segmented()
    expected = pixels(plot_segmentation(image, labels, colours))
    drawn = pixels(plot_segmentation(image, labels.ravel(), colours * 1.5 - 0.1))
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize(
    ("dtype", "full"),
    [
        (np.uint8, 255),
        (np.uint16, 255),
        (np.uint16, 65535),
        (np.int32, 255),
        (np.int64, 255),
        (np.int64, 65535),
        (np.uint32, 2**32 - 1),
        (np.float16, 1),
        (np.float32, 1),
        (np.float64, 1),
        (bool, 1),
    ],
)
def test_colours_and_images_of_any_type(dtype, full):
    image, labels, colours = segmented()
    image[:, :5] = 1
    expected = pixels(plot_segmentation(image, labels, colours))
    drawn = pixels(
        plot_segmentation((image * full).astype(dtype), labels, (colours * full).astype(dtype))
    )
    np.testing.assert_array_equal(drawn, expected)


def test_grey_images():
    image, labels, colours = segmented()
    expected = pixels(plot_segmentation(image + 0.5, labels, colours * 0 + 0.5))
    for grey in (image[:, :, 0], image[:, :, :1]):
        drawn = pixels(plot_segmentation(grey + 0.5, labels, np.full(3, 0.5)))
        np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colours": np.full((3, 3), 200.0)}, r"colours: values run.*divide by"),
        ({"colours": np.full((3, 3), np.nan)}, r"colours: values run"),
        ({"colours": np.full((3, 3), -1)}, r"colours: values run from -1"),
        ({"colours": np.full((3, 3), 1j)}, r"not real numbers"),
        ({"colours": np.ones((3, 4))}, r"colours: an array of shape \(3, 4\)"),
        ({"image": np.full((20, 32, 3), 255.0)}, r"the image: values run.*divide by"),
        ({"image": np.ones((20, 32, 2))}, r"the image: an array of shape"),
        ({"labels": np.zeros(5, int)}, r"one label for each pixel"),
        ({"labels": np.full((20, 32), 3)}, r"labels run from 3 to 3.*3 colours"),
    ],
)
def test_what_is_no_segmentation(change, said):
    arguments = dict(zip(["image", "labels", "colours"], segmented(), strict=True)) | change
    with pytest.raises(ValueError, match=said):
        plot_segmentation(**arguments)


def test_notebooks_show_what_is_drawn(points):
    """They ask objects for a picture; of pyplot's figures they know by themselves."""
    model = GaussianMixture(2, random_state=0).fit(points)
    for drawn in (fastgmm.plot_mixture(model), fastgmm.plot_segmentation(*segmented())):
        assert drawn._repr_png_().startswith(b"\x89PNG")
    axes = fastgmm.plot_mixture(model)
    pickle.loads(pickle.dumps(axes.figure))._repr_png_()


@each_covariance_type
def test_mixture_has_two_ellipses_for_each_component(covariance_type, points):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(points)
    axes = plot_mixture(model, points)
    assert len(axes.patches) == 4
    assert len(axes.collections[0].get_offsets()) == len(points)
    for i, ellipse in enumerate(axes.patches):
        np.testing.assert_allclose(ellipse.get_center(), model.means_[i // 2])


def test_the_one_sigma_ellipse_is_the_covariance(points):
    model = GaussianMixture(1).fit(points)
    inner = plot_mixture(model).patches[0]
    angle = np.radians(inner.angle)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    variances = np.diag([(inner.width / 2) ** 2, (inner.height / 2) ** 2])
    np.testing.assert_allclose(rotation @ variances @ rotation.T, model.covariances_[0])


def test_mixture_on_given_axes_leaves_pyplot_alone(points):
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    model = GaussianMixture(3, random_state=0, max_iter=0).fit(points)
    assert plot_mixture(model, ax=axes) is axes
    pixels(axes.figure)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_mixture_labels_its_axes_with_the_names_of_the_features(points):
    pandas = pytest.importorskip("pandas")
    model = GaussianMixture(2, random_state=0).fit(pandas.DataFrame(points, columns=["x", "y"]))
    axes = plot_mixture(model)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")


def test_mixture_of_other_than_two_features_is_refused(points):
    model = GaussianMixture(1).fit(points[:, :1])
    with pytest.raises(ValueError, match=r"two features.*has 1"):
        plot_mixture(model)


@pytest.mark.parametrize("n_components", [1, 10, 11, 40])
def test_colours_differ(n_components):
    colours = component_colours(n_components)
    assert colours.shape == (n_components, 3)
    assert len(np.unique(colours.round(6), axis=0)) == n_components


def test_without_matplotlib_the_error_says_how_to_install_it(monkeypatch):
    real_import = builtins.__import__

    def no_matplotlib(name, *arguments, **options):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(ImportError, match=r"fastgmm\[plot\]"):
        plotting.plot_segmentation(*segmented())
