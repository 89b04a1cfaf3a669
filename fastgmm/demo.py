"""The main job, built in: the colours of a photograph as a mixture, beside scikit-learn's.

Both libraries fit the same pixels from the same start, so they take the same steps, and what is
left to compare is the time. `compute` does the work and returns a record; the rest shows it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from sklearn.mixture._gaussian_mixture import GaussianMixture as PeerMixture

from fastgmm._records import FloatArray
from fastgmm.benchmarking.timing import duration, fitted, largest_difference, timed
from fastgmm.mixture import GaussianMixture
from fastgmm.photographs import PHOTOGRAPH, load_photograph, read_photograph, thinned
from fastgmm.plotting import plot_segmentation, require_matplotlib
from fastgmm.system.files import atomic_write, check_writable
from fastgmm.system.terminal import Terminal, key_values, plain_table, progress_bar

__all__ = ["DemoResult", "Run", "comparison", "compute", "results_table", "show"]

FOOTNOTE = "* largest max|a - b| / max|b| of weights, means, covariances"


@dataclass(frozen=True, slots=True)
class Run:
    """One library's fit, timed without compilation; its log-likelihood is per pixel."""

    library: str
    seconds: float
    n_iter: int
    converged: bool
    mean_log_likelihood: float
    weights: FloatArray
    means: FloatArray
    covariances: FloatArray

    @property
    def seconds_per_iteration(self) -> float:
        """Seconds of one iteration of EM."""
        return self.seconds / max(self.n_iter, 1)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo found."""

    image: FloatArray  # (height, width, 3), from 0 to 1
    labels: np.ndarray  # (height, width): the most probable component of each pixel
    # Of a first fit, of one iteration: it compiles, or loads what another process compiled.
    compile_seconds: float
    ours: Run
    peer: Run | None  # scikit-learn's, unless it was skipped

    @property
    def parameter_difference(self) -> float:
        """Largest of max |a - b| / max |b| over the weights, the means and the covariances."""
        ours, peer = (
            (run.weights, run.means, run.covariances) for run in (self.ours, self._present_peer())
        )
        return largest_difference(ours, peer)

    @property
    def log_likelihood_difference(self) -> float:
        """Difference of the mean log-likelihoods, without its sign."""
        return abs(self.ours.mean_log_likelihood - self._present_peer().mean_log_likelihood)

    @property
    def speedup(self) -> float:
        """How many times faster than scikit-learn the whole fit was."""
        return self._present_peer().seconds / self.ours.seconds

    @property
    def speedup_per_iteration(self) -> float:
        """How many times faster than scikit-learn an iteration was."""
        return self._present_peer().seconds_per_iteration / self.ours.seconds_per_iteration

    def _present_peer(self) -> Run:
        if self.peer is None:
            raise ValueError("scikit-learn was skipped, so there is nothing to compare with.")
        return self.peer


# --- computing ------------------------------------------------------------------------------
def compute(
    image: FloatArray,
    *,
    n_components: int = 16,
    max_iter: int = 100,
    seed: int = 0,
    with_peer: bool = True,
    on_stage: Callable[[str], object] = lambda stage: None,
    on_ours: Callable[[Run], object] = lambda run: None,
) -> DemoResult:
    """Fit the pixels (height, width, 3) with both libraries from one start, and measure.

    The start is k-means on a random subset of the pixels; everything else is as scikit-learn has it
    by default. `on_stage` is told in a few words what comes next, `on_ours` of fastgmm's fit before
    scikit-learn's begins.
    """
    X = np.ascontiguousarray(image.reshape(-1, image.shape[-1]))
    on_stage("compiling, or loading what is compiled")
    first = GaussianMixture(n_components, max_iter=1, random_state=seed)
    _, compile_seconds = timed(partial(fitted, first, X))
    on_stage("finding a start with k-means on a subset of the pixels")
    options = {"max_iter": max_iter, **options_of_start(X, n_components, seed)}
    on_stage("fitting with fastgmm")
    model = GaussianMixture(**options)
    ours = run_of("fastgmm", model, X)
    on_ours(ours)
    peer = None
    if with_peer:
        on_stage("fitting with scikit-learn")
        peer = run_of("scikit-learn", PeerMixture(**options), X)
    labels = model.predict(X).reshape(image.shape[:2])
    return DemoResult(image, labels, compile_seconds, ours, peer)


def options_of_start(X: FloatArray, n_components: int, seed: int) -> dict[str, Any]:
    """Options of either library's mixture, such that both start from the same parameters."""
    start = GaussianMixture(n_components, max_iter=0, random_state=seed).fit(X)
    return {
        "n_components": n_components,
        "weights_init": start.weights_,
        "means_init": start.means_,
        "precisions_init": start.precisions_,
    }


def run_of(library: str, model: Any, X: FloatArray) -> Run:
    """Fit a model of either library, and record what came of it."""
    _, seconds = timed(partial(fitted, model, X))
    return Run(
        library,
        seconds,
        model.n_iter_,
        model.converged_,
        float(model.score(X)),
        model.weights_,
        model.means_,
        model.covariances_,
    )


# --- showing --------------------------------------------------------------------------------
def headline(image: FloatArray, n_components: int, name: str) -> str:
    """What is fitted, on two short lines."""
    height, width, channels = image.shape
    return (
        f"{height * width:,} pixels of {name} × {channels} colours, {image.dtype}\n"
        f"{n_components} components with full covariances"
    )


def results_table(result: DemoResult) -> Table:
    """The figures of both libraries side by side."""
    table = plain_table()
    table.add_column("")
    table.add_column("fastgmm", justify="right", style="bold")
    runs = [result.ours]
    if result.peer is not None:
        table.add_column(result.peer.library, justify="right")
        runs.append(result.peer)
    table.add_row("compilation", duration(result.compile_seconds), *["none"][: len(runs) - 1])
    table.add_row("fit", *[duration(run.seconds) for run in runs])
    table.add_row("iterations", *map(iterations, runs))
    table.add_row("fit, per iteration", *[duration(run.seconds_per_iteration) for run in runs])
    table.add_row("mean log-likelihood", *[f"{run.mean_log_likelihood:.10f}" for run in runs])
    return table


def comparison(result: DemoResult) -> str:
    """How the two libraries compare, on short lines."""
    faster = times_faster(result.speedup)
    if result.ours.n_iter == result._present_peer().n_iter:
        first = f"fastgmm is {faster} for the same {result.ours.n_iter} iterations."
    else:
        each = times_faster(result.speedup_per_iteration)
        first = f"fastgmm is {faster}.\nIts iterations are {each}, but not as many."
    return (
        f"{first}\n"
        f"Log-likelihoods are {result.log_likelihood_difference:.1e} apart, "
        f"parameters {result.parameter_difference:.1e} *.\n"
        f"{FOOTNOTE}"
    )


def times_faster(ratio: float) -> str:
    """The ratio of two durations in words."""
    return f"{ratio:.1f} times faster" if ratio >= 1 else f"{1 / ratio:.1f} times slower"


def iterations(run: Run) -> str:
    """Number of iterations, and whether they were enough."""
    return f"{run.n_iter}" if run.converged else f"{run.n_iter}, not converged"


def show(
    out: str | os.PathLike[str] = "fastgmm-demo.png",
    *,
    image: str | os.PathLike[str] | None = None,
    every: int | None = None,
    n_components: int = 16,
    max_iter: int = 100,
    seed: int = 0,
    with_peer: bool = True,
) -> DemoResult:
    """Run the demo, print its table, and write its picture to `out`.

    `image` is the user's own photograph, of which every so many rows and columns are used.
    """
    require_matplotlib()  # before the work rather than after it
    check_writable(out)
    picture_format = check_picture_format(out)
    name = PHOTOGRAPH if image is None else Path(image).name
    pixels = load_photograph() if image is None else read_photograph(image)
    pixels = thinned(pixels, every, n_components, name)
    console = Terminal()
    result = fit_in_sight(
        pixels, name, console,
        n_components=n_components, max_iter=max_iter, seed=seed, with_peer=with_peer,
    )  # fmt: skip
    title = picture_title(result)
    figure = plot_segmentation(pixels, result.labels, result.ours.means, title=title)
    with atomic_write(out) as stream:
        figure.savefig(stream, format=picture_format)
    console.show(results_table(result))
    if with_peer:
        console.show(comparison(result))
    console.show(key_values({"Picture:": os.fspath(out)}, gap=1))
    return result


def fit_in_sight(
    pixels: FloatArray, name: str, console: Terminal, *, n_components: int, with_peer: bool,
    **options: int,
) -> DemoResult:  # fmt: skip
    """Run `compute` with a clock beside it, if a terminal is watching."""
    watched = sys.stderr.isatty()
    bar = progress_bar()
    task = bar.add_task("starting", total=None, state="")

    def tell(ours: Run) -> None:
        """Say at once what is known, while the other library takes its time."""
        if watched:
            bar.stop()
        console.show(headline(pixels, n_components, name))
        console.show(f"fastgmm: {ours.n_iter} iterations in {duration(ours.seconds)}")
        if with_peer and not (watched and console.is_terminal):
            console.show("scikit-learn: the same fit goes on, which may take minutes")
        if watched:
            bar.start()

    with bar if watched else contextlib.nullcontext():
        return compute(
            pixels,
            n_components=n_components,
            with_peer=with_peer,
            on_stage=lambda stage: bar.reset(task, description=stage),
            on_ours=tell,
            **options,
        )


def picture_title(result: DemoResult) -> str:
    """What the segmentation is, and how long it took."""
    title = f"{len(result.ours.weights)} components: fastgmm {duration(result.ours.seconds)}"
    if result.peer is not None:
        title += f", {result.peer.library} {duration(result.peer.seconds)}"
    return title


def check_picture_format(path: str | os.PathLike[str]) -> str:
    """Return the format that the name asks for, PNG if none."""
    from matplotlib.backend_bases import FigureCanvasBase

    suffix = Path(path).suffix[1:].lower() or "png"
    if suffix not in FigureCanvasBase.get_supported_filetypes():
        raise ValueError(
            f"{os.fspath(path)!r} is not a format for pictures; use a name that ends in .png"
        )
    return suffix
