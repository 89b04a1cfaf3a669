"""Where the lines are counted that the tests run, numba compiles unseen.

Else that takes half as long again. The lines of kernels are counted as they run as Python, and as
they are compiled with bounds checks (the sections no_jit and bounds of tools/check).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numba import config as numba_config
from numba.core import event


class Unseen(event.Listener, threading.local):
    """Takes the tracer of a thread away while it compiles; such events are nested."""

    def __init__(self) -> None:
        self.depth, self.tracer = 0, None

    def on_start(self, event: event.Event) -> None:
        if self.depth == 0:
            self.tracer = sys.gettrace()
            sys.settrace(None)
        self.depth += 1

    def on_end(self, event: event.Event) -> None:
        self.depth -= 1
        if self.depth == 0:
            sys.settrace(self.tracer)


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("_cov") and not numba_config.BOUNDSCHECK:
        event.register("numba:compile", Unseen())


@pytest.fixture
def silent_as_python() -> Iterator[None]:
    """Let numbers overflow in silence where kernels run as Python, as compiled ones do."""
    quiet = "ignore" if numba_config.DISABLE_JIT else None
    with np.errstate(over=quiet, invalid=quiet):
        yield


# --- the two ways through the kernels, of which shapes decide: problems of tests are small
@pytest.fixture(scope="module")
def on_drivers() -> Iterator[None]:
    """Send small problems through the drivers, too."""
    from fastgmm.kernels import small_problems

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_problems, "MOST_POINTS", 0)
        yield


@pytest.fixture(scope="module", params=["small", "drivers"])
def both_ways(request: pytest.FixtureRequest) -> None:
    """Run the tests of a module with small problems as such, and again through the drivers."""
    if request.param == "drivers":
        request.getfixturevalue("on_drivers")
