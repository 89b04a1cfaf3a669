"""What sphinx-gallery shows beside pyplot's figures: one that ends a block, as in a notebook."""

from __future__ import annotations

from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

_shown = "_shown_by_scraper"


def last_value(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figure that the last expression of the block is, or is on; return its reST."""
    names = block_vars["example_globals"]
    value = names.get("___")
    if not isinstance(value, Artist) or names.get(_shown) is value:
        return ""
    names[_shown] = value
    if value.figure is None or _is_pyplots(value.figure.figure):  # the other scraper has those
        return ""
    figure = value.figure.figure  # of a part of one, the whole
    path = next(block_vars["image_path_iterator"])
    figure.savefig(path, dpi=gallery_conf.get("dpi", 120), bbox_inches="tight")
    return figure_rst([path], gallery_conf["src_dir"])


def _is_pyplots(figure: Figure) -> bool:
    return getattr(figure.canvas, "manager", None) is not None
