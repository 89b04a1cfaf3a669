"""Save and load fitted mixtures, without pickle.

A saved model is a ``.npz`` archive of uncompressed members: ``header.json``, which says what the
file is and holds the constructor's parameters and the fitted integers, and one ``.npy`` for each
fitted array. `numpy.load` and ``unzip`` open it too. A file is not trusted: whatever it declares
is checked before anything is allocated, and nothing in it is ever executed.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from importlib.metadata import version
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastgmm._records import FloatArray, Parameters
from fastgmm.bayesian import BayesianGaussianMixture
from fastgmm.em.results import EMResult, Status
from fastgmm.estimator.interchange import fitted_attributes, set_by_fit
from fastgmm.mixture import OF_NOISE, GaussianMixture
from fastgmm.model.bayes import shapes_of_bayes
from fastgmm.model.factors import contradictions
from fastgmm.model.families import FAMILIES, LOW_RANK, family_of
from fastgmm.system.files import atomic_write

__all__ = ["load", "save"]

Mixture: TypeAlias = GaussianMixture | BayesianGaussianMixture

FORMAT = "fastgmm model"
FORMAT_VERSION = 1
ESTIMATORS: dict[str, type[Mixture]] = {
    cls.__name__: cls for cls in (GaussianMixture, BayesianGaussianMixture)
}

HEADER = "header.json"
SCALARS = {"converged_": bool, "n_iter_": int, "n_features_in_": int}
PARAMETER_ARRAYS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
HISTORY_ARRAYS = ("lower_bound_", "lower_bounds_")
ANY_SIGN = ("mean_prior_", "covariance_prior_", *OF_NOISE)
LATER_ARRAYS = ("log_likelihood_", "largest_fall_", "n_samples_seen_")  # not in earlier files


# Long: for its documentation.
def save(model: Mixture, path: str | os.PathLike[str] | BinaryIO) -> None:
    """Write a fitted mixture to one ``.npz`` file.

    The file is written whole or not at all: when saving fails, a file that was at `path` before
    is still there. A `random_state` that is a generator is not kept; give a number to keep it.
    Nor are an `init_params` that is an array or a function, the callbacks, `fit_history_` and
    `repairs_`.

    Parameters
    ----------
    model : GaussianMixture or BayesianGaussianMixture, fitted
    path : path, or binary file
        A path is taken as it is: no suffix is added.

    Raises
    ------
    TypeError
        If `model` is not an estimator of fastgmm.
    sklearn.exceptions.NotFittedError
        If `model` is not fitted.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile, numpy as np
    >>> from fastgmm.mixture import OF_NOISE, GaussianMixture
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> model = GaussianMixture(random_state=0).fit(X)
    >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
    >>> save(model, path)
    >>> bool(load(path).score(X) == model.score(X))
    True
    """
    if type(model) not in ESTIMATORS.values():
        raise TypeError(
            f"save() takes a fitted estimator of fastgmm ({', '.join(ESTIMATORS)}), "
            f"not {type(model).__module__}.{type(model).__name__}. Save the mixture that it has "
            "found (best_model_, mixtures_), or all of it by pickle or joblib."
        )
    check_is_fitted(model)
    model = with_every_attribute(model)
    header = header_of(model)
    names = PARAMETER_ARRAYS + HISTORY_ARRAYS + LATER_ARRAYS + names_of_more(header)
    arrays = {name: np.asarray(getattr(model, name)) for name in names if hasattr(model, name)}
    check_arrays(arrays, header)  # what is written can be read
    members = {HEADER: json.dumps(header, indent=1, default=plain).encode()}
    members |= {f"{name}.npy": npy_bytes(array) for name, array in arrays.items()}
    with _opened(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for member, content in members.items():
            entry = zipfile.ZipInfo(member)  # with the same date always: same model, same bytes
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)


def load(path: str | os.PathLike[str] | BinaryIO) -> Mixture:
    """Read a mixture that `save` wrote; it predicts, scores and samples as it did before.

    Parameters
    ----------
    path : path, or binary file that can be read from any place

    Returns
    -------
    GaussianMixture

    Raises
    ------
    ValueError
        If the file is not a whole and consistent model of this or an earlier version.
    OSError
        If the file cannot be opened.
    """
    if isinstance(path, str | bytes | os.PathLike):
        with open(path, "rb") as file:
            return _loaded(file, repr(os.fspath(path)))
    return _loaded(path, "The file")


def _loaded(file: BinaryIO, name: str) -> Mixture:
    try:
        return rebuild(*read_checked(file))
    except InvalidFile as error:
        raise ValueError(f"{name} cannot be loaded: {error}.") from error


def _opened(path: str | os.PathLike[str] | BinaryIO) -> AbstractContextManager[BinaryIO]:
    is_path = isinstance(path, str | bytes | os.PathLike)
    return atomic_write(path) if is_path else nullcontext(path)  # type: ignore[arg-type]


class InvalidFile(ValueError):
    """What is wrong with a file, and the remedy."""

    def __init__(self, problem: str, remedy: str = "save the model again") -> None:
        super().__init__(f"{problem}; {remedy}")


def with_every_attribute(model: Mixture) -> Mixture:
    """Return a copy of a mixture, which may be made by hand, with all that a fit would have set."""
    p = model._parameters()
    p = p.astype(p.means.dtype if p.means.dtype == np.float32 else np.float64)
    defaults = fitted_attributes(EMResult(p, Status.INITIALIZED))
    whole = copy(model)
    whole.__dict__.update(defaults | {"n_features_in_": p.means.shape[1]} | set_by_fit(model))
    whole.weights_, whole.means_, whole.covariances_, whole.precisions_cholesky_ = p[:4]
    return whole


def header_of(model: Mixture) -> dict[str, Any]:
    """Everything about `model` that is not a fitted array."""
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "fastgmm_version": version("fastgmm"),
        "estimator": type(model).__name__,
        "parameters": {
            name: value
            for name, value in model.get_params(deep=False).items()
            if is_json(value) and (name != "init_params" or isinstance(value, str))
        },
        "fitted": {name: convert(getattr(model, name)) for name, convert in SCALARS.items()},
    }
    header["has_noise"] = hasattr(model, "noise_weight_")
    if hasattr(model, "degenerate_components_"):
        header["degenerate_components_"] = np.asarray(model.degenerate_components_).tolist()
    if hasattr(model, "feature_names_in_"):
        header["feature_names_in_"] = [str(name) for name in model.feature_names_in_]
    return header


def plain(value: object) -> object:
    """What JSON holds in place of numpy's arrays and scalars; floats keep every bit."""
    if hasattr(value, "__array__") or isinstance(value, set | frozenset):  # pandas' too
        return sorted(value) if isinstance(value, set | frozenset) else np.asarray(value).tolist()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def names_of_more(header: dict[str, Any]) -> tuple[str, ...]:
    """Arrays that only an estimator of variational Bayes has, or a mixture with noise."""
    if header["estimator"] == BayesianGaussianMixture.__name__:
        return tuple(shapes_of_bayes(header["parameters"], 1, 1))
    return OF_NOISE if header.get("has_noise") else ()


def is_json(value: object) -> bool:
    """Whether a constructor's parameter can be kept in the header."""
    try:
        json.dumps(value, default=plain)
    except (TypeError, ValueError):
        return False
    return True


def npy_bytes(array: FloatArray) -> bytes:
    """The array as the content of a ``.npy`` file."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def read_checked(file: BinaryIO) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Header and arrays of a model file, found whole and consistent."""
    try:
        members = read_members(file)
        header = read_header(members)
        later = tuple(name for name in LATER_ARRAYS if f"{name}.npy" in members)
        names = PARAMETER_ARRAYS + HISTORY_ARRAYS + later + names_of_more(header)
        arrays = {name: read_array(members, name) for name in names}
        check_arrays(arrays, header)
    except InvalidFile:
        raise
    except Exception as error:  # zipfile, json and numpy raise a dozen types on damaged bytes
        problem = " ".join(str(error).split())
        raise InvalidFile(f"it is not a whole .npz archive ({problem})") from error
    return header, arrays


def read_members(file: BinaryIO) -> dict[str, bytes]:
    """Read every member of the archive, having seen that they fit into the file's own size."""
    if not zipfile.is_zipfile(file):
        raise InvalidFile("it is not a .npz archive", "give a whole file written by fastgmm.save")
    file_size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise InvalidFile("its members are compressed")  # so may be of any size
        if sum(entry.file_size for entry in entries) > file_size:
            raise InvalidFile("it declares more bytes than it has")
        return {entry.filename: archive.read(entry) for entry in entries}


def read_header(members: dict[str, bytes]) -> dict[str, Any]:
    """Parse the header and check each of its fields."""
    header = json.loads(members[HEADER]) if HEADER in members else None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InvalidFile("it has no header of fastgmm", "give a file written by fastgmm.save")
    format_version = header.get("format_version")
    if type(format_version) is not int or format_version < 1:
        raise InvalidFile("its header has no format version")
    if format_version > FORMAT_VERSION or header.get("estimator") not in ESTIMATORS:
        raise InvalidFile(*written_by_newer(header))
    parameters, fitted = header.get("parameters"), header.get("fitted")
    if not isinstance(parameters, dict) or not isinstance(fitted, dict):
        raise InvalidFile("its header has no parameters")
    if parameters.get("covariance_type") not in {*FAMILIES, *LOW_RANK}:
        raise InvalidFile("its header has an unknown covariance_type")
    for name, kind in SCALARS.items():
        if type(fitted.get(name)) is not kind or fitted[name] < 0:
            raise InvalidFile(f"its header has a wrong {name}")
    check_feature_names(header.get("feature_names_in_"), fitted["n_features_in_"])
    check_components(header.get("degenerate_components_", []))
    return header


def check_components(components: Any) -> None:
    """Check that these are numbers of components, in order."""
    numbers = isinstance(components, list) and all(
        type(number) is int and 0 <= number < 2**31 for number in components
    )
    if not numbers or components != sorted(set(components)):
        raise InvalidFile("its header has wrong degenerate components")


def check_feature_names(names: object, n_features: int) -> None:
    """Check that there are none, or one string for each feature."""
    if names is None:
        return
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidFile("its header has wrong feature names")
    if len(names) != n_features:
        raise InvalidFile("its header has more or fewer feature names than features")


def written_by_newer(header: dict[str, Any]) -> tuple[str, str]:
    """Problem and remedy for a file of the future."""
    theirs, ours = header.get("fastgmm_version"), version("fastgmm")
    return (
        f"it was written by fastgmm {theirs}, which is newer than this one, {ours}",
        "upgrade with: pip install --upgrade fastgmm",
    )


def read_array(members: dict[str, bytes], name: str) -> FloatArray:
    """Parse one ``.npy`` member, whose declared shape must account for its bytes exactly."""
    if f"{name}.npy" not in members:
        raise InvalidFile(f"the array {name} is missing")
    stream = io.BytesIO(members[f"{name}.npy"])
    if np.lib.format.read_magic(stream) != (1, 0):
        raise InvalidFile(f"the array {name} is in an unknown format")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        raise InvalidFile(f"{name} holds {dtype} in place of float32 or float64")
    content = stream.read()
    if math.prod(shape) * dtype.itemsize != len(content):
        raise InvalidFile(f"{name} declares the shape {shape} but has {len(content)} bytes")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="))  # a copy: memory that may be written


def check_arrays(arrays: dict[str, FloatArray], header: dict[str, Any]) -> None:
    """Check the arrays against one another and against the header."""
    covariance_type, fitted = header["parameters"]["covariance_type"], header["fitted"]
    K, d = arrays["weights_"].size, fitted["n_features_in_"]
    if K < 1 or d < 1:
        raise InvalidFile("it has no component or no feature")
    family = family_of(covariance_type)
    component = family.shape_like(arrays["covariances_"], K, d)
    shapes: dict[str, tuple[int, ...]] = {
        "weights_": (K,),
        "means_": (K, d),
        "covariances_": component,
        "precisions_": component,
        "precisions_cholesky_": component,
        "lower_bound_": (),
        "lower_bounds_": (fitted["n_iter_"],),
        "log_likelihood_": (),
        "largest_fall_": (),
        "n_samples_seen_": (),
        **shapes_of_bayes(header["parameters"], K, d),
        **dict(zip(OF_NOISE, [(), (), (2, d)], strict=True)),
    }
    for name, array in arrays.items():
        if array.shape != (shape := shapes[name]):
            raise InvalidFile(f"{name} has the shape {array.shape} where {shape} is needed")
    for name in PARAMETER_ARRAYS:
        if arrays[name].dtype != arrays["means_"].dtype:
            raise InvalidFile(f"{name} and means_ differ in dtype")
        if not np.isfinite(arrays[name]).all():
            raise InvalidFile(f"{name} holds NaN or infinity", "fit the model again")
    check_bayes(arrays, header)
    if any(np.isnan(arrays[name]).any() for name in HISTORY_ARRAYS):
        raise InvalidFile("its lower bounds hold NaN", "fit the model again")
    weights, factors = arrays["weights_"], arrays["precisions_cholesky_"]
    if (weights < 0).any() or not math.isclose(math.fsum(weights), 1.0, rel_tol=1e-3):
        raise InvalidFile("weights_ are not proportions that sum to 1", "fit the model again")
    triangular = np.triu(factors) if family.is_matrix else factors
    if not (family.diagonals(factors) > 0).all():
        raise InvalidFile("precisions_cholesky_ has a diagonal that is not positive")
    if not np.array_equal(triangular, factors):
        raise InvalidFile("precisions_cholesky_ is not upper triangular")
    parameters = Parameters(
        weights, arrays["means_"], arrays["covariances_"], factors, covariance_type
    )
    for contradiction in contradictions(parameters):
        raise InvalidFile(contradiction, "fit the model again")


def check_bayes(arrays: dict[str, FloatArray], header: dict[str, Any]) -> None:
    """Check that posteriors, priors and noise are finite, and positive where they should be."""
    for name in names_of_more(header):
        least = -np.inf if name in ANY_SIGN else 0.0
        if not np.all(np.isfinite(arrays[name]) & (arrays[name] > least)):
            raise InvalidFile(f"{name} holds what no such model has", "fit the model again")


def rebuild(header: dict[str, Any], arrays: dict[str, FloatArray]) -> Mixture:
    """Make the estimator of a checked header and checked arrays."""
    cls = ESTIMATORS[header["estimator"]]
    if not set(header["parameters"]) <= set(cls().get_params(deep=False)):
        raise InvalidFile(*written_by_newer(header))
    model = cls(**header["parameters"])
    try:
        model._validate_params()
    except ValueError as error:
        raise InvalidFile(f"its header has a wrong parameter ({error})") from error
    for name in PARAMETER_ARRAYS:
        setattr(model, name, arrays[name])
    for name in names_of_more(header):
        array = arrays[name] if arrays[name].ndim else float(arrays[name])
        is_pair = name == "weight_concentration_" and np.ndim(array) == 2
        setattr(model, name, tuple(array) if is_pair else array)  # type: ignore[arg-type]
    for name in SCALARS:
        setattr(model, name, header["fitted"][name])
    model.lower_bounds_ = arrays["lower_bounds_"].tolist()
    for name in ("lower_bound_", "log_likelihood_", "largest_fall_"):
        setattr(model, name, float(arrays.get(name, np.nan)))
    model.fit_history_ = []
    if isinstance(model, GaussianMixture):
        model.degenerate_components_ = np.array(header.get("degenerate_components_", []), np.intp)
        model.repairs_ = []
        model.n_samples_seen_ = float(arrays.get("n_samples_seen_", np.nan))
    if header.get("feature_names_in_") is not None:
        model.feature_names_in_ = np.array(header["feature_names_in_"], dtype=object)
    return model
