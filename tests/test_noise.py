"""Background noise: mclust's values, the uniform density itself, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
from axes import each_dtype
from numpy.testing import assert_allclose, assert_array_equal
from processes import TESTS
from scipy.special import logsumexp
from sklearn.datasets import load_iris

from fastgmm import GaussianMixture, load, plot_mixture, reference, save, select_mixture
from fastgmm.model.families import FAMILIES, arguments_of_pass
from fastgmm.model.noise import Noisy

GEYSER = np.loadtxt(TESTS / "data" / "faithful.csv", delimiter=",", skiprows=1)
WEEDS = np.random.default_rng(0).uniform([1, 40], [6, 100], size=(100, 2))
ROWS = np.concatenate([GEYSER, WEEDS])
START = np.concatenate([np.where(GEYSER[:, 0] < 3, 0, 1), np.full(100, -1)])
VOLUME = 5.0 * 60.0
each_family = pytest.mark.parametrize("name", FAMILIES)

# R 4.2.2, mclust 6.0.0: me(model, rbind(faithful, noise), z, Vinv = 1 / 300) from the partition
# above, tol 1e-14, with 100 points of noise whose coordinates are multiples of the golden ratio:
# log-likelihood, shares, mean of the first component, and minus the BIC.
LATTICE = np.array([1.0, 40.0]) + np.array([5.0, 60.0]) * np.column_stack([
    (np.arange(1, 101) * 0.6180339887498949) % 1, (np.arange(1, 101) * 0.7548776662466927) % 1,
])  # fmt: skip
MCLUST = """
EII -2070.978457805 0.0492463618 0.10686108 0.843892558 2.01889756 53.7337531 4189.30806644
VII -2068.416635981 0.0380299731 0.113822378 0.848147649 1.97811491 53.5523779 4190.10331665
EEI -1832.096536527 0.261068134 0.442425278 0.296506588 2.00404912 54.0866897 3717.46311774
VEI -1828.415526026 0.251174083 0.452962656 0.295863261 1.99505378 53.8576752 3716.01999059
EVI -1827.132633531 0.259042066 0.439317229 0.301640705 1.99730366 54.2094505 3713.4542056
VVI -1821.422308224 0.247139344 0.453751595 0.299109061 1.98537261 53.8946188 3707.95244885
EEE -1826.18020427 0.264379829 0.450425581 0.28519459 2.01486329 54.2429747 3711.54934708
EEV -1825.326075381 0.26447465 0.45160578 0.283919571 2.01027327 54.2047421 3715.75998316
VEV -1821.033397665 0.254110924 0.464972963 0.280916113 1.99874796 53.9419973 3713.09352158
VVV -1815.239458575 0.249783584 0.463978933 0.286237482 1.99095395 54.0148813 3707.42453725
"""


# --- beside mclust --------------------------------------------------------------------------
@pytest.mark.parametrize("row", MCLUST.split("\n")[1:-1], ids=lambda row: row[:3])
def test_all_is_mclusts(row):
    name, *numbers = row.split()
    log_likelihood, *numbers, bic = map(float, numbers)
    shares, mean = numbers[:3], numbers[3:]
    rows = np.concatenate([GEYSER, np.round(LATTICE, 6)])
    options = {"reg_covar": 0.0, "tol": 1e-15, "max_iter": 20_000}
    model = GaussianMixture(2, covariance_type=name, noise=VOLUME, init_params=START, **options)
    model.fit(rows)
    assert model.score(rows) * len(rows) == pytest.approx(log_likelihood, rel=1e-9)
    found = np.append((1 - model.noise_weight_) * model.weights_, model.noise_weight_)
    assert_allclose(found, shares, rtol=1e-5)
    assert_allclose(model.means_[0], mean, rtol=1e-5)
    assert model.bic(rows) == pytest.approx(bic, rel=1e-9)


# --- against the formula --------------------------------------------------------------------
@each_family
@each_dtype
def test_densities_are_of_gaussians_and_a_uniform_one(name, dtype):
    rows = ROWS.astype(dtype)
    options = {"covariance_type": name, "noise": VOLUME, "init_params": START}
    model = GaussianMixture(2, max_iter=500, **options).fit(rows)
    p = model._parameters()
    weights, *rest = arguments_of_pass(p)[:4]
    own = (
        np.log(weights)
        + reference.log_gaussian_density(rows, *rest)
        + np.log(1 - model.noise_weight_)
    )
    flat = np.full((len(rows), 1), np.log(model.noise_weight_ / VOLUME))
    joint = np.concatenate([own, flat], axis=1)
    density = logsumexp(joint, axis=1)
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    assert_allclose(model.score_samples(rows), density, rtol=tolerance, atol=tolerance)
    shares = np.exp(joint - density[:, None])
    assert_allclose(model.predict_proba(rows), shares, rtol=10 * tolerance, atol=tolerance)
    most = shares.argmax(axis=1)
    assert_array_equal(model.predict(rows), np.where(most == 2, -1, most))


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "VVE"])  # mclust's may fall
def test_the_likelihood_never_falls(name):
    options = {"covariance_type": name, "tol": 1e-8, "max_iter": 2000, "random_state": 0}
    model = GaussianMixture(3, noise=True, reg_covar=0, **options).fit(ROWS)
    assert model.largest_fall_ <= 1e-12
    assert len(model.lower_bounds_) > 5


@pytest.mark.parametrize("d", [1, 3, 20, 60])
def test_flat_is_flat_to_the_last_bits(d):
    X = np.random.default_rng(0).normal(size=(300, d)) * 1e3 + 1e5
    p = GaussianMixture(1, reg_covar=1.0).fit(X)._parameters()
    noisy = Noisy(p, 1.0, 0.0, np.array([X.min(axis=0), X.max(axis=0)]))
    assert_allclose(reference.log_density(X, *arguments_of_pass(noisy)), 0.0, atol=1e-10)


def test_weights_are_multiplicities():
    weight = np.random.default_rng(0).integers(1, 4, size=len(ROWS))
    options = {"noise": VOLUME, "tol": 1e-10, "max_iter": 1000}
    one = GaussianMixture(2, init_params=START, **options).fit(ROWS, sample_weight=weight)
    repeated = np.repeat(ROWS, weight, axis=0)
    other = GaussianMixture(2, init_params=np.repeat(START, weight), **options).fit(repeated)
    assert one.noise_weight_ == pytest.approx(other.noise_weight_, rel=1e-6)
    assert one.bic(ROWS, sample_weight=weight) == pytest.approx(other.bic(repeated), rel=1e-9)


# --- what it is for -------------------------------------------------------------------------
def test_eruptions_are_found_among_weeds():
    """With a quarter of the points noise, clusters are those of the eruptions alone."""
    alone = GaussianMixture(2, random_state=0).fit(GEYSER)
    noisy = GaussianMixture(2, noise=True, random_state=0).fit(ROWS)
    plain = GaussianMixture(2, random_state=0).fit(ROWS)

    def apart(model):
        order = np.argsort(model.means_[:, 0])
        own = model.covariances_[order] / alone.covariances_[np.argsort(alone.means_[:, 0])]
        return np.abs(np.log(own[:, [0, 1], [0, 1]])).max()

    assert noisy.noise_weight_ == pytest.approx(100 / 372, abs=0.06)
    assert apart(noisy) < 0.5
    assert apart(plain) > 2 * apart(noisy)
    assert np.mean(noisy.predict(WEEDS) == -1) > 0.8
    assert np.mean(noisy.predict(GEYSER) == -1) < 0.1


def test_samples_are_of_both():
    model = GaussianMixture(2, noise=True, random_state=0).fit(ROWS)
    X, components = model.sample(4000, random_state=0)
    assert np.mean(components == -1) == pytest.approx(model.noise_weight_, abs=0.03)
    noise = X[components == -1]
    assert np.all((noise >= ROWS.min(axis=0)) & (noise <= ROWS.max(axis=0)))
    assert model.score(X) == pytest.approx(model.score(ROWS), abs=0.1)


def test_saved_warm_and_asked(tmp_path):
    model = GaussianMixture(2, noise=True, random_state=0, warm_start=True).fit(ROWS)
    save(model, tmp_path / "model.npz")
    copy = load(tmp_path / "model.npz")
    assert_array_equal(copy.predict(ROWS), model.predict(ROWS))
    assert copy.noise_weight_ == model.noise_weight_
    assert model.icl(ROWS) > model.bic(ROWS)
    before = model.noise_weight_
    model.fit(ROWS)
    assert model.n_iter_ <= 2
    assert model.noise_weight_ == pytest.approx(before, rel=1e-2)
    marginal = model.marginal([0])
    assert not hasattr(marginal, "noise_weight_")
    save(marginal, tmp_path / "marginal.npz")
    with pytest.raises(ValueError, match="scikit-learn has no noise component"):
        model.to_sklearn()
    plot_mixture(model, ROWS)


@pytest.mark.parametrize("options", [
    {"prior": "conjugate"}, {"shrinkage": "oas"}, {"fit_history": True}, {"n_init": 3},
    {"init_params": "random_means"}, {"init_params": "hierarchical"}, {"freeze": "weights"},
    {"max_iter": 0},
])  # fmt: skip
def test_with_other_arguments(options):
    options = {"max_iter": 500, "random_state": 0, **options}
    model = GaussianMixture(2, noise=True, **options).fit(ROWS)
    assert 0 < model.noise_weight_ < 1
    assert model.predict_proba(ROWS).shape == (372, 3)


def test_a_start_that_is_given():
    values = {"weights_init": [0.5, 0.5], "means_init": [[2.0, 55.0], [4.3, 80.0]]}
    values["precisions_init"] = np.stack([np.diag([4.0, 0.03])] * 2)
    model = GaussianMixture(2, noise=True, **values).fit(ROWS)
    assert model.noise_weight_ == pytest.approx(100 / 372, abs=0.06)


def test_many_rows():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(20_000, 2)), rng.uniform(-20, 20, size=(10_000, 2))])
    model = GaussianMixture(1, noise=True, random_state=0).fit(X)
    assert model.noise_weight_ == pytest.approx(1 / 3, abs=0.01)
    assert_allclose(model.covariances_[0], np.eye(2), atol=0.05)


def test_noise_does_not_outlive_its_fit(tmp_path):
    model = GaussianMixture(2, noise=True, random_state=0).fit(ROWS)
    model.set_params(noise=False)
    save(model, tmp_path / "model.npz")  # by what was fitted
    assert load(tmp_path / "model.npz").score(ROWS) == model.score(ROWS)
    model.fit(ROWS)
    assert not hasattr(model, "noise_weight_")
    assert_array_equal(model.means_, GaussianMixture(2, random_state=0).fit(ROWS).means_)
    model.set_params(noise=True)
    save(model, tmp_path / "model.npz")


@pytest.mark.parametrize("before", [False, True])
def test_a_warm_start_may_gain_and_lose_noise(before):
    model = GaussianMixture(2, noise=before, warm_start=True, random_state=0).fit(ROWS)
    model.set_params(noise=not before, max_iter=1000).fit(ROWS)
    assert model.means_.shape == (2, 2)
    assert hasattr(model, "noise_weight_") == (not before)


@pytest.mark.parametrize("init_params", ["kmeans", "random_means", "hierarchical"])
def test_no_start_is_all_noise(init_params):
    options = {"init_params": init_params, "random_state": 0, "max_iter": 1000}
    model = GaussianMixture(2, noise=True, **options).fit(ROWS)
    assert model.noise_weight_ == pytest.approx(100 / 372, abs=0.1)


def test_a_prior_is_in_the_bound():
    prior = {"mean_precision": 50.0, "degrees_of_freedom": 100.0}
    options = {"prior": prior, "tol": 1e-9, "max_iter": 1000, "random_state": 0, "reg_covar": 0}
    model = GaussianMixture(2, noise=True, **options).fit(ROWS)
    assert model.largest_fall_ <= 1e-12
    assert model.lower_bound_ != pytest.approx(model.log_likelihood_, abs=1e-3)


def test_the_box_is_of_rows_that_have_weight():
    rows = np.concatenate([ROWS, [[1e3, 1e3]]])
    weight = np.append(np.ones(len(ROWS)), 0.0)
    model = GaussianMixture(2, noise=np.True_, random_state=0).fit(rows, sample_weight=weight)
    other = GaussianMixture(2, noise=True, random_state=0).fit(ROWS)
    assert model.noise_weight_ == pytest.approx(other.noise_weight_, rel=1e-6)


def test_outliers_and_entropy_are_of_the_components():
    model = GaussianMixture(2, noise=True, random_state=0).fit(ROWS)
    alone = model.marginal([0, 1])
    X = alone.sample(20_000, random_state=0)[0]
    assert np.mean(model.outlier_score(X, 0.9, random_state=1) > 0) == pytest.approx(0.1, abs=0.01)
    assert model.entropy(random_state=0) == pytest.approx(alone.entropy(random_state=0))
    assert model.kl_divergence(alone, random_state=0) == pytest.approx(0, abs=1e-12)
    assert "are noise" in model._repr_html_()


# --- bad input ------------------------------------------------------------------------------
@pytest.mark.parametrize("noise", [0.0, -1.0, "box", None])
def test_volumes_that_are_none(noise):
    if noise == 0.0:  # the same as False
        assert not hasattr(GaussianMixture(2, noise=False).fit(ROWS), "noise_weight_")
    with pytest.raises(ValueError, match="The 'noise' parameter of GaussianMixture must be"):
        GaussianMixture(2, noise=noise).fit(ROWS)


def test_a_box_without_volume():
    rows = np.column_stack([ROWS, np.ones(len(ROWS))])
    model = GaussianMixture(2, noise=True)
    with pytest.raises(ValueError, match=r"Feature\(s\) 2 of X are constant.*give a volume"):
        model.fit(rows)
    assert not hasattr(model, "means_")


@pytest.mark.parametrize("other", [
    {"missing": "em"}, {"semi_supervised": True}, {"on_degenerate": "drop"},
])  # fmt: skip
def test_what_does_not_go_together_yet(other):
    with pytest.raises(ValueError, match=r"noise does not go with .* yet; leave one out"):
        GaussianMixture(2, noise=True, **other).fit(ROWS, np.zeros(len(ROWS), int))


@pytest.mark.parametrize("init_params", ["k-means++", "random_from_data"])
def test_starts_without_extent(init_params):
    with pytest.raises(ValueError, match="all else would be noise; use 'kmeans'"):
        GaussianMixture(2, noise=True, init_params=init_params).fit(ROWS)


def test_a_start_that_is_noise_alone():
    with pytest.raises(ValueError, match="All of init_params is noise"):
        GaussianMixture(2, noise=True, init_params=np.full(len(ROWS), -1)).fit(ROWS)


def test_labels_of_noise_need_it():
    with pytest.raises(ValueError, match="labels of init_params go from -1"):
        GaussianMixture(2, init_params=START).fit(ROWS)


def test_a_selection_does_not_know_it():
    with pytest.raises(ValueError, match="neither noise nor known labels nor frozen"):
        select_mixture(load_iris().data, [1, 2], noise=True)
