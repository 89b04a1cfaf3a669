"""The parent's end of a worker process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from comparison.sources import Source

SCRIPT = Path(__file__).with_name("worker.py")
PATIENCE = 5  # seconds for a process to end by itself


class BenchmarkError(RuntimeError):
    """A benchmark failed; its process goes on."""


class WorkerDied(RuntimeError):
    """A process ended when it should have replied, or is not what it should be."""


class Worker:
    """A process that runs HEAD's benchmarks with one side's fastgmm.

    Requests can be sent to several workers before the first reply is read, so that they compile
    at the same time. Use it as a context, which ends the process.

    Parameters
    ----------
    side : Source
        Whose package.
    definitions : Source
        Whose benchmarks.
    folder : Path, optional
        Where it runs.
    """

    def __init__(self, side: Source, definitions: Source, folder: Path | None = None) -> None:
        self.side = side
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            # -P: the folder of the script is not for import
            [sys.executable, "-P", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            cwd=folder,
            env=environment(side, definitions),
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def send(self, do: str, **arguments: Any) -> None:
        """Send a request."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerDied(self._last_words()) from None

    def receive(self) -> dict[str, Any]:
        """Wait for the reply to the oldest request."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise WorkerDied(self._last_words())
        reply = json.loads(line)
        if "error" in reply:
            raise BenchmarkError(reply["error"])
        return reply

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for the reply."""
        self.send(do, **arguments)
        return self.receive()

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]
        self._log.close()

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return "\n".join([f"a process of {self.side.name} died:", *lines[-5:]])


def environment(side: Source, definitions: Source) -> dict[str, str]:
    """Variables of a worker, with its own sources and its own cache of kernels.

    The order of sets is fixed, so that equal sources are compiled to equal machine code.
    """
    benchmarks = definitions.folder / "asv_benchmarks"
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(side.folder), str(benchmarks)]),
        "PYTHONHASHSEED": "0",
        "NUMBA_CACHE_DIR": str(side.cache),
    }


@contextlib.contextmanager
def both(sides: tuple[Source, Source]) -> Iterator[tuple[Worker, Worker]]:
    """A new process of either side, which start at the same time; HEAD's benchmarks."""
    base, head = sides
    with Worker(base, head) as old, Worker(head, head) as new:
        yield old, new
