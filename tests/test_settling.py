"""The start of a fit to more rows than `init_size`: k-means on few rows, then EM with momentum."""

import numpy as np
import pytest
from axes import each_covariance_type, each_dtype
from numpy.testing import assert_allclose, assert_array_equal
from problems import ARRAYS, fixed_start

from fastgmm import GaussianMixture, reference
from fastgmm.data.source import ArraySource
from fastgmm.em import settling
from fastgmm.em.settling import beyond, settled
from fastgmm.model.factors import IllDefinedCovariance
from fastgmm.model.maximization import MaximumLikelihood

K = 4
OTHER_METHODS = ["k-means++", "random", "random_from_data", "random_means"]


def overlapping(n=3000, d=3, seed=0):
    rng = np.random.default_rng(seed)
    scales = rng.uniform(0.5, 2, size=(K, d))
    labels = rng.integers(K, size=n)
    return rng.normal(scale=1.5, size=(K, d))[labels] + scales[labels] * rng.normal(size=(n, d))


def start(X, weight=None, **options):
    """The parameters that a fit starts from."""
    options = {"max_iter": 0, "random_state": 0, "init_size": 400, **options}
    return GaussianMixture(K, **options).fit(X, sample_weight=weight)


def assert_identical(one, other):
    for name in ARRAYS:
        assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.fixture
def no_settling(monkeypatch):
    def forbidden(*arguments):
        raise AssertionError("the start is to stay as it is")

    monkeypatch.setattr(settling, "settled", forbidden)


def steps_of(X, covariance_type, n_steps=0):
    """A source, a maximization, and where EM is after some steps from a start."""
    source, maximization = ArraySource(X), MaximumLikelihood(covariance_type, 1e-6, X.dtype)
    fitted = start(X, init_params="random_means", init_size=None, covariance_type=covariance_type)
    p = fitted._parameters()
    for _ in range(n_steps):
        p = maximization.maximize(source.expectation(p), p)
    return source, maximization, p


@each_covariance_type
def test_many_rows_start_from_where_em_has_settled(covariance_type):
    X = overlapping()
    settled_ = start(X, covariance_type=covariance_type, init_size=1400)
    kmeans = start(X, covariance_type=covariance_type, init_size=None)
    assert settled_.n_iter_ == 0
    assert settled_.score(X) > kmeans.score(X)
    assert_identical(settled_, start(X, covariance_type=covariance_type, init_size=1400))


def test_em_takes_fewer_iterations_from_there_to_no_worse_a_likelihood():
    X = overlapping()
    many, few = (GaussianMixture(K, random_state=0, init_size=s).fit(X) for s in (None, 1400))
    assert few.n_iter_ < many.n_iter_
    assert few.log_likelihood_ > many.log_likelihood_ - 1e-2
    assert len(few.lower_bounds_) == few.n_iter_


@pytest.mark.usefixtures("no_settling")
@pytest.mark.parametrize("init_params", OTHER_METHODS)
def test_other_methods_start_as_they_do(init_params):
    start(overlapping(), init_params=init_params, reg_covar=0.1)


@pytest.mark.usefixtures("no_settling")
@pytest.mark.parametrize("name", ["weights_init", "means_init", "precisions_init"])
def test_given_values_are_not_moved(name):
    X = overlapping()
    start(X, **{name: fixed_start(X, K, "full")[name]})


@pytest.mark.usefixtures("no_settling")
def test_up_to_init_size_and_in_warm_starts_nothing_is_moved():
    X = overlapping()
    fitted = start(X, init_size=len(X), warm_start=True)
    fitted.set_params(init_size=10).fit(X)


@each_dtype
def test_rows_of_no_weight_and_repeated_rows(dtype):
    X = overlapping().astype(dtype)
    weight = np.random.default_rng(0).integers(0, 3, size=len(X)).astype(float)
    present = weight > 0
    whole, part = start(X, weight), start(X[present], weight[present])
    assert whole.means_.dtype == dtype
    # Passes over other blocks of rows, and momentum makes more of their rounding.
    assert_allclose(whole.means_, part.means_, atol=1e-6 if dtype == np.float64 else 1e-2)


def test_restarts_have_samples_of_their_own(monkeypatch):
    X, seen = overlapping(9000), []
    original = settling.settled

    def watched(source, *arguments):
        seen.append(source)
        return original(source, *arguments)

    monkeypatch.setattr(settling, "settled", watched)
    GaussianMixture(K, random_state=0, init_size=400, n_init=2).fit(X)
    assert [len(source.X) for source in seen] == [400, 400]  # ten for each parameter: 390
    assert not np.array_equal(seen[0].X, seen[1].X)
    assert set(map(tuple, seen[0].X)) <= set(map(tuple, X))


@each_covariance_type
def test_without_momentum_nothing_goes_beyond(covariance_type):
    _, _, before = steps_of(overlapping(), covariance_type)
    _, _, after = steps_of(overlapping(), covariance_type, 1)
    same = beyond(after, before, 0.0)
    for one, other in zip(same[:4], after[:4], strict=True):
        assert_allclose(one, other, rtol=1e-12)


@each_covariance_type
def test_however_far_parameters_go_they_are_a_mixture(covariance_type):
    X = overlapping()
    _, _, before = steps_of(X, covariance_type)
    _, _, after = steps_of(X, covariance_type, 1)
    far = beyond(after, before, 20.0)
    assert np.all(far.weights > 0)
    assert far.weights.sum() == pytest.approx(1)
    arguments = far.weights, far.means, far.precisions_cholesky, covariance_type
    assert np.all(np.isfinite(reference.log_density(X, *arguments)))
    assert_allclose(far.means - after.means, 20 * (after.means - before.means), rtol=1e-9)


@each_covariance_type
def test_momentum_rises_above_as_many_plain_steps(covariance_type, monkeypatch):
    X = overlapping()
    monkeypatch.setattr(settling, "MOST_ITERATIONS", 30)
    source, maximization, p = steps_of(X, covariance_type, 5)
    quick = source.log_likelihood(settled(source, maximization, p, 0.0))
    _, _, plain = steps_of(X, covariance_type, 35)
    assert quick > source.log_likelihood(plain) > source.log_likelihood(p)


class Failing(MaximumLikelihood):
    """Finds no covariance after some maximizations."""

    left = 3

    def maximize(self, statistics, current=None):
        object.__setattr__(self, "left", self.left - 1)
        if self.left < 0:
            raise IllDefinedCovariance
        return super().maximize(statistics, current)


@pytest.mark.parametrize("left", [0, 3])
def test_where_a_covariance_fails_the_last_parameters_are_kept(left):
    source, _, p = steps_of(overlapping(), "full")
    failing = Failing("full", 1e-6)
    object.__setattr__(failing, "left", left)
    found = settled(source, failing, p, 0.0)
    if left == 0:
        assert found is p
    else:
        assert source.log_likelihood(found) > source.log_likelihood(p)


def test_few_rows_of_k_means_that_fail_leave_all_of_init_size(monkeypatch):
    X, sizes = overlapping(), []
    original = settling.initial_parameters

    def first_fails(source, K, maximization, how, *arguments):
        sizes.append(how.init_size)
        if len(sizes) == 1:
            raise IllDefinedCovariance
        return original(source, K, maximization, how, *arguments)

    monkeypatch.setattr(settling, "initial_parameters", first_fails)
    assert np.isfinite(start(X).score(X))
    assert sizes == [100, 400]


@pytest.mark.usefixtures("no_settling")
def test_fewer_rows_than_parameters_are_left_alone():
    X = overlapping(n=30, d=5)  # a component alone has 20 parameters
    assert np.all(np.isfinite(start(X, init_size=20).means_))
