"""Arguments of an estimator, validated as scikit-learn does it, but each set of values once."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, ClassVar, cast

import numpy as np

# Values that are compared with those of before, and types of others of which the type says all.
PLAIN = (bool, int, float, str, type(None))
OPAQUE = (np.ndarray, np.random.RandomState)
REMEMBERED = 1000


class RememberedArguments:
    """Validates the arguments of a class as scikit-learn does, each set of values once.

    It takes as long as ten iterations of a small fit.
    """

    _valid: ClassVar[set[Any]] = set()

    def _validate_params(self) -> None:
        given = _values(self)
        if given not in self._valid:
            super()._validate_params()  # type: ignore[misc]
            if given is not None:
                if len(self._valid) >= REMEMBERED:
                    self._valid.clear()
                self._valid.add(given)


def _values(estimator: Any) -> tuple[Any, ...] | None:
    """The class and arguments of an estimator; None where a look does not tell what they are."""
    names = _argument_names(cast(Hashable, type(estimator)))
    arguments = [getattr(estimator, name, None) for name in names]
    if not all(type(value) in (*PLAIN, *OPAQUE) for value in arguments):
        return None
    told = (value if type(value) in PLAIN else type(value) for value in arguments)
    return type(estimator), *((type(value), value) for value in told)


@lru_cache
def _argument_names(cls: Any) -> tuple[str, ...]:
    return tuple(cls._get_param_names())
