"""Pictures of images: the right pixels in the right places and colours."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from pictures import pixels, segmented

from fastgmm import plot_images, plot_segmentation


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


def at(figure, column, n_columns, row, n_rows, x, y):
    """The colour at a fraction of the width and the height of an image of the grid."""
    drawn = pixels(figure)
    height, width = drawn.shape[0] / n_rows, drawn.shape[1] / n_columns
    return tuple(drawn[int((row + y) * height), int((column + x) * width)])


def test_images_stand_in_rows_in_their_order():
    images = np.arange(6.0).reshape(6, 1, 1).repeat(8, axis=1).repeat(8, axis=2)
    figure = plot_images(images, columns=3)
    for i in range(6):
        grey = round(255 * i / 5)
        colour = at(figure, i % 3, 3, i // 3, 2, 0.5, 0.5)
        np.testing.assert_allclose(colour, [grey] * 3, atol=1)


def test_images_of_one_grid_share_a_scale_of_grey():
    first = np.array([[0.0, 1.0], [1.0, 2.0]])
    figure = plot_images([first, first + 2], columns=2)
    assert at(figure, 0, 2, 0, 1, 0.25, 0.25) == (0, 0, 0)
    assert at(figure, 1, 2, 0, 1, 0.75, 0.75) == (255, 255, 255)
    assert at(figure, 0, 2, 0, 1, 0.75, 0.75) == at(figure, 1, 2, 0, 1, 0.25, 0.25)
    assert pixels(plot_images(np.full((2, 3, 3), 7.0))).min() == 0  # one value has no scale


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_of_pixels_are_images_of_the_shape_given(channels):
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(7, 5, 4, *[3][: channels - 1]))
    rows = images.reshape(7, -1)
    np.testing.assert_array_equal(pixels(plot_images(rows, (5, 4))), pixels(plot_images(images)))


def test_colours_of_samples_are_cut_to_what_can_be_shown():
    images = np.zeros((1, 4, 4, 3))
    images[..., 0], images[..., 1] = 1.6, -0.7
    assert at(plot_images(images), 0, 1, 0, 1, 0.5, 0.5) == (255, 0, 0)
    whole = np.full((1, 4, 4, 3), (255, 0, 0), np.uint8)
    assert at(plot_images(whole), 0, 1, 0, 1, 0.5, 0.5) == (255, 0, 0)


@pytest.mark.parametrize(
    ("n", "shape"), [(1, (8, 8)), (100, (8, 8)), (12, (100, 300)), (3, (9, 2))]
)
def test_grids_are_of_a_size_for_pages(n, shape):
    figure = plot_images(np.random.default_rng(0).uniform(size=(n, *shape)))
    width, height = figure.get_size_inches()
    assert 1 <= width <= 14
    assert 1 <= height <= 14


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((np.zeros((5, 64)),), r"with shape=\(h, w\), and not an array of shape \(5, 64\)"),
        ((np.zeros((5, 64)), (8, 9)), r"images of 8 × 9 pixels.*rows of 64 numbers"),
        ((np.zeros((5, 64)), (0, 8)), r"0 × 8 pixels"),
        ((np.zeros((5, 8, 8, 4)),), r"not an array of shape \(5, 8, 8, 4\)"),
        ((np.zeros((0, 8, 8)),), r"not an array of shape \(0, 8, 8\)"),
        ((np.zeros(64),), r"not an array of shape \(64,\)"),
        ((np.full((1, 8, 8), np.nan),), r"finite real numbers"),
        ((np.full((1, 8, 8), 1j),), r"finite real numbers"),
        ((np.full((1, 8, 8, 3), 200.0),), r"values run from 200 to 200"),
    ],
)
def test_what_are_no_images(arguments, said):
    with pytest.raises(ValueError, match=said):
        plot_images(*arguments)


def test_there_is_at_least_one_column():
    with pytest.raises(ValueError, match="one column of images or more, not 0"):
        plot_images(np.zeros((2, 3, 3)), columns=0)
