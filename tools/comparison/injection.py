"""Copies of a version that are slower, or larger, than they need be: what must be noticed.

A patch replaces lines of the sources and must find each exactly once, so that it cannot rot
unseen. The passes look again at a share of their tiles, chosen by number, as evenly as the
golden section can; what is summed up twice has half the weight, so that results stay the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from comparison.sources import copy_tree

GOLDEN = 0.6180339887498949


class PatchError(ValueError):
    """The sources are no longer what a patch was made for."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `before`, which is there once, by `after`; $SHARE stands for factor - 1."""

    file: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Injection:
    """A change for the worse.

    Attributes
    ----------
    edits : tuple of Edit
        None for a comparison of a version with itself.
    expected : str
        Pattern of the benchmarks that may be named, of which one has to be.
    is_memory : bool
        Whether memory grows, in place of time.
    """

    edits: tuple[Edit, ...] = ()
    expected: str = ""
    is_memory: bool = False


DRIVERS, PASSES = "fastgmm/kernels/drivers.py", "fastgmm/kernels/passes.py"

TILES = """\
    first, stop = tiles_of_block(index, n_blocks, points.n, points.length)
    for number in range(first, stop):
"""
REPEATED_TILES = f"""\
    first, stop = tiles_of_block(index, n_blocks, points.n, points.length)
    for visit in range(2 * first, 2 * stop):
        number = visit // 2
        visits = 2 if CONDITION and number * {GOLDEN} % 1.0 < $SHARE else 1
        if visit % 2 >= visits:
            continue
"""
OF_EXPECTATION = (
    "    tile, moments = tile_of_thread(task.tiles, thread), element(task.moments, index)\n"
)
OF_PREDICTION = "    tile = tile_of_thread(task.tiles, thread)\n"
LIKELIHOOD = "+= scale_tile(tile, points.sample_weight, start, m, padded)\n"
MOMENTS = "        if moments.counts.size > 0:\n            tile_moments("


def repeated_expectation(condition: str) -> tuple[Edit, ...]:
    """Look twice at tiles that a pass takes moments of, with half the weight."""
    repeated = REPEATED_TILES.replace("CONDITION", condition)
    halved = "        for p in range(padded):\n            tile.scale[p] = tile.scale[p] / visits\n"
    return (
        Edit(DRIVERS, OF_EXPECTATION + TILES, OF_EXPECTATION + repeated),
        Edit(DRIVERS, LIKELIHOOD, LIKELIHOOD.replace("\n", " / visits\n")),
        Edit(DRIVERS, MOMENTS, halved + MOMENTS),
    )


INJECTIONS = {
    "nothing": Injection(),
    "expectation": Injection(
        repeated_expectation("points.responsibilities.flat.size == 0"),
        r"\.(Expectation|Fit|SmallFit)\.",
    ),
    "moments": Injection(
        repeated_expectation("points.responsibilities.flat.size > 0"), r"\(weighted_covariances,"
    ),
    "prediction": Injection(
        (
            Edit(
                DRIVERS,
                OF_PREDICTION + TILES,
                OF_PREDICTION + REPEATED_TILES.replace("CONDITION", "True"),
            ),
        ),
        r"\.(Predict|OtherFunctions)\.",
    ),
    "memory": Injection(
        (
            Edit(
                PASSES,
                "            model = model_of(mixture, X.dtype)\n",
                "            model = model_of(mixture, X.dtype)\n"
                "            stored = np.ones((len(X), len(mixture.means)))  # noqa: F841\n",
            ),
        ),
        r"\.peakmem_(expectation|fit)",
        is_memory=True,
    ),
}


def apply(edits: tuple[Edit, ...], tree: Path, factor: float) -> None:
    """Edit the files of a version."""
    for edit in edits:
        path = tree / edit.file
        text = path.read_text(encoding="utf-8")
        if text.count(edit.before) != 1:
            raise PatchError(f"{edit.file} has {text.count(edit.before)} times:\n{edit.before}")
        after = edit.after.replace("$SHARE", f"{factor - 1:.6f}")
        path.write_text(text.replace(edit.before, after), encoding="utf-8")


def inject(kind: str, tree: Path, target: Path, factor: float) -> Path:
    """Copy a version and make it worse."""
    copy_tree(tree, target)
    apply(INJECTIONS[kind].edits, target, factor)
    return target
