"""Where Dask computes: on threads or processes of this machine, or on the workers of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask
from dask.base import get_scheduler

# Seconds between two looks at whether any worker is left, and looks that find none before a pass
# gives up. A cluster may take minutes to have its first, for which it waits.
PATIENCE, MOST_LOOKS = 10.0, 6
REMEDY = (
    "Most often workers lack memory: give smaller partitions, or workers with more memory, and fit "
    "again. The mixture is as it was before."
)


def persisted(collections: Sequence[Any]) -> Sequence[Any]:
    """Have delayed objects made, once; on a cluster they are under way when this returns."""
    return dask.persist(*collections)


def computed(collections: Sequence[Any], *, is_first: bool = False) -> Sequence[Any]:
    """Return the results of delayed objects, of one graph.

    ConnectionError is raised where a cluster has lost its workers, or what they had, for good.
    """
    client = client_of_cluster()
    if client is None:
        return dask.compute(*collections)
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    futures = client.compute(list(collections))
    try:
        wait_for(client, futures, is_first=is_first)
        return client.gather(futures)
    except KilledWorker as error:
        raise ConnectionError(
            f"Workers of Dask died over one task, as often as the cluster allows: {error} {REMEDY}"
        ) from error
    except FutureCancelledError as error:
        raise ConnectionError(
            f"Dask's cluster has lost points that it cannot make again: {error} {REMEDY}"
        ) from error


def client_of_cluster() -> Any:
    """Return the client of distributed that Dask would use, or None."""
    client = getattr(get_scheduler(), "__self__", None)
    if client is not None and client.asynchronous:
        raise ValueError(
            "Dask's client is asynchronous, and fit waits for its results; make a client with "
            "asynchronous=False."
        )
    return client


def wait_for(client: Any, futures: Sequence[Any], *, is_first: bool) -> None:
    """Wait for all results, as long as there are workers, or these may still come."""
    from distributed import wait

    n_looks = 0
    while n_looks < MOST_LOOKS:
        try:
            wait(futures, timeout=PATIENCE)
            return
        except TimeoutError:
            has_workers = is_first or bool(client.scheduler_info()["workers"])
            n_looks = 0 if has_workers else n_looks + 1
    raise ConnectionError(
        f"Dask's cluster has had no worker for {PATIENCE * MOST_LOOKS:.0f} seconds. {REMEDY}"
    )
