"""The summary of a fitted mixture: a table of its components."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from fastgmm._records import FloatArray
from fastgmm.model.families import family_of
from fastgmm.system.terminal import plain_table

if TYPE_CHECKING:
    from fastgmm.persistence import Mixture

MOST_COMPONENTS = 40  # shown of a mixture
MOST_DEGENERATE = 3  # of them, degenerate
MARK = "!"  # of a degenerate component
SHORTEST_HEADER = 12  # characters, before the name of a feature is broken


def components_table(model: Mixture, width: int) -> RenderableType:
    """Weight, means and standard deviations of each component, as far as `width` allows.

    The components keep their numbers, which `predict` gives; of very many, the heaviest are
    shown, and of degenerate ones, which are marked, a few.
    """
    d = model.means_.shape[1]
    degenerate = set(degenerate_components(model))
    order = np.argsort(-model.weights_, kind="stable").tolist()
    healthy = [k for k in order if k not in degenerate]
    collapsed = [k for k in order if k in degenerate]
    shown = sorted(healthy[:MOST_COMPONENTS] + collapsed[:MOST_DEGENERATE])
    means, deviations = model.means_[shown], standard_deviations(model)[shown]
    names = getattr(model, "feature_names_in_", [f"feature {j}" for j in range(d)])

    table = plain_table()
    table.add_column("component", justify="right", style="dim", no_wrap=True)
    table.add_column("weight", justify="right", style="bold", no_wrap=True)
    columns = [
        [f"{MARK if k in degenerate else ''} {k}" for k in shown],
        [f"{weight:.4f}" for weight in model.weights_[shown]],
    ]
    room = width - 20  # for the two columns, their gaps and the edges
    for j in range(d):
        cells = [with_deviation(*pair) for pair in zip(means[:, j], deviations[:, j], strict=True)]
        widest = max(map(len, cells))
        header = wrapped(str(names[j]), max(widest, SHORTEST_HEADER))
        room -= 3 + max(widest, *map(len, header.split("\n")))
        if room < 0 and j > 0:
            break
        table.add_column(Text(header), justify="right", no_wrap=True)
        columns.append(cells)
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    hidden = [
        (d + 2 - len(columns), "more feature"),
        (len(healthy) - MOST_COMPONENTS, "lighter component"),
        (len(collapsed) - MOST_DEGENERATE, "more degenerate component"),
    ]
    notes = [f"{count:,} {what}{'s' * (count > 1)}" for count, what in hidden if count > 0]
    if notes:
        return Group(table, Text("and " + " and ".join(notes), style="dim"))
    return table


def degenerate_components(model: Mixture) -> list[int]:
    """Numbers of the components that the fit found to have collapsed or lost their points."""
    return np.asarray(getattr(model, "degenerate_components_", ()), dtype=int).tolist()


def advice_on_degenerate(model: Mixture) -> str:
    """Say what degenerate components are and what to do about them; nothing if there are none."""
    n_degenerate = len(degenerate_components(model))
    if not n_degenerate:
        return ""
    return (
        f"{n_degenerate} of {len(model.means_)} components "
        f"{'is' if n_degenerate == 1 else 'are'} degenerate, marked {MARK}: collapsed onto too few "
        "points, with nothing but --reg-covar for variances, or empty. Use fewer components, or "
        "--on-degenerate reset, drop or floor."
    )


def with_deviation(mean: float, deviation: float) -> str:
    """The mean to the digit that the standard deviation's second digit has."""
    if max(abs(mean), deviation) >= 1e6 or deviation < 1e-5:
        return f"{mean:.4g} ± {deviation:.1e}"
    decimals = max(0, 1 - math.floor(math.log10(deviation)))
    return f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"


def wrapped(name: str, width: int) -> str:
    """The name on at most two lines."""
    return "\n".join(textwrap.wrap(name, width, max_lines=2, placeholder="…"))


def standard_deviations(model: Mixture) -> FloatArray:
    """Square roots of the variances, (K, d) for every covariance type."""
    family = family_of(model.covariance_type)
    return np.sqrt(family.variances(model.covariances_, *model.means_.shape))
