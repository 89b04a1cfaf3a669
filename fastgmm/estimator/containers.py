"""What holds the points: other libraries' arrays, masks and missing times are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config


def refuse_other_namespaces(X: ArrayLike) -> None:
    """Refuse to compute in another library than numpy, which array API dispatch asks for.

    Without dispatch its arrays become numpy's, as in scikit-learn.
    """
    library = type(X).__module__.partition(".")[0]
    foreign = hasattr(X, "__array_namespace__") or library in ("torch", "cupy")
    if foreign and not isinstance(X, np.ndarray) and get_config()["array_api_dispatch"]:
        raise TypeError(
            f"With array_api_dispatch, X should be a numpy array, but is one of {library}: the "
            "kernels compute on the processor, in numpy's memory. Pass np.asarray(X), or switch "
            "the dispatch off."
        )


def refuse_missing(values: Any, name: str) -> None:
    """Refuse masked values and NaT, which conversion to numbers would turn into others."""
    if any(np.ma.is_masked(part) for part in _parts(values)):
        raise ValueError(
            f"Input {name} contains masked values, which are not data. Leave out "
            "such samples, or fill in values with its method filled."
        )
    dtypes = getattr(values, "dtypes", [getattr(values, "dtype", None)])
    if any(_is_of_times(dtype) for dtype in np.atleast_1d(dtypes)) or _starts_with_time(values):
        times = np.asarray(values)
        missing = np.isnat(times) if times.dtype.kind in "mM" else times != times
        if np.any(missing):
            raise ValueError(
                f"Input {name} contains NaT, a missing time, which is not a number. Leave out such "
                "samples, or fill in times."
            )


def _parts(values: Any) -> Any:
    """The array, or the rows of a list, which may be masked arrays too."""
    return values if isinstance(values, list | tuple) else (values,)


def _is_of_times(dtype: Any) -> bool:
    """Whether a dtype, of numpy, pandas or another library, is that of dates or of durations."""
    named = str(dtype).lower().startswith(("date", "time", "duration"))
    return named or getattr(dtype, "kind", "") in ("m", "M")


def _starts_with_time(values: Any) -> bool:
    """Whether the first of nested lists is a time of numpy's."""
    while isinstance(values, list | tuple) and len(values):
        values = values[0]
    first = values.flat[0] if isinstance(values, np.ndarray) and values.size else values
    return isinstance(first, np.datetime64 | np.timedelta64)


def pandas() -> Any:
    """Import pandas, which nothing but tables needs."""
    try:
        import pandas as module  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError("to_frame makes a table of pandas: pip install pandas") from None
    return module
