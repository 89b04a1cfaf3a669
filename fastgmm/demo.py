"""The main job, built in: the colours of a photograph as a mixture, beside scikit-learn's.

Both libraries fit the same pixels from the same start, so they take the same steps, and what is
left to compare is the time. `compute` does the work and returns a record; the rest shows it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text
from sklearn.datasets import load_sample_image
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture._gaussian_mixture import GaussianMixture as PeerMixture

from fastgmm._files import check_writable, written_whole
from fastgmm._records import FloatArray
from fastgmm._terminal import Terminal, plain_table
from fastgmm.mixture import GaussianMixture
from fastgmm.plotting import plot_segmentation, require_matplotlib

__all__ = ["DemoResult", "Run", "compute", "load_photograph", "results_table", "show"]

FOOTNOTE = "* largest max|a - b| / max|b| over the weights, the means and the covariances"


@dataclass(frozen=True, slots=True)
class Run:
    """One library's fit.

    Attributes
    ----------
    library : str
    seconds : float
        Of the fit alone, compilation apart.
    n_iter : int
    converged : bool
    mean_log_likelihood : float
        Of the fitted mixture, per pixel.
    weights, means, covariances : array
    """

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
    """What the demo found.

    Attributes
    ----------
    image : (height, width, 3) array
        The photograph, from 0 to 1.
    labels : (height, width) array
        The most probable component of each pixel.
    compile_seconds : float
        The first fit in this process, of one iteration: nearly all of it is compilation, or the
        loading of what an earlier process compiled.
    ours : Run
    peer : Run or None
        scikit-learn's, unless it was skipped.
    """

    image: FloatArray
    labels: np.ndarray
    compile_seconds: float
    ours: Run
    peer: Run | None

    @property
    def parameter_difference(self) -> float:
        """Largest of max |a - b| / max |b| over the weights, the means and the covariances."""
        ours, peer = self.ours, self._present_peer()
        pairs = [
            (ours.weights, peer.weights),
            (ours.means, peer.means),
            (ours.covariances, peer.covariances),
        ]
        return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)

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
def load_photograph(every: int = 1) -> FloatArray:
    """scikit-learn's china.jpg, 427 × 640 × 3 from 0 to 1; or every so many rows and columns."""
    try:
        image = load_sample_image("china.jpg")
    except ImportError as error:
        raise ImportError(
            'Reading the photograph needs pillow; install it with: pip install "fastgmm[plot]"'
        ) from error
    return image[::every, ::every] / 255


def compute(
    image: FloatArray,
    *,
    n_components: int = 16,
    max_iter: int = 100,
    seed: int = 0,
    with_peer: bool = True,
    on_stage: Callable[[str], object] = lambda stage: None,
) -> DemoResult:
    """Fit the pixels of the image with both libraries from one start, and measure.

    Parameters
    ----------
    image : (height, width, 3) array
        From 0 to 1.
    n_components : int
    max_iter : int
        Everything else is as scikit-learn has it by default.
    seed : int
        Of the start: k-means on a random subset of the pixels.
    with_peer : bool
        Whether to fit with scikit-learn too.
    on_stage : callable
        Told in a few words what comes next.

    Returns
    -------
    DemoResult
    """
    X = np.ascontiguousarray(image.reshape(-1, image.shape[-1]))
    on_stage("compiling, or loading what is compiled")
    first = GaussianMixture(n_components, max_iter=1, random_state=seed)
    _, compile_seconds = timed_fit(first, X)
    on_stage("finding a start with k-means on a subset of the pixels")
    start = GaussianMixture(n_components, max_iter=0, random_state=seed).fit(X)
    options = {
        "n_components": n_components,
        "weights_init": start.weights_,
        "means_init": start.means_,
        "precisions_init": start.precisions_,
    }
    on_stage("fitting with fastgmm")
    model, seconds = timed_fit(GaussianMixture(max_iter=max_iter, **options), X)
    ours = run_of("fastgmm", model, seconds, X)
    labels = model.predict(X).reshape(image.shape[:2])
    peer = None
    if with_peer:
        on_stage("fitting with scikit-learn")
        model, seconds = timed_fit(PeerMixture(max_iter=max_iter, **options), X)
        peer = run_of("scikit-learn", model, seconds, X)
    return DemoResult(image, labels, compile_seconds, ours, peer)


def timed_fit(model: Any, X: FloatArray) -> tuple[Any, float]:
    """Fit the model, and the seconds it took."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the table says so
        began = perf_counter()
        model.fit(X)
        return model, perf_counter() - began


def run_of(library: str, model: Any, seconds: float, X: FloatArray) -> Run:
    """Record a fitted model of either library."""
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
def headline(result: DemoResult) -> str:
    """What was fitted."""
    height, width, channels = result.image.shape
    return (
        f"{height * width:,} pixels of china.jpg × {channels} colours, "
        f"{len(result.ours.weights)} components with full covariances, {result.image.dtype}"
    )


def results_table(result: DemoResult) -> Table:
    """The figures of both libraries side by side, with the comparison in the last column."""
    ours, peer = result.ours, result.peer
    rows = [
        ["first call, with compilation", duration(result.compile_seconds)],
        ["fit", duration(ours.seconds)],
        ["iterations", iterations(ours)],
        ["fit, per iteration", duration(ours.seconds_per_iteration)],
        ["mean log-likelihood", f"{ours.mean_log_likelihood:.10f}"],
    ]
    table = plain_table()
    table.add_column("")
    table.add_column(ours.library, justify="right", style="bold")
    if peer is not None:
        table.add_column(peer.library, justify="right")
        table.add_column("", justify="right", style="green")
        rows[0] += ["none", ""]
        rows[1] += [duration(peer.seconds), times_faster(result.speedup)]
        rows[2] += [iterations(peer), "same" if ours.n_iter == peer.n_iter else "different"]
        rows[3] += [
            duration(peer.seconds_per_iteration),
            times_faster(result.speedup_per_iteration),
        ]
        rows[4] += [
            f"{peer.mean_log_likelihood:.10f}",
            f"{result.log_likelihood_difference:.1e} apart",
        ]
        rows += [["parameters *", "", "", f"{result.parameter_difference:.1e} apart"]]
    for row in rows:
        table.add_row(*row)
    return table


def times_faster(ratio: float) -> str:
    """The ratio of two durations in words."""
    return f"{ratio:.1f} times faster" if ratio >= 1 else f"{1 / ratio:.1f} times slower"


def duration(seconds: float) -> str:
    """Seconds in words: 12.3 s, or 45.6 ms below half a second."""
    return f"{seconds:.2f} s" if seconds >= 0.5 else f"{1000 * seconds:.1f} ms"


def iterations(run: Run) -> str:
    """Number of iterations, and whether they were enough."""
    return f"{run.n_iter}" if run.converged else f"{run.n_iter}, not converged"


def show(
    out: str | os.PathLike[str] = "fastgmm-demo.png",
    *,
    every: int = 1,
    n_components: int = 16,
    max_iter: int = 100,
    seed: int = 0,
    with_peer: bool = True,
) -> DemoResult:
    """Run the demo, print its table, and write its picture to `out`.

    The other parameters are those of `load_photograph` and `compute`.
    """
    require_matplotlib()  # before the work rather than after it
    check_writable(out)
    picture_format = check_picture_format(out)
    image = load_photograph(every)
    with Terminal(stderr=True).status("") as status:
        result = compute(
            image,
            n_components=n_components,
            max_iter=max_iter,
            seed=seed,
            with_peer=with_peer,
            on_stage=status.update,
        )
        figure = plot_segmentation(image, result.labels, result.ours.means)
        with written_whole(out) as stream:
            figure.savefig(stream, format=picture_format)
    console = Terminal()
    console.print(Text(headline(result)))
    console.print(results_table(result))
    if with_peer:
        console.print(Text(FOOTNOTE, style="dim"))
    console.print(Text(f"Picture: {os.fspath(out)}"), soft_wrap=True)
    return result


def check_picture_format(path: str | os.PathLike[str]) -> str:
    """Return the format that the name asks for, PNG if none."""
    from matplotlib.backend_bases import FigureCanvasBase

    suffix = Path(path).suffix[1:].lower() or "png"
    if suffix not in FigureCanvasBase.get_supported_filetypes():
        raise ValueError(f"{os.fspath(path)!r} is no format of pictures; name it .png")
    return suffix
