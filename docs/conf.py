"""How the documentation is built: `sphinx-build -W --keep-going docs docs/_build/html`.

Nothing is read from the network, neither when the pages are built nor, formulas aside, when they
are looked at. With `-t articles` only the gallery of the articles is built.
"""

from __future__ import annotations

import os
import sys
import tomllib
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))  # those that are of these pages alone

# Scripts and pages draw into files: no screen is asked for.
os.environ["MPLBACKEND"] = "agg"

articles_alone = tags.has("articles")  # noqa: F821 - Sphinx puts the tags there

project = "fastgmm"
copyright = "the fastgmm developers"
metadata = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
version = release = metadata["version"]

extensions = [
    "myst_parser",  # pages in Markdown, which is read as it is, too
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "pictures",  # of the pages' own code, and the charts of the benchmarks
]
root_doc = "auto_articles/index" if articles_alone else "index"
include_patterns = ["auto_articles/**"] if articles_alone else ["**"]
exclude_patterns = ["_build", "_extensions", "gallery/*/*", "auto_*/**/*.ipynb"]
suppress_warnings = ["config.cache"]  # of sphinx_gallery_conf, which holds no secrets of a build
warnings.filterwarnings("ignore", message=".*is not interactive", category=UserWarning)

# --- pages
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# --- reference
autosummary_generate = False
autodoc_typehints = "none"  # types stand in the docstrings
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# --- galleries
galleries = ["articles"] if articles_alone else ["articles", "jobs"]
sphinx_gallery_conf = {
    "examples_dirs": [f"gallery/{name}" for name in galleries],
    "gallery_dirs": [f"auto_{name}" for name in galleries],
    "filename_pattern": r"\.py$",  # every script runs
    "ignore_pattern": r"(/|^)_",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("scrapers.last_value", "matplotlib"),  # the latter closes its figures
    "ignore_repr_types": r"matplotlib|fastgmm\._figures|fastgmm\.plotting",
    "reference_url": {"fastgmm": None},
    "remove_config_comments": True,
    "write_computation_times": False,
    "show_signature": False,
    "min_reported_time": 1e9,  # times say little of a machine that does other things too
    "thumbnail_size": (480, 336),
}

# --- the look. Furo: one column of text at any width, with navigation behind a button and tables
# that scroll by themselves on a phone; nothing is loaded from elsewhere, and there is a dark mode.
# pydata-sphinx-theme puts a bar of links above, which a small site like this one does not fill.
html_theme = "furo"
html_title = "fastgmm"
html_static_path = ["_static"]
html_css_files = ["fastgmm.css"]
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_exclude = ".linenos, .gp, .go"
