"""How statistics become parameters, as the arguments of a mixture say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastgmm.data.source import Source
from fastgmm.em.initialization import SINGLE_POINTS
from fastgmm.estimator.given import check_freeze, volume_of_noise
from fastgmm.estimator.priors import check_regularizing, conjugate_prior
from fastgmm.model.families import LOW_RANK
from fastgmm.model.frozen import Frozen
from fastgmm.model.low_rank import FactorAnalysis
from fastgmm.model.maximization import MaximumLikelihood
from fastgmm.model.noise import WithNoise
from fastgmm.model.priors import MaximumAPosteriori
from fastgmm.model.shrinkage import Shrinkage


def check_together(model: Any, covariance_types: Iterable[str]) -> None:
    """Refuse arguments that do not go together, before there are any data."""
    covariance_types = list(covariance_types)
    if any(kind in LOW_RANK for kind in covariance_types):
        check_low_rank(model)
    if model.prior is not None or model.shrinkage is not None:
        check_regularizing(model.prior, model.shrinkage, covariance_types)
    if model.noise:
        check_noise(model)
    if model.semi_supervised and model.on_degenerate in ("drop", "reset"):
        raise ValueError(
            f"on_degenerate={model.on_degenerate!r} may leave components out, so that labels would "
            "be of others; use 'raise' or 'floor' where labels are known."
        )
    if model.growing_samples:
        check_growing(model)
    if model.freeze:
        for kind in covariance_types:
            check_freeze(model.freeze, model.n_components, kind)
        if model.on_degenerate != "raise":
            raise ValueError(
                "on_degenerate changes components that have collapsed, and freeze keeps them; "
                "give one of them."
            )


def check_low_rank(model: Any) -> None:
    """Refuse what needs more of a covariance than its loadings."""
    others = {
        "missing='em'": model.missing == "em",
        "noise": model.noise,
        "semi_supervised": model.semi_supervised,
        "freeze": model.freeze,
        "growing_samples": model.growing_samples,
        "prior": model.prior is not None,
        "shrinkage": model.shrinkage is not None,
        "precisions_init": model.precisions_init is not None,
    }
    given = [name for name, is_given in others.items() if is_given]
    if given:
        raise ValueError(
            f"covariance_type='low_rank' does not go with {', '.join(given)} yet; leave it out, or "
            "use another covariance_type."
        )


def check_noise(model: Any) -> None:
    """Refuse what does not know of noise, and starts that would leave all to it."""
    others = {
        "missing='em'": model.missing == "em",
        "semi_supervised": model.semi_supervised,
        f"on_degenerate={model.on_degenerate!r}": model.on_degenerate != "raise",
    }
    given = [name for name, is_given in others.items() if is_given]
    if given:
        raise ValueError(f"noise does not go with {', '.join(given)} yet; leave one out.")
    if isinstance(model.init_params, str) and model.init_params in SINGLE_POINTS:
        raise ValueError(
            f"init_params={model.init_params!r} starts from components without extent, so that all "
            "else would be noise; use 'kmeans', 'hierarchical' or 'random_means' with noise."
        )


def check_growing(model: Any) -> None:
    """Refuse samples of what is known of whole data alone."""
    others = {
        "missing='em'": model.missing == "em",
        "noise": bool(model.noise),
        "semi_supervised": model.semi_supervised,
    }
    given = [name for name, is_given in others.items() if is_given]
    if given:
        raise ValueError(f"growing_samples does not go with {', '.join(given)} yet; leave one out.")


def maximization_of(model: Any, plain: MaximumLikelihood, source: Source) -> MaximumLikelihood:
    """Maximum likelihood, or what priors, shrinkage, frozen parts and noise make of it."""
    basis = plain.covariance_type, plain.reg_covar, plain.dtype
    if plain.covariance_type in LOW_RANK:
        return FactorAnalysis(*basis, model.rank)
    if model.shrinkage is not None:
        plain = Shrinkage(*basis, model.shrinkage)
    if model.prior is not None:
        given = conjugate_prior(model.prior, source, model.covariance_type, model.n_components)
        plain = MaximumAPosteriori(*basis, given)
    if model.freeze:
        freeze = check_freeze(model.freeze, model.n_components, model.covariance_type)
        plain = Frozen(*basis, plain, freeze)
    if model.noise:
        rows, _ = source.rows(None, np.random.RandomState(0))  # all that have weight
        plain = WithNoise(*basis, plain, *volume_of_noise(model.noise, rows))
    return plain
