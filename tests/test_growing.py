"""`growing_samples`: EM over samples that grow, then over all rows, corrected by the largest."""

from __future__ import annotations

import numpy as np
import pytest
from axes import each_covariance_type, each_dtype
from numpy.testing import assert_allclose, assert_array_equal
from problems import ARRAYS, COVARIANCE_TYPES, assert_close, fixed_start

from fastgmm import GaussianMixture
from fastgmm.data.sampled import CorrectedSample, Sample
from fastgmm.data.source import ArraySource
from fastgmm.em import growing
from fastgmm.em.growing import sample_sizes
from fastgmm.em.progress import Watcher
from fastgmm.model.families import FAMILIES
from fastgmm.model.maximization import MaximumLikelihood

K, D = 3, 2
OPTIONS = {"random_state": 0, "init_size": 200, "tol": 1e-6, "max_iter": 500}
each_family = pytest.mark.parametrize("covariance_type", FAMILIES)
some_families = pytest.mark.parametrize("covariance_type", [*COVARIANCE_TYPES, "tied_diag", "VEV"])


def overlapping(n=20_000, seed=0, dtype=np.float64):
    """Points of three components that overlap."""
    rng = np.random.default_rng(seed)
    at, scale = np.array([[-1.5, 0], [1.5, 0], [0, 2.5]]), np.array([[1, 0.7], [0.7, 1], [1.2, 1]])
    labels = rng.integers(K, size=n)
    return (at[labels] + scale[labels] * rng.normal(size=(n, D))).astype(dtype)


X = overlapping()
X.setflags(write=False)


class Passes(Watcher):
    """Takes note of the samples."""

    def __init__(self):
        self.samples = []

    def sample_ends(self, sample):
        self.samples.append(sample)


def fit(data=X, weight=None, **options):
    return GaussianMixture(K, **OPTIONS | options).fit(data, sample_weight=weight)


def place_of(covariance_type, n_steps=10):
    """Where EM over all the rows is after some steps, and the record of the M step."""
    maximization = MaximumLikelihood(covariance_type)
    start = fit(max_iter=0, covariance_type=covariance_type)._parameters()
    source = ArraySource(X)
    for _ in range(n_steps):
        start = maximization.maximize(source.expectation(start), start)
    return source, maximization, start


def sampled(source, size=4000):
    return Sample(*source.rows(size, np.random.RandomState(0)), source.total_weight)


# --- samples ----------------------------------------------------------------------------------
def test_samples_grow_to_the_most_or_to_what_tol_can_tell():
    assert sample_sizes(20_000, 10, 200, 0.0) == [312, 1250, 5000, 20_000]
    assert sample_sizes(20_000, 10, 200, 1e-2) == [250, 1000]
    assert sample_sizes(20_000, 1000, 200, 0.0) == [20_000]  # 8,000 rows at least
    assert sample_sizes(100, 10, 200, 0.0) == []


def test_a_sample_has_the_weight_of_all_rows():
    source, _, p = place_of("full")
    statistics = sampled(source).expectation(p)
    assert statistics.counts.sum() == pytest.approx(len(X))
    assert_allclose(statistics.counts, source.expectation(p).counts, rtol=0.1)


# --- the corrected sample ---------------------------------------------------------------------
@each_family
def test_a_corrected_sample_has_the_statistics_of_all_rows_at_its_place(covariance_type):
    source, _, p = place_of(covariance_type)
    whole = source.expectation(p)
    corrected = CorrectedSample(sampled(source), whole, p).expectation(p)
    for name in ("counts", "first", "second"):
        assert_close(getattr(corrected, name), getattr(whole, name), 1e-9)


@some_families
def test_a_maximum_over_all_rows_is_one_over_the_corrected_sample(covariance_type):
    """And it is none over the sample itself."""
    source, maximization, p = place_of(covariance_type, 400)
    sample = sampled(source)
    corrected = CorrectedSample(sample, source.expectation(p), p)
    moved = [
        maximization.maximize(s.expectation(p), p).means - p.means for s in (corrected, sample)
    ]
    assert np.abs(moved[0]).max() < 1e-4
    assert np.abs(moved[1]).max() > 20 * np.abs(moved[0]).max()


@each_covariance_type
def test_em_over_a_corrected_sample_never_lowers_its_objective(covariance_type):
    source, maximization, p = place_of(covariance_type, 1)
    corrected = CorrectedSample(sampled(source), source.expectation(p), p)
    objectives, likelihoods = [], []
    for _ in range(8):
        statistics = corrected.expectation(p)
        objectives.append(statistics.log_likelihood)
        likelihoods.append(source.log_likelihood(p))
        p = maximization.maximize(statistics, p)
    rises = np.diff(objectives)
    assert np.all(rises > 0)
    assert_allclose(rises[:2], np.diff(likelihoods)[:2], rtol=0.2)  # of all the rows, nearly


def test_a_sample_of_all_the_rows_needs_no_correction():
    source, _, p = place_of("full", 1)
    everything = Sample(X, None, source.total_weight)
    corrected = CorrectedSample(everything, source.expectation(p), p)
    _, _, other = place_of("full", 5)
    one, whole = corrected.expectation(other), source.expectation(other)
    assert one.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-12)
    assert_close(one.second, whole.second, 1e-9)


# --- fits -------------------------------------------------------------------------------------
@each_covariance_type
def test_the_same_maximum_in_few_passes(covariance_type):
    plain = fit(covariance_type=covariance_type)
    grown = fit(covariance_type=covariance_type, growing_samples=True)
    assert grown.log_likelihood_ > plain.log_likelihood_ - 1e-6
    assert grown.converged_
    assert grown.n_iter_ <= max(6, plain.n_iter_ / 4)
    assert len(grown.lower_bounds_) == grown.n_iter_
    assert abs(grown.lower_bounds_[-1] - grown.lower_bounds_[-2]) < OPTIONS["tol"]


@each_dtype
def test_a_start_that_is_given(dtype):
    data = X.astype(dtype)
    start = fixed_start(data, K, "full")
    plain, grown = (fit(data, **start, growing_samples=grows) for grows in (False, True))
    assert grown.log_likelihood_ > plain.log_likelihood_ - 1e-5
    assert grown.n_iter_ < plain.n_iter_ / 4
    assert grown.means_.dtype == dtype


def test_the_fixed_point_is_that_of_all_rows():
    grown = fit(growing_samples=True, tol=1e-9, reg_covar=0)
    on = fit(growing_samples=False, tol=1e-9, reg_covar=0, weights_init=grown.weights_,
             means_init=grown.means_, precisions_init=grown.precisions_)  # fmt: skip
    assert on.n_iter_ <= 3
    assert_allclose(on.means_, grown.means_, atol=1e-3)


def test_weights_are_multiplicities():
    weight = np.random.default_rng(0).integers(0, 3, size=len(X)).astype(float)
    grown = fit(weight=weight, growing_samples=True)
    repeated = fit(np.repeat(X, weight.astype(int), axis=0))
    assert grown.log_likelihood_ == pytest.approx(repeated.log_likelihood_, abs=1e-4)
    assert grown.n_iter_ < repeated.n_iter_ / 2


def test_a_prior_weighs_the_same():
    prior = {"mean": [0.0, 1.0], "mean_precision": 5000, "covariance": 1000.0}
    plain, grown = (fit(prior=prior, growing_samples=grows) for grows in (False, True))
    assert grown.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-5)
    assert grown.n_iter_ <= plain.n_iter_
    assert plain.lower_bound_ < fit().lower_bound_ - 1e-2  # which is not that of the data alone


def test_the_same_random_state_the_same_fit():
    one, other = (fit(growing_samples=True, random_state=3, n_init=2) for _ in range(2))
    for name in ARRAYS:
        assert_array_equal(getattr(one, name), getattr(other, name))


def test_few_rows_are_fitted_as_ever():
    data = X[:1500]
    one, other = fit(data), fit(data, growing_samples=True)
    assert one.lower_bounds_ == other.lower_bounds_


def test_a_warm_start_goes_on_over_all_rows():
    grown = fit(growing_samples=True, warm_start=True, tol=1e-4)
    lower_bound = grown.lower_bound_
    grown.set_params(tol=1e-7).fit(X)
    assert grown.lower_bounds_[0] >= lower_bound - 1e-12
    assert np.all(np.diff(grown.lower_bounds_) > -1e-12)


def test_history_and_max_iter_are_of_all_rows():
    with pytest.warns(UserWarning, match="did not converge"):
        grown = fit(growing_samples=True, max_iter=2, fit_history=True, tol=1e-9)
    assert grown.n_iter_ == 2
    assert len(grown.fit_history_) == 3
    bounds = [ArraySource(X).log_likelihood(p) / len(X) for p in grown.fit_history_]
    assert_allclose(bounds[:2], grown.lower_bounds_)
    assert bounds[2] > bounds[1]


def test_samples_are_told_of_and_printed(capsys):
    passes = Passes()
    GaussianMixture(K, **OPTIONS, growing_samples=True)._fit(X, watchers=[passes])
    assert [sample.n_rows for sample in passes.samples] == [625, 2500]
    assert all(sample.n_all == len(X) and sample.n_iter > 0 for sample in passes.samples)
    fit(growing_samples=True, verbose=2, verbose_interval=1)
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].startswith("  Sample of 625 of 20,000 rows: ")
    assert printed[3].startswith("  Iteration 1")


def test_where_the_sample_misleads_em_goes_on_without_it(monkeypatch):
    """Momentum for far longer than a small sample can bear, and the best parameters are kept."""
    monkeypatch.setattr(growing, "LARGEST_PART", 0.04)
    monkeypatch.setattr(growing, "settled", lambda sample, m, start, *_: misled(start))
    grown = fit(growing_samples=True, tol=1e-5)
    assert grown.largest_fall_ > 1e-2
    assert grown.converged_
    assert grown.lower_bounds_[2] >= grown.lower_bounds_[0]
    assert grown.log_likelihood_ > fit(tol=1e-5).log_likelihood_ - 1e-4


def misled(parameters):
    return parameters._replace(means=parameters.means + 0.5)


@pytest.mark.parametrize("action", ["reset", "drop", "floor"])
def test_what_degenerates_over_all_rows_is_repaired(action):
    data = np.concatenate([X, np.full((100, D), 30.0)])
    start = fixed_start(data, K, "full") | {"means_init": [[-1, 0], [1, 0], [30, 30]]}
    grown = fit(data, growing_samples=True, on_degenerate=action, **start)
    assert grown.converged_
    assert grown.repairs_


@pytest.mark.parametrize(
    "options", [{"missing": "em"}, {"noise": True}, {"semi_supervised": True}], ids=str
)
def test_what_samples_do_not_know_is_refused(options):
    with pytest.raises(ValueError, match=f"growing_samples does not go with {next(iter(options))}"):
        GaussianMixture(K, growing_samples=True, **options).fit(X, np.full(len(X), -1))


def test_errors_of_measurement_are_refused():
    with pytest.raises(ValueError, match="growing_samples"):
        GaussianMixture(K, growing_samples=True).fit(X, errors=np.ones_like(X))


@pytest.mark.parametrize("weighted", [False, True])
def test_blocks_and_dask_are_fitted_as_arrays(weighted):
    da = pytest.importorskip("dask.array")
    weight = np.random.default_rng(1).uniform(0.5, 2, size=len(X)) if weighted else None
    ours, blocks, partitions = (
        GaussianMixture(K, growing_samples=True, **OPTIONS).fit(points, sample_weight=weight)
        for points in (X, np.array_split(X, 7), da.from_array(X, chunks=(6000, D)))
    )
    assert ours.n_iter_ == blocks.n_iter_ == partitions.n_iter_
    for other in (blocks, partitions):
        assert_allclose(other.means_, ours.means_, rtol=1e-10)
        assert_allclose(other.covariances_, ours.covariances_, rtol=1e-10)
