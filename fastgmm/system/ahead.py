"""Reading ahead: a thread makes the next item while the caller works on this one."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yield the items, of which a thread makes the next one while the caller has this one.

    The iterable is asked for its items in that thread alone, from the first to the last, and never
    for more than one in advance. The thread ends with the iteration, or when that is closed.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="fastgmm-reader") as thread:
        iterator = thread.submit(iter, items).result()
        following = thread.submit(_next, iterator)
        try:
            while found := following.result():
                following = thread.submit(_next, iterator)
                yield found[0]
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:  # after the item that is under way
                thread.submit(close)


def _next(iterator: Iterator[Item]) -> tuple[Item] | None:
    """Return the next item as a tuple, or None: StopIteration does not leave a thread."""
    for item in iterator:
        return (item,)
    return None
