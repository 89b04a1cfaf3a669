"""How much memory a call takes."""

from __future__ import annotations

import tracemalloc


def peak_of(function, *arguments) -> int:
    """Bytes that a call takes at most, once it is compiled."""
    function(*arguments)
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
