"""One colour for each component, by its number alone, wherever it is seen."""

from __future__ import annotations

import numpy as np

from fastgmm._records import FloatArray

# The first six are those of Okabe and Ito. Each that follows is as far in Oklab as can be from all
# before it, for the least of four pairs of eyes: those that see all colours, and those that lack
# the red, the green or the blue cones; none is too light for white paper or nearly black.
FEW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#700A3D", "#9900FF",
    "#3300AD", "#335C00", "#00E099", "#B80A85", "#857AFF", "#855C52", "#E033D6", "#B8000A",
    "#CCB8CC", "#663DAD", "#FF85FF", "#3D3D5C", "#99AD85", "#0047D6", "#5C0A7A", "#8F8547",
)  # fmt: skip
# For more than that a scale from dark to light, on which only near and far can be told.
SCALE = (
    "#440154", "#482979", "#3D4D8A", "#2F6C8E", "#23888E", "#20A386",
    "#42BE71", "#84D44B", "#D2E21B",
)  # fmt: skip


GREY = 0.6  # of points that belong to no component


def component_colours(n_components: int) -> FloatArray:
    """Red, green and blue of each component, from 0 to 1.

    Up to 24 components have colours that colour-blind people can tell apart too, and the same
    number has the same colour however many others there are. More have a scale from dark to light.

    Parameters
    ----------
    n_components : int

    Returns
    -------
    colours : (K, 3) array

    Examples
    --------
    >>> from fastgmm.plotting import component_colours
    >>> component_colours(2).round(2)
    array([[0.  , 0.45, 0.7 ],
           [0.9 , 0.62, 0.  ]])
    """
    if n_components <= len(FEW):
        return _fractions(FEW)[:n_components]
    anchors, at = _fractions(SCALE), np.linspace(0, 1, n_components)
    places = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(at, places, channel) for channel in anchors.T], axis=1)


def point_colours(n_components: int) -> FloatArray:
    """Those of the components, and last, as -1 finds it, grey for noise, (K + 1, 3)."""
    return np.concatenate([component_colours(n_components), np.full((1, 3), GREY)])


def _fractions(hexadecimal: tuple[str, ...]) -> FloatArray:
    return np.array([list(bytes.fromhex(colour[1:])) for colour in hexadecimal]) / 255
