"""`partial_fit`: stepwise EM over batches."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from axes import each_covariance_type, each_dtype
from numpy.testing import assert_allclose, assert_array_equal
from problems import ARRAYS, assert_close, fixed_start, load

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.data.source import ArraySource
from fastgmm.em.stepwise import step_size, stepwise, stream_of
from fastgmm.model.complete import complete_log_likelihood, expected_statistics
from fastgmm.model.families import FAMILIES
from fastgmm.model.maximization import Estimate, MaximumLikelihood

K = 3
each_family = pytest.mark.parametrize("covariance_type", FAMILIES)


def clouds(n=600, at=(-4.0, 0.0, 4.0), seed=0):
    """Points of three clouds in the plane, at these places on its diagonal."""
    rng = np.random.default_rng(seed)
    return np.array(at)[rng.integers(len(at), size=n), None] + rng.normal(size=(n, 2))


def one_step(X, weight=None, **options):
    """A fit of one iteration, from the start that `partial_fit` has."""
    with pytest.warns(UserWarning, match="did not converge"):
        return GaussianMixture(max_iter=1, **options).fit(X, sample_weight=weight)


def batches(X, size=100):
    return (X[start : start + size] for start in range(0, len(X), size))


def fitted_to(parts, **options):
    model = GaussianMixture(K, random_state=0, **options)
    for part in parts:
        model.partial_fit(part)
    return model


def assert_same(one, other, rtol=1e-12):
    for name in ARRAYS:
        assert_close(getattr(one, name), getattr(other, name), rtol)


@each_family
def test_all_the_data_at_once_are_one_step_of_em(covariance_type):
    X, _ = load("iris")
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    options = {"n_components": K, "covariance_type": covariance_type, "random_state": 0}
    online = GaussianMixture(**options).partial_fit(X, sample_weight=weight)
    fitted = one_step(X, weight, **options)
    assert_same(online, fitted)
    assert online.lower_bounds_ == pytest.approx(fitted.lower_bounds_, rel=1e-12)
    assert (online.n_iter_, online.converged_) == (1, False)
    assert np.isnan(online.log_likelihood_)


@each_covariance_type
def test_a_step_of_one_after_a_fit_is_one_step_of_em(covariance_type):
    X, _ = load("iris")
    options = {"covariance_type": covariance_type, "random_state": 0}
    model = GaussianMixture(K, step_size=1.0, **options).fit(X[::2])
    further = one_step(X, n_components=K, warm_start=True, **options)
    vars(further).update({name: getattr(model, name) for name in [*ARRAYS, "lower_bound_"]})
    with pytest.warns(UserWarning, match="did not converge"):
        further.fit(X)
    assert_same(model.partial_fit(X), further, 1e-9)


@each_family
def test_parameters_are_what_their_expected_statistics_lead_to(covariance_type):
    X, _ = load("iris")
    fitted = GaussianMixture(K, covariance_type=covariance_type, random_state=0).fit(X)
    p, maximization = fitted._parameters(), MaximumLikelihood(covariance_type, 1e-6)
    stream = stream_of(p, maximization, 150.0)
    again = maximization.maximize(stream.statistics.scaled(150.0), p)
    for one, other in zip(again[:4], p[:4], strict=True):
        assert_close(one, other, 1e-7)


@each_family
def test_the_complete_likelihood_is_that_of_labelled_points(covariance_type):
    """Of one component all points are its own, so that it is the log-likelihood."""
    X, _ = load("iris")
    one = GaussianMixture(1, covariance_type=covariance_type).fit(X)
    p, source = one._parameters(), ArraySource(X)
    statistics = source.expectation(p).about(p.means + 1.0)
    assert complete_log_likelihood(statistics, p) == pytest.approx(source.log_likelihood(p))
    estimate = Estimate(p.weights, p.means, p.covariances)
    expected = complete_log_likelihood(expected_statistics(estimate, covariance_type), p)
    assert expected == pytest.approx(-one.entropy(), rel=1e-2)


def test_equal_batches_have_the_steps_of_the_paper():
    steps = [step_size(None, 50.0 * t, 50.0) for t in range(5)]
    assert_allclose(steps, np.arange(1, 6) ** -0.6)
    assert step_size(None, 1e6, 10.0) < 1e-3  # a few rows left over


def test_statistics_are_a_moving_average():
    X = clouds()
    source, maximization = (
        [ArraySource(part) for part in batches(X, 200)],
        MaximumLikelihood("full"),
    )
    p = GaussianMixture(K, random_state=0).fit(X)._parameters()
    step, stream = stepwise(source[0], maximization, p, None, 0.25)
    moved = stepwise(source[1], maximization, step.parameters, stream, 0.25)[1]
    reference = step.parameters.means
    old = stream.statistics.about(reference).scaled(0.75)
    new = source[1].expectation(step.parameters).scaled(0.25 / 200)
    assert_allclose(moved.statistics.second, (old + new).second, rtol=1e-12, atol=1e-12)
    assert moved.weight == 400
    assert moved.effective_weight == pytest.approx(1 / (0.75**2 / 200 + 0.25**2 / 200))


@each_covariance_type
def test_one_pass_in_batches_comes_near_the_fit(covariance_type):
    X = clouds(6000)
    online = fitted_to(batches(X), covariance_type=covariance_type)
    fitted = GaussianMixture(K, covariance_type=covariance_type, random_state=0).fit(X)
    assert online.score(X) > fitted.log_likelihood_ - 0.005 * abs(fitted.log_likelihood_)
    assert online.n_iter_ == len(online.lower_bounds_) == 60
    assert online.lower_bound_ == online.lower_bounds_[-1]
    assert online.n_samples_seen_ == 6000


def test_drifting_data_are_followed_by_a_constant_step_alone():
    shifts = np.linspace(0, 6, 60)
    parts = [clouds(100, seed=i) + shift for i, shift in enumerate(shifts)]
    now = clouds(2000, seed=99) + shifts[-1]
    forgetting, settling = fitted_to(parts, step_size=0.3), fitted_to(parts)
    still = GaussianMixture(K, random_state=0).fit(now)
    assert forgetting.score(now) > still.score(now) - 0.2
    assert settling.score(now) < still.score(now) - 0.4


def test_a_fit_weighs_as_much_as_its_samples():
    X, few = clouds(5000), clouds(50, at=(-4.0, 0.0, 5.0), seed=1)
    fitted = GaussianMixture(K, random_state=0).fit(X)
    before = fitted.score(X)
    assert fitted.n_samples_seen_ == 5000
    fitted.partial_fit(few)
    assert before - 0.01 < fitted.score(X) < before
    assert fitted.n_samples_seen_ == 5050
    by_hand = GaussianMixture.from_parameters(*(getattr(fitted, name) for name in ARRAYS[:3]))
    by_hand.partial_fit(few)  # which is worth a batch, for all that is known
    assert by_hand.score(few) > fitted.score(few)
    assert by_hand.n_samples_seen_ == 100


@each_dtype
def test_statistics_survive_copies_and_pickles(dtype):
    parts = [part.astype(dtype) for part in batches(clouds(), 150)]
    model = fitted_to(parts[:3])
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    expected = model.partial_fit(parts[3])
    assert expected.means_.dtype == dtype
    for one in copies:
        one.partial_fit(parts[3])
        for name in ARRAYS:
            assert_array_equal(getattr(one, name), getattr(expected, name))


def test_a_saved_model_goes_on_from_its_parameters(tmp_path):
    parts = list(batches(clouds()))
    model = fitted_to(parts[:4])
    fastgmm.save(model, tmp_path / "model.npz")
    loaded = fastgmm.load(tmp_path / "model.npz")
    assert loaded.n_samples_seen_ == 400
    loaded, model = loaded.partial_fit(parts[4]), model.partial_fit(parts[4])
    assert_same(loaded, model, 1e-6)  # what leads to the parameters is the same but for rounding
    assert loaded.n_iter_ == 5


def test_parameters_set_by_hand_take_the_place_of_what_led_to_others():
    parts = list(batches(clouds()))
    model = fitted_to(parts[:3])
    by_hand = copy.copy(model)
    by_hand.means_ = model.means_ + 0.5
    moved = by_hand.partial_fit(parts[3]).means_
    assert np.abs(moved - model.partial_fit(parts[3]).means_).max() > 0.01


def test_rows_of_no_weight_and_repeated_rows():
    X = clouds()
    weight = np.random.default_rng(0).integers(0, 3, size=len(X))
    start = fixed_start(X, K, "full")
    weighted, repeated = (GaussianMixture(K, **start) for _ in range(2))
    for rows in batches(np.arange(len(X)), 200):
        weighted.partial_fit(X[rows], sample_weight=weight[rows])
        repeated.partial_fit(np.repeat(X[rows], weight[rows], axis=0))
    assert_same(weighted, repeated, 1e-9)
    assert weighted.n_samples_seen_ == weight.sum()


def test_a_prior_keeps_its_weight():
    """Of equal batches a constant step γ keeps (2 - γ) / γ, a decreasing one more and more."""
    X = clouds(100)
    models = [
        fitted_to([X] * 20, step_size=size, prior="conjugate", reg_covar=0.0)
        for size in (None, 0.5)
    ]
    slow, quick = (model._stream.effective_weight for model in models)
    assert 3 * 100 * 0.9 < quick < 3 * 100 * 1.1
    assert slow > 2 * quick


def test_frozen_means_and_missing_values():
    X = clouds()
    means = [[-4, -4], [0, 0], [4, 4]]
    frozen = GaussianMixture(K, means_init=means, freeze="means")
    X_with_holes = X.copy()
    X_with_holes[::5, 0] = np.nan
    missing = GaussianMixture(K, missing="em", random_state=0)
    for part in batches(X):
        frozen.partial_fit(part)
    for part in batches(X_with_holes, 200):
        missing.partial_fit(part)
    assert_array_equal(frozen.means_, means)
    assert_allclose(np.sort(missing.means_[:, 1]), [-4, 0, 4], atol=0.5)


def test_the_convention_of_scikit_learn():
    import pandas as pd

    frame = pd.DataFrame(clouds(), columns=["a", "b"])
    model = GaussianMixture(K, random_state=0, fit_history=True)
    assert model.partial_fit(frame[:300], y=None) is model
    assert model.n_features_in_ == 2
    assert list(model.feature_names_in_) == ["a", "b"]
    model.partial_fit(frame[300:301])  # a batch after the first may be a single row
    assert len(model.fit_history_) == 2
    with pytest.raises(ValueError, match="feature names should match"):
        model.partial_fit(frame.rename(columns={"a": "c"}))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 2)), "n_samples >= n_components"),
        (np.full((5, 2), np.nan), "NaN"),
        (np.zeros((5, 3)), "3 features"),
    ],
    ids=["few", "nan", "width"],
)
def test_a_batch_that_is_refused_leaves_the_mixture_as_it_was(X, message):
    cold, warm = GaussianMixture(K), GaussianMixture(K, random_state=0).partial_fit(clouds())
    before = copy.deepcopy(warm)
    if "3 features" not in message:
        with pytest.raises(ValueError, match=message):
            cold.partial_fit(X)
        assert not [name for name in vars(cold) if name.endswith("_")]
    if "n_samples" not in message:
        with pytest.raises(ValueError, match=message):
            warm.partial_fit(X)
    for part in (clouds(seed=5), clouds(seed=6)):
        assert_same(warm.partial_fit(part), before.partial_fit(part), 0)


@pytest.mark.parametrize(
    "options", [{"noise": True}, {"semi_supervised": True}, {"on_degenerate": "drop"}]
)
def test_what_needs_all_data_is_refused(options):
    with pytest.raises(ValueError, match=f"partial_fit does not go with {next(iter(options))}"):
        GaussianMixture(K, **options).partial_fit(clouds())


def test_hooks_are_refused():
    class Hooked(GaussianMixture):
        def _m_step(self, X, log_resp):
            raise AssertionError

    with pytest.raises(ValueError, match="_m_step"):
        Hooked(K).partial_fit(clouds())


@pytest.mark.parametrize("size", [0.0, 1.5, "half"])
def test_step_sizes_are_checked(size):
    with pytest.raises(ValueError, match="step_size"):
        GaussianMixture(K, step_size=size).partial_fit(clouds())
