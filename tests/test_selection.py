"""Selection: the table against single fits, what each criterion chooses, and what is refused."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import fowlkes_mallows_score
from sklearn.mixture import GaussianMixture as Peer

from fastgmm import GaussianMixture, select_mixture
from fastgmm._records import CRITERIA, Criterion
from fastgmm.em.clusters import Clusters
from fastgmm.em.results import EMResult, Iteration, Status
from fastgmm.selection.cells import Fits, Hopeless, split
from fastgmm.selection.stability import agreement, stabilities
from fastgmm.selection.workers import Workers

each_criterion = pytest.mark.parametrize("criterion", CRITERIA)


@pytest.fixture(scope="module")
def X():
    """Three round clusters, far apart."""
    rng = np.random.default_rng(0)
    means = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    return means[rng.integers(3, size=300)] + rng.normal(size=(300, 2))


# --- agreement ------------------------------------------------------------------------------
@pytest.mark.parametrize("sizes", [(1, 1), (1, 3), (4, 2), (5, 6)])
def test_agreement_is_that_of_scikit_learn(sizes):
    rng = np.random.default_rng(sum(sizes))
    a, b = (rng.integers(K, size=100) for K in sizes)
    assert agreement(a, b) == pytest.approx(fowlkes_mallows_score(a, b), rel=1e-12)
    assert agreement(a, a) == pytest.approx(1)


def test_labels_without_pairs_agree_in_nothing():
    assert agreement(np.arange(4), np.arange(4)) == 0


def test_a_fit_is_not_compared_with_those_of_its_own_number():
    one, two = np.zeros(4, int), np.array([0, 0, 1, 1])
    same = stabilities([[one, one], [two, two], []])
    assert same[0] == same[1] == pytest.approx(agreement(one, two))
    assert np.isnan(same[2])
    apart = stabilities([[one, two], [two, one]])  # each agrees with the one it is not paired with
    assert apart == pytest.approx([1.0, 1.0])


# --- cells ----------------------------------------------------------------------------------
def test_the_widest_component_is_split_across_its_longest_axis(X):
    stretched = np.concatenate([X[:100] * 0.01, X[:100] * [0.01, 3.0] + 50])
    model = GaussianMixture(2, random_state=0).fit(stretched)
    labels = split(model, stretched)
    before = model.predict(stretched)
    assert sorted(np.unique(labels)) == [0, 1, 2]
    changed = labels != before
    assert np.all(changed[:100] == changed[0]) or not changed[:100].any()
    low, high = stretched[100:][~changed[100:], 1], stretched[100:][changed[100:], 1]
    assert low.max() < high.min() or high.max() < low.min()


def test_equal_clusters_under_other_numbers_are_one_start():
    labellings = [np.array(labels) for labels in ([0, 0, 1, 2], [2, 2, 0, 1], [0, 1, 1, 2])]
    kept = dict.fromkeys(Clusters(labels, 3) for labels in labellings)
    assert [list(start.labels) for start in kept] == [[0, 0, 1, 2], [0, 1, 1, 2]]
    assert Clusters(labellings[0], 3) != "clusters"


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_all_covariance_types_start_from_the_moments_of_one(X, kind, weighted):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=len(X))
    labels[labels == 1] = 2  # none has it
    rows = X, rng.uniform(size=len(X)) if weighted else None
    alone, shared = Clusters(labels, 3), Clusters(labels, 3)
    shared.moments(rows, "full")
    for own, derived in zip(alone.moments(rows, kind), shared.moments(rows, kind), strict=True):
        np.testing.assert_allclose(derived, own, rtol=1e-12, atol=1e-12)


def test_the_best_of_several_starts_is_that_of_single_fits(X):
    crowded = X * 0.3  # so that starts end in different places
    fits = Fits(crowded, None, 5, 0, {})
    best = fits.best(4, "full")
    single = max((m for m, _ in fits.labels_of_each(4, "full")), key=lambda m: m.lower_bound_)
    assert best.lower_bound_ == pytest.approx(single.lower_bound_, rel=1e-12)
    assert (best.n_init, best.init_params, best.init_size) == (5, "kmeans", 20_000)
    best.fit(crowded)  # an estimator like any other
    pickle.dumps(best)


@pytest.mark.parametrize("criterion", ["bic", "aic", "icl"])
def test_the_table_has_the_figures_of_the_models(X, criterion):
    selection = select_mixture(X, [1, 3], ["full", "diag"], criterion, random_state=0)
    table, model = selection.table, selection.best_model_
    assert table.covariance_type.tolist() == ["full", "full", "diag", "diag"]
    assert table.n_components.tolist() == [1, 3, 1, 3]
    row = table[np.argmin(table.value)]
    assert row.value == pytest.approx(getattr(model, criterion)(X), rel=1e-12)
    assert row.log_likelihood == pytest.approx(model.score(X), rel=1e-12)
    assert row.n_parameters == model._n_parameters()
    assert (row.n_components, row.covariance_type) == (
        selection.best_n_components_,
        selection.best_covariance_type_,
    )
    one = GaussianMixture(1, covariance_type="diag").fit(X)
    assert table[2].value == pytest.approx(getattr(one, criterion)(X), rel=1e-12)


@each_criterion
def test_clusters_far_apart_are_counted(X, criterion):
    selection = select_mixture(
        X, range(2, 6), ["full", "spherical"], criterion, random_state=0, n_init=3
    )
    # AIC takes more, as it is known to, and two of three clusters are joined in different ways.
    if criterion not in ("aic", "stability"):
        assert selection.best_n_components_ == 3
    assert selection.best_model_.n_features_in_ == 2
    assert len(selection.best_model_.predict(X)) == len(X)
    assert np.all(np.isfinite(selection.table.value))
    assert np.all(selection.table.failure == "")


@each_criterion
def test_the_same_seed_selects_the_same(X, criterion):
    a, b = (
        select_mixture(X, [2, 3], ["diag"], criterion, random_state=5, n_init=2) for _ in range(2)
    )
    np.testing.assert_array_equal(a.table.value, b.table.value)
    np.testing.assert_array_equal(a.best_model_.means_, b.best_model_.means_)


def test_stability_is_the_mean_agreement_with_both_neighbours(X):
    selection = select_mixture(X, [2, 3], ["diag"], "stability", random_state=5, n_init=3)
    fits = Fits(X, None, 3, 5, {})
    labels = {K: [own for _, own in fits.labels_of_each(K, "diag")] for K in range(1, 5)}
    between = [
        np.mean([
            fowlkes_mallows_score(labels[K][i], labels[K + 1][j])
            for i, j in itertools.permutations(range(3), 2)
        ])
        for K in (1, 2, 3)
    ]  # fmt: skip
    expected = [np.mean(between[:2]), np.mean(between[1:])]
    np.testing.assert_allclose(selection.table.value, expected, rtol=1e-12)


def test_held_out_values_are_means_over_all_rows(X):
    selection = select_mixture(X, [1], ["full"], "held-out", random_state=0)
    # Every point is judged by a fit without it, so a little worse than by one with it.
    assert 0 < selection.best_model_.score(X) - selection.table.value[0] < 0.1


def test_a_split_finds_what_a_start_does_not():
    rng = np.random.default_rng(0)
    means = np.array([[0.0, 0], [0, 1.5], [40, 0], [41.5, 0], [80, 80]])
    X = means[rng.integers(5, size=500)] + 0.2 * rng.normal(size=(500, 2))
    selection = select_mixture(X, range(1, 6), ["spherical"], random_state=0)
    alone = [GaussianMixture(K, covariance_type="spherical", random_state=0).fit(X)
             for K in range(1, 6)]  # fmt: skip
    assert np.all(selection.table.log_likelihood >= [m.score(X) - 1e-3 for m in alone])
    assert selection.best_n_components_ == 5


@pytest.mark.parametrize("criterion", ["bic", "aic"])
def test_no_cell_is_worse_than_scikit_learns(X, criterion):
    crowded = X * 0.3
    options = {"n_init": 4, "random_state": 3}
    selection = select_mixture(crowded, range(1, 6), criterion=criterion, **options)
    for row in selection.table:
        peer = Peer(row.n_components, covariance_type=row.covariance_type, **options).fit(crowded)
        assert row.value <= getattr(peer, criterion)(crowded) + 1e-6 * len(crowded)


def test_weights_are_multiplicities(X):
    weight = np.random.default_rng(1).integers(0, 3, size=len(X)).astype(float)
    selection = select_mixture(X, [1, 2], ["tied"], random_state=0, sample_weight=weight)
    repeated = np.repeat(X, weight.astype(int), axis=0)
    assert selection.table.value[0] == pytest.approx(
        GaussianMixture(1, covariance_type="tied").fit(repeated).bic(repeated), rel=1e-9
    )
    held_out = select_mixture(X, [1], ["tied"], "held-out", random_state=0, sample_weight=weight)
    assert np.isfinite(held_out.table.value[0])


def test_many_rows_start_by_themselves(X, monkeypatch):
    monkeypatch.setattr("fastgmm.selection.cells.MOST_ROWS_SHARED", 100)
    selection = select_mixture(X, [3], ["full"], random_state=0)
    assert selection.best_model_.converged_


def test_arguments_reach_the_mixture(X):
    selection = select_mixture(X, [2], ["full"], random_state=0, tol=1e-7, max_iter=500)
    assert (selection.best_model_.tol, selection.best_model_.max_iter) == (1e-7, 500)
    own = select_mixture(X, [2], ["full"], random_state=0, init_params="random_from_data")
    assert own.best_model_.init_params == "random_from_data"
    with pytest.raises(TypeError, match="tolerance"):
        select_mixture(X, tolerance=1)


# --- what fails, and what is told -----------------------------------------------------------
@each_criterion
def test_a_cell_that_fails_leaves_the_others(criterion):
    X = np.repeat(np.arange(3.0), 10)[:, None]  # four components cannot all have a variance
    selection = select_mixture(
        X, [1, 2, 31], ["full"], criterion, random_state=0, n_init=2, reg_covar=1e-3
    )
    failed = selection.table[2]
    assert np.isnan(failed.value)
    assert failed.failure
    assert selection.best_n_components_ < 31
    assert np.isfinite(selection.table.value[:2]).all()


def test_components_that_have_collapsed_are_counted():
    X = np.concatenate([np.zeros((20, 1)), np.random.default_rng(0).normal(9, 1, size=(60, 1))])
    selection = select_mixture(X, [1, 2], ["full"], random_state=0)
    assert selection.table.n_degenerate.tolist() == [0, 1]


@each_criterion
def test_where_all_fail_the_reason_is_told(criterion):
    with pytest.raises(ValueError, match=r"no value of .*40 components need as many rows"):
        select_mixture(np.eye(3), [40], ["full"], criterion, random_state=0, n_init=2)


def test_a_best_model_that_has_not_converged_is_told(X):
    with pytest.warns(UserWarning, match="increase max_iter"):
        select_mixture(X, [3], ["full"], random_state=0, max_iter=1)


def test_frames_and_pictures(X):
    pd = pytest.importorskip("pandas", reason="frames are of pandas")
    pytest.importorskip("matplotlib", reason="pictures are of matplotlib")
    frame = pd.DataFrame(X, columns=["a", "b"])
    selection = select_mixture(frame, range(1, 4), ["full", "diag"], "held-out", random_state=0)
    assert list(selection.best_model_.feature_names_in_) == ["a", "b"]
    selection.best_model_.predict(frame)
    table = selection.to_frame()
    assert table.shape == (6, 10)
    assert set(table["covariance_type"]) == {"full", "diag"}
    ax = selection.plot()
    assert ax.get_ylabel() == "- held-out"
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(drawn["diag"], -selection.table.value[3:])


def test_a_pipe_sees_no_progress(X, capsys):
    select_mixture(X, [1, 2], ["diag"], random_state=0, verbose=1)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_progress(X, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    select_mixture(X, [1, 2], ["diag"], random_state=0, verbose=1)
    assert "selecting" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": []}, r"one or more numbers from 1 on.*got \[\]"),
        ({"n_components": range(3, 3)}, "one or more numbers from 1 on"),
        ({"n_components": [0, 1]}, "one or more numbers from 1 on"),
        ({"n_components": [2.5]}, "one or more numbers from 1 on"),
        ({"covariance_types": []}, "covariance_types is empty"),
        ({"covariance_types": ["round"]}, "covariance_type should be one of"),
        ({"criterion": "BIC"}, "criterion should be one of bic, aic"),
        ({"n_init": 0}, "n_init should be 1 or more"),
        ({"criterion": "stability", "n_init": 1}, "n_init should be 2 or more"),
        ({"X": np.zeros((0, 2))}, "0 sample"),
        ({"X": [[np.nan, 1.0], [0.0, 1.0]]}, "NaN"),
    ],
)
def test_bad_input_is_told_before_any_work(arguments, message, monkeypatch):
    monkeypatch.setattr(GaussianMixture, "fit", None)  # nothing is fitted
    with pytest.raises(ValueError, match=message):
        select_mixture(**{"X": np.eye(4), **arguments})


def test_one_number_and_one_type_need_no_list(X):
    criterion: Criterion = "bic"
    selection = select_mixture(X, 2, "diag", criterion, random_state=0)
    assert selection.table.n_components.tolist() == [2]


# --- side by side ---------------------------------------------------------------------------
@pytest.fixture
def many_rows(monkeypatch):
    """Have few rows taken for many."""
    for module in ("cells", "select"):
        monkeypatch.setattr(f"fastgmm.selection.{module}.MOST_ROWS_SHARED", 100)


@each_criterion
def test_fits_side_by_side_are_those_in_turn(X, criterion, many_rows, monkeypatch):
    def selected():
        return select_mixture(X, [2, 3], ["full", "diag"], criterion, random_state=0, n_init=3)

    together = selected()
    monkeypatch.setattr("fastgmm.selection.workers.n_threads", lambda: 1)
    in_turn = selected()
    np.testing.assert_array_equal(together.table.value, in_turn.table.value)
    np.testing.assert_array_equal(together.best_model_.means_, in_turn.best_model_.means_)
    assert together.best_model_.n_jobs is None


@pytest.mark.parametrize(
    ("threads", "n_jobs", "n_tasks", "expected"),
    [
        (2, None, 4, (2, 1)),
        (16, None, 4, (4, 4)),
        (16, 3, 10, (3, 1)),
        (16, None, 1, (1, None)),
        (1, None, 4, (1, None)),
        (16, 1, 4, (1, 1)),
    ],
)
def test_threads_are_shared_among_fits(threads, n_jobs, n_tasks, expected, monkeypatch):
    monkeypatch.setattr("fastgmm.selection.workers.n_threads", lambda: threads)
    monkeypatch.setattr("fastgmm.selection.workers.max_threads", lambda: threads)
    workers = Workers(n_jobs, n_tasks)
    assert (workers.number, workers.n_jobs) == expected


def test_an_interruption_ends_all_fits(monkeypatch):
    monkeypatch.setattr("fastgmm.selection.workers.n_threads", lambda: 2)
    workers, begun = Workers(None, 4), []

    def fit(number):
        begun.append(number)
        if number == 0:
            raise KeyboardInterrupt
        while True:  # as long as somebody waits
            workers.iteration_ends(None)

    with pytest.raises(KeyboardInterrupt):
        workers.map(fit, range(4))
    assert set(begun) < {0, 1, 2, 3}


def test_a_hopeless_start_is_given_up(X):
    hopeless = Hopeless(max_iter=10)
    iteration = Iteration(3, -5.0, 0.1, None)
    assert not hopeless.iteration_ends(iteration)  # the first has nothing to be compared with
    hopeless.run_ends(EMResult(None, Status.CONVERGED, [-4.0]))
    assert hopeless.iteration_ends(iteration)  # 7 more such rises end at -4.3
    assert not hopeless.iteration_ends(iteration._replace(change=0.2))
    assert not hopeless.iteration_ends(iteration._replace(n_iter=2))


# --- what has gone wrong before --------------------------------------------------------------
def test_a_collapsed_mixture_is_not_chosen():
    petals = load_iris().data[:, 2:]  # six of them are equal
    selection = select_mixture(petals, range(3, 7), ["diag"], n_init=10, random_state=0)
    lowest = selection.table[np.argmin(selection.table.value)]
    assert lowest.n_degenerate > 0  # a density without bound
    assert len(selection.best_model_.degenerate_components_) == 0


def test_if_all_have_collapsed_it_is_said():
    X = np.random.default_rng(0).normal(size=(6, 2))
    with pytest.warns(UserWarning, match="Every mixture has a degenerate component"):
        selection = select_mixture(X, [5, 6], ["full"], random_state=0)
    assert np.all(selection.table.n_degenerate > 0)


def test_a_start_that_fails_leaves_the_others(X, monkeypatch):
    """The split of the smaller model leads to a covariance that is not positive definite."""
    collapsing = np.zeros(len(X), int)
    collapsing[0] = 1
    monkeypatch.setattr("fastgmm.selection.cells.split", lambda model, rows: collapsing)
    options = {"init_params": "k-means++", "reg_covar": 0.0, "tol": 1e-2}
    selection = select_mixture(X, [1, 2], ["full"], random_state=1, n_init=3, **options)
    assert np.all(selection.table.failure == "")


@pytest.mark.filterwarnings("ignore:.*not converge.*:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "option", [{"init_whiten": True}, {"init_size": 40}, {"init_params": "random"}]
)
def test_starts_are_as_they_are_asked_for(X, option):
    stretched = X * [1.0, 1000.0]
    options = {"random_state": 0, "max_iter": 0, **option}
    expected = GaussianMixture(3, **options).fit(stretched)
    selection = select_mixture(stretched, [3], ["full"], **options)
    np.testing.assert_allclose(selection.best_model_.means_, expected.means_, rtol=1e-12)


@pytest.mark.parametrize("criterion", ["bic", "aic", "icl"])
def test_criteria_are_of_the_weights_as_given(X, criterion):
    weight, points = np.full(len(X), 1e10), X.astype(np.float32)
    selection = select_mixture(points, [3], ["diag"], criterion, sample_weight=weight)
    expected = getattr(selection.best_model_, criterion)(points, weight)
    assert selection.table.value[0] == pytest.approx(expected, rel=1e-6)


def test_an_interruption_ends_the_selection(X, monkeypatch):
    fit, calls = GaussianMixture._fit, []

    def interrupted(self, *arguments, **options):
        calls.append(self.n_components)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(self, *arguments, **options)

    monkeypatch.setattr(GaussianMixture, "_fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        select_mixture(X, range(1, 6), ["full"], keep_on_interrupt=True)
    assert len(calls) == 2


def test_the_model_has_the_arguments_of_the_user(X):
    model = select_mixture(X, [2], ["full"], keep_on_interrupt=True, n_jobs=1).best_model_
    assert (model.random_state, model.keep_on_interrupt, model.n_jobs) == (None, True, 1)
    assert not np.array_equal(model.sample(3)[0], model.sample(3)[0])


@pytest.mark.filterwarnings("ignore:.*not converge.*:sklearn.exceptions.ConvergenceWarning")
def test_starting_values_do_not_change_from_cell_to_cell(X):
    options = {"means_init": X[:2], "reg_covar": 5.0, "max_iter": 0, "random_state": 0}
    together = select_mixture(X, [2], ["full", "diag"], **options)
    alone = select_mixture(X, [2], ["diag"], **options)
    assert together.table.value[1] == pytest.approx(alone.table.value[0], rel=1e-12)


def test_many_features_are_split_soon():
    X = np.random.default_rng(0).normal(size=(60, 3000))
    labels = split(GaussianMixture(1, covariance_type="diag").fit(X), X)
    assert 20 < np.sum(labels == 1) < 40


@pytest.mark.parametrize("scale", [1e-15, 1e17])
def test_splits_of_any_scale(X, scale):
    model = GaussianMixture(1, covariance_type="diag", reg_covar=0.0)
    points = (X * scale).astype(np.float32)
    expected = split(model.fit(X.astype(np.float32)), X.astype(np.float32))
    np.testing.assert_array_equal(split(model.fit(points), points), expected)


def test_a_selection_in_words(X):
    selection = select_mixture(X, [1, 2], ["full"])
    assert repr(selection) == "<Selection by bic: 2 components, full; 2 tried>"
    assert selection != select_mixture(X, [1, 2], ["full"])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"covariance_type": "full"}, TypeError, "say by covariance_types which are tried"),
        ({"init_params": np.zeros(300, int)}, ValueError, "name of a method, or a function"),
        ({"criterion": "held-out", "sample_weight": np.eye(300)[0]}, ValueError, "3 or more rows"),
    ],
)
def test_what_a_selection_cannot_do(X, arguments, error, match):
    with pytest.raises(error, match=match):
        select_mixture(X, [1], **arguments)
