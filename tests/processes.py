"""Run Python in a process of its own, where environment variables can still matter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def run_python(code: str, *, path: Path = TESTS, **environment: str) -> str:
    """Run `code` in the folder `path`, whose modules it can import; return what it printed.

    Fails with the process's error output when it fails, or when a warning is raised in it.
    """
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout
