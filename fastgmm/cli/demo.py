"""``fastgmm demo``: the colours of a photograph, beside scikit-learn."""

from __future__ import annotations

import argparse

from fastgmm.cli._common import DEFAULT, Add, positive


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    image = "a photograph of your own, in any format that pillow reads"
    add("--image", metavar="FILE", help=image)
    add("--out", metavar="PICTURE", default="fastgmm-demo.png", help=f"the picture; {DEFAULT}")
    add("--components", metavar="K", type=int, default=16, help=DEFAULT)
    add("--max-iter", metavar="N", type=int, default=100, help=DEFAULT)
    add("--seed", metavar="S", type=int, default=0, help=f"of the start; {DEFAULT}")
    every = (
        "use every N-th row and column of the photograph; default: 1, or as many as leave half a "
        "million pixels of a large one"
    )
    add("--every", metavar="N", type=positive, help=every)
    add("--no-peer", action="store_true", help="do not run scikit-learn")


def run(options: argparse.Namespace) -> None:
    """Run the demo."""
    from fastgmm import demo

    demo.show(
        options.out,
        image=options.image,
        every=options.every,
        n_components=options.components,
        max_iter=options.max_iter,
        seed=options.seed,
        with_peer=not options.no_peer,
    )
