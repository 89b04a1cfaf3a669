"""Gaussian mixture models fitted by EM, at the speed of the processor.

Names are loaded on first use: importing fastgmm imports neither numba nor scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastgmm import kernels, plotting, reference
    from fastgmm._records import Parameters, Statistics
    from fastgmm.bayesian import BayesianGaussianMixture
    from fastgmm.classifier import GaussianMixtureClassifier
    from fastgmm.mixture import GaussianMixture
    from fastgmm.model.conditioning import Conditional, Regression
    from fastgmm.model.functions import maximization, precisions_cholesky
    from fastgmm.persistence import load, save
    from fastgmm.plotting import (
        plot_contours,
        plot_ellipses,
        plot_histogram,
        plot_images,
        plot_lower_bound,
        plot_mixture,
        plot_pairs,
        plot_responsibilities,
        plot_scatter,
        plot_segmentation,
        plot_selection,
        plot_snapshots,
    )
    from fastgmm.selection.select import Selection, select_mixture
    from fastgmm.selection.selector import MixtureSelector

    __version__: str

__all__ = [
    "BayesianGaussianMixture",
    "Conditional",
    "GaussianMixture",
    "GaussianMixtureClassifier",
    "MixtureSelector",
    "Parameters",
    "Regression",
    "Selection",
    "Statistics",
    "__version__",
    "kernels",
    "load",
    "maximization",
    "plot_contours",
    "plot_ellipses",
    "plot_histogram",
    "plot_images",
    "plot_lower_bound",
    "plot_mixture",
    "plot_pairs",
    "plot_responsibilities",
    "plot_scatter",
    "plot_segmentation",
    "plot_selection",
    "plot_snapshots",
    "plotting",
    "precisions_cholesky",
    "reference",
    "save",
    "select_mixture",
]

_HOMES = {
    "BayesianGaussianMixture": "fastgmm.bayesian",
    "Conditional": "fastgmm.model.conditioning",
    "GaussianMixture": "fastgmm.mixture",
    "GaussianMixtureClassifier": "fastgmm.classifier",
    "MixtureSelector": "fastgmm.selection.selector",
    "Parameters": "fastgmm._records",
    "Regression": "fastgmm.model.conditioning",
    "Selection": "fastgmm.selection.select",
    "Statistics": "fastgmm._records",
    "load": "fastgmm.persistence",
    "maximization": "fastgmm.model.functions",
    "plot_contours": "fastgmm.plotting",
    "plot_ellipses": "fastgmm.plotting",
    "plot_histogram": "fastgmm.plotting",
    "plot_images": "fastgmm.plotting",
    "plot_lower_bound": "fastgmm.plotting",
    "plot_mixture": "fastgmm.plotting",
    "plot_pairs": "fastgmm.plotting",
    "plot_responsibilities": "fastgmm.plotting",
    "plot_scatter": "fastgmm.plotting",
    "plot_segmentation": "fastgmm.plotting",
    "plot_selection": "fastgmm.plotting",
    "plot_snapshots": "fastgmm.plotting",
    "precisions_cholesky": "fastgmm.model.functions",
    "save": "fastgmm.persistence",
    "select_mixture": "fastgmm.selection.select",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("fastgmm")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in __all__:
        value = import_module(f"fastgmm.{name}")
    else:
        raise AttributeError(f"module 'fastgmm' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
