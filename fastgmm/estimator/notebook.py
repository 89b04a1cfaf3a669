"""What a notebook shows of a mixture: what was found, above scikit-learn's diagram."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.system.colours import FEW, component_colours


class NotebookRepr:
    """Puts a summary above scikit-learn's diagram, whose link leads to the class it stands for."""

    # fastgmm's arguments are scikit-learn's and more; subclasses of other packages have no link.
    _doc_link_module = "fastgmm"

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        """Say which of scikit-learn's pages it is."""
        return {"estimator_module": "sklearn.mixture", "estimator_name": "GaussianMixture"}

    def _repr_html_inner(self) -> str:
        return summary(self) + str(super()._repr_html_inner())  # type: ignore[misc]

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**options)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] = summary(self) + bundle["text/html"]
        return bundle


def summary(model: Any) -> str:
    """Say in HTML what a fitted mixture has found; nothing of one that is not fitted."""
    weights = np.asarray(getattr(model, "weights_", None))
    if weights.dtype.kind != "f" or weights.ndim != 1 or not np.all(weights >= 0):
        return ""
    colours = component_colours(len(weights))
    return (
        '<div style="font-family: sans-serif; font-size: 0.9em; max-width: 40em; '
        f'margin: 0.4em 0">{escape(found(model, len(weights)))}'
        f"{_bar(weights, colours)}{_shares(weights, colours)}</div>"
    )


def found(model: Any, n_components: int) -> str:
    """The size of the mixture, how its fit ended, and how well it suits the data."""
    d = getattr(model, "n_features_in_", None)
    features = "" if d is None else f" in {_counted(d, 'feature')}"
    covariances = f"{model.covariance_type} covariances"
    sentences = [f"{_counted(n_components, 'Gaussian component')}{features}, {covariances}."]
    if hasattr(model, "noise_weight_"):
        sentences.append(f"Of all samples, {model.noise_weight_:.1%} are noise.")
    n_iter = getattr(model, "n_iter_", 0)
    if n_iter:
        ended = "Converged" if getattr(model, "converged_", False) else "Not converged"
        sentences.append(f"{ended} after {_counted(n_iter, 'iteration')}.")
    values = {
        "mean log-likelihood": getattr(model, "log_likelihood_", np.nan),
        "lower bound": getattr(model, "lower_bound_", np.nan),
    }
    known = {name: value for name, value in values.items() if isinstance(value, float)}
    said = [f"{name} {value:.6g}" for name, value in known.items() if np.isfinite(value)]
    if said:
        sentences.append(f"{', '.join(said).capitalize()}.")
    collapsed = np.asarray(getattr(model, "degenerate_components_", []))
    if collapsed.size:
        numbers = ", ".join(map(str, collapsed.tolist()))
        sentences.append(f"Collapsed or empty components: {numbers}.")
    return " ".join(sentences)


def _bar(weights: FloatArray, colours: FloatArray) -> str:
    """Draw a bar of the components, each as wide as its weight."""
    parts = [
        f'<span title="component {k}: {_percent(weight)}" '
        f'style="flex: {weight:.6f} 1 0; background: {_css(colour)}"></span>'
        for k, (weight, colour) in enumerate(zip(weights, colours, strict=True))
    ]
    return f'<div style="display: flex; height: 0.8em; margin: 0.4em 0">{"".join(parts)}</div>'


def _shares(weights: FloatArray, colours: FloatArray) -> str:
    """Say the weights, unless there are very many."""
    if len(weights) > len(FEW):
        return f"Weights from {_percent(weights.min())} to {_percent(weights.max())}."
    parts = [
        f'<span style="white-space: nowrap; margin-right: 1em"><span style="color: {_css(colour)}">'
        f"&#9632;</span> {k}: {_percent(weight)}</span>"
        for k, (weight, colour) in enumerate(zip(weights, colours, strict=True))
    ]
    return " ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _percent(weight: float) -> str:
    return f"{100 * weight:.3g} %"


def _css(colour: FloatArray) -> str:
    return "#" + bytes((255 * colour).round().astype(np.uint8)).hex()
