"""Reading photographs as arrays of colours."""

from __future__ import annotations

import math
import os

import numpy as np
from sklearn.datasets import load_sample_image

from fastgmm._records import FloatArray

PHOTOGRAPH = "china.jpg"  # scikit-learn's
MOST_PIXELS = 500_000  # of a large photograph, unless more are asked for
WHITE = (255, 255, 255, 255)
NO_PILLOW = 'Reading the photograph needs pillow; install it with: pip install "fastgmm[plot]"'


def load_photograph(every: int = 1) -> FloatArray:
    """scikit-learn's china.jpg, 427 × 640 × 3 from 0 to 1; or every so many rows and columns."""
    try:
        image = load_sample_image(PHOTOGRAPH)
    except ImportError as error:
        raise ImportError(NO_PILLOW) from error
    return image[::every, ::every] / 255


def read_photograph(path: str | os.PathLike[str]) -> FloatArray:
    """The user's own photograph as (height, width, 3) from 0 to 1, upright.

    Grey becomes three equal colours, what is transparent lies on white. OSError is raised if the
    file cannot be read, ValueError if it is not an image.
    """
    name = os.fspath(path)
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError(NO_PILLOW) from error
    with open(path, "rb") as stream:  # the operating system's own error, if it cannot be read
        try:
            with Image.open(stream) as opened:
                upright = ImageOps.exif_transpose(opened)
                deep = upright.mode == "F" or upright.mode.startswith("I")
                if deep:
                    pixels = np.asarray(upright, np.float64)
                else:
                    paper = Image.new("RGBA", upright.size, WHITE)
                    paper.alpha_composite(upright.convert("RGBA"))
                    pixels = np.asarray(paper.convert("RGB")) / 255
        except Image.UnidentifiedImageError as error:
            raise ValueError(f"{name}: pillow cannot read it as an image.") from error
        except Exception as error:  # pillow raises a dozen types on damaged bytes
            raise ValueError(f"{name}: the image cannot be read ({error}).") from error
    if not deep:
        return pixels
    limit = next((limit for limit in (1, 2**16 - 1) if pixels.max() <= limit), pixels.max())
    if not (np.isfinite(limit) and pixels.min() >= 0):
        raise ValueError(f"{name}: the image has values below 0, or values that are not numbers.")
    return np.repeat(pixels[:, :, None] / limit, 3, axis=2)


def thinned(image: FloatArray, every: int | None, n_components: int, name: str) -> FloatArray:
    """Every so many rows and columns: by default so many that not too many pixels are left."""
    height, width = image.shape[:2]
    if every is None:
        every = math.ceil(math.sqrt(height * width / MOST_PIXELS))
    image = image[::every, ::every]
    height, width = image.shape[:2]
    if height * width < max(n_components, 2):
        raise ValueError(
            f"{name}: {width} × {height} pixels are too few for {n_components} components; take a "
            "larger picture, fewer --components, or a smaller --every."
        )
    return image
