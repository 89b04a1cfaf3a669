"""What the documentation says of scikit-learn's GaussianMixture and ours, held against both."""

import re
import warnings
from inspect import signature
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from problems import INIT_PARAMS, assert_close, load
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer

import fastgmm
from fastgmm import GaussianMixture
from fastgmm._records import INIT_METHODS

PAGE = Path(__file__).parents[1] / "docs" / "migration" / "scikit-learn.md"
FUNCTIONS = [
    "save", "load", "select_mixture", "MixtureSelector", "GaussianMixtureClassifier",
    "precisions_cholesky", "maximization",
]  # fmt: skip
KINDS = ["arguments", "methods", "attributes"]
LATER = {"set_callbacks"}  # where scikit-learn is older than 1.9
each_kind = pytest.mark.parametrize("kind", KINDS)


class Row(NamedTuple):
    """Names of one kind, and what the table says of them all."""

    kind: str
    names: list[str]
    says: str


def rows_below(heading):
    """The cells of each row of the table with this first line."""
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition(f"{heading}\n")[2].partition("\n\n")[0]
    _, *rows = table.splitlines()  # without the ruler
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def names_in(cell):
    """What stands in backticks, all there is in a cell of names."""
    names = re.findall(r"`([^`]+)`", cell)
    assert cell == ", ".join(f"`{name}`" for name in names)
    return names


def migration():
    """The rows of the first table; a kind stands in the first of its rows alone."""
    rows = []
    for kind, names, says in rows_below("| | of scikit-learn's | in fastgmm's |"):
        rows.append(Row(kind or rows[-1].kind, names_in(names), says))
    return rows


ROWS = migration()
ADDED = [name for names, _ in rows_below("| fastgmm adds | |") for name in names_in(names)]


def fitted(cls, **options):
    """A mixture fitted to a frame, whose columns have names."""
    X, K = load("iris")
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    return cls(K, random_state=0, **options).fit(frame)


def public(cls, kind, **options):
    """The names of this kind that users of the class see."""
    if kind == "arguments":
        return set(signature(cls).parameters)
    if kind == "methods":
        return {name for name in dir(cls) if not name.startswith("_")}
    attributes = vars(fitted(cls, **options))
    return {name for name in attributes if name.endswith("_") and not name.startswith("_")}


def named(kind, says=None):
    """The names of this kind in the table, or those alone of which it says this."""
    rows = [row for row in ROWS if row.kind == kind and says in (None, row.says)]
    return [name for row in rows for name in row.names]


def arguments(function):
    """Names, kinds and defaults."""
    return [(p.name, p.kind, p.default) for p in signature(function).parameters.values()]


@each_kind
def test_the_table_names_everything_once(kind):
    assert sorted(named(kind)) == sorted(public(Peer, kind))


@each_kind
def test_nothing_is_missing_from_fastgmms(kind):
    assert set(named(kind)) <= public(GaussianMixture, kind)


@each_kind
def test_a_part_is_the_same(kind):
    others = {"arguments", "methods"}  # all of the attributes are the same
    assert 0 < len(named(kind, "same")) <= len(named(kind)) - (kind in others)


def test_arguments_called_the_same_have_the_same_default():
    theirs = {argument[0]: argument for argument in arguments(Peer)}
    ours = {argument[0]: argument for argument in arguments(GaussianMixture)}
    for name in named("arguments", "same"):
        assert ours[name] == theirs[name]


def test_methods_called_the_same_have_the_same_signature_and_others_say_what_they_add():
    for row in (row for row in ROWS if row.kind == "methods"):
        for name in row.names:
            theirs = arguments(getattr(Peer, name))
            ours = arguments(getattr(GaussianMixture, name))
            assert ours[: len(theirs)] == theirs, name
            if row.says == "same":
                assert len(ours) == len(theirs), name
            for added, *_ in ours[len(theirs) :]:
                assert f"`{added}`" in row.says, name


def test_methods_called_the_same_give_the_same():
    X, _ = load("iris")
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    ours, theirs = fitted(GaussianMixture), fitted(Peer)
    arguments = {"sample": (10,), "set_params": ()}
    for name in ["set_params", "predict", "predict_proba", "score_samples", "sample"]:
        results = [getattr(m, name)(*arguments.get(name, (frame,))) for m in (ours, theirs)]
        if name == "set_params":
            assert results == [ours, theirs]
        elif name == "sample":
            assert_close(results[0][0], results[1][0], 1e-6)
            assert_array_equal(results[0][1], results[1][1])
        else:
            assert_close(*results, 1e-8)


def test_attributes_called_the_same_are_equal_after_the_same_fit():
    ours, theirs = fitted(GaussianMixture), fitted(Peer)
    for name in named("attributes", "same"):
        actual, expected = getattr(ours, name), getattr(theirs, name)
        if name == "feature_names_in_":
            assert_array_equal(actual, expected)
        else:
            assert_close(actual, expected, 1e-8)


def test_all_that_is_added_is_named():
    added = {f"fastgmm.{name}" for name in FUNCTIONS}
    for kind in KINDS:
        added |= public(GaussianMixture, kind, fit_history=True) - public(Peer, kind)
    assert sorted(ADDED) == sorted(added | LATER)
    assert all(callable(getattr(fastgmm, name)) for name in FUNCTIONS)


def says_of(name):
    """What the table says of an argument that is not the same."""
    (says,) = (row.says for row in ROWS if name in row.names)
    return says


def test_init_params_takes_what_the_table_says():
    assert says_of("init_params").startswith("the same four names")
    assert len(INIT_PARAMS) == 4
    for name in set(INIT_METHODS) - set(INIT_PARAMS):
        assert f"`'{name}'`" in says_of("init_params")
    size = signature(GaussianMixture).parameters["init_size"].default
    assert f"above {size:,} rows" in says_of("init_params")


def test_n_init_where_a_start_fails():
    assert says_of("n_init").startswith("a start that fails leaves the others, with a warning")
    X = np.concatenate([np.zeros((16, 2)), np.random.default_rng(0).normal(size=(20, 2))])
    options = {"precisions_init": np.ones(2), "covariance_type": "spherical", "reg_covar": 0}
    options |= {"init_params": "random_from_data", "n_init": 10, "random_state": 0}
    with pytest.raises(ValueError, match="ill-defined"):  # a component on the repeated point
        Peer(2, **options).fit(X)
    with pytest.warns(ConvergenceWarning, match="of 10 initializations failed"):
        assert np.all(GaussianMixture(2, **options).fit(X).covariances_ > 0)


def test_precisions_init_without_iterations():
    assert says_of("precisions_init") == "can be given with `max_iter=0` too"
    X, K = load("iris")
    options = {"precisions_init": np.ones(K), "covariance_type": "spherical", "max_iter": 0}
    assert_array_equal(GaussianMixture(K, **options).fit(X).covariances_, np.ones(K))
    with pytest.raises(AttributeError):
        Peer(K, **options).fit(X)


def test_warm_start_with_another_number_of_components():
    assert says_of("warm_start").startswith("raises an error")
    X, _ = load("iris")
    ours, theirs = (cls(3, warm_start=True, random_state=0) for cls in (GaussianMixture, Peer))
    ours.fit(X).set_params(n_components=2)
    with pytest.raises(ValueError, match="n_components"):
        ours.fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert len(theirs.fit(X).set_params(n_components=2).fit(X).weights_) == 3
