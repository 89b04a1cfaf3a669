"""Run the command line in this process."""

from __future__ import annotations

import pytest

from fastgmm import cli


def succeed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that succeeds prints; nothing is printed as an error."""
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def fail(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a failure prints; nothing else is printed."""
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fastgmm: error: ")
    assert captured.err.count("\n") == 1
    return captured.err
