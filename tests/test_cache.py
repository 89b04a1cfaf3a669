"""The disk cache: never answers with other machine code, whoever writes it, whatever is in it."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from processes import run_python

import fastgmm

PACKAGE = Path(fastgmm.__file__).parent
JIT_DISABLED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="is about compiled code")

LOG_P = -0.5 * np.log(2 * np.pi) - 2  # of the point 2 under N(0, 1)

CODE = """
import sys, warnings
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as caught:
    import numpy as np
    from fastgmm import kernels
    one = np.ones((1, 1), dtype)
    print("log p =", kernels.log_density(2 * one, one[0], 0 * one, one.astype(float), "diag")[0])
print("fastgmm in", kernels.__file__)
for warning in caught:
    print("warned:", warning.category.__name__, str(warning.message))
"""


class Run(NamedTuple):
    value: float
    loaded: int
    saved: int
    warnings: list[str]


class CopiedPackage:
    """A copy of the package with an empty cache, to edit and to damage."""

    def __init__(self, folder: Path):
        self.folder, self.package, self.cache = folder, folder / "fastgmm", folder / "cache"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))

    def run(self, dtype: str = "float64", **environment: str) -> Run:
        """Take a log-density in another process; tell what was loaded, saved and warned of."""
        environment = {"NUMBA_CACHE_DIR": str(self.cache), "NUMBA_DEBUG_CACHE": "1"} | environment
        output = run_python(f"{dtype = }\n{CODE}", path=self.folder, **environment)
        assert f"fastgmm in {self.package}" in output
        return Run(
            float(output.split("log p =")[1].split()[0]),
            output.count("data loaded from"),
            output.count("data saved to"),
            [line for line in output.splitlines() if line.startswith("warned:")],
        )

    def entries(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.cache.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> CopiedPackage:
    """With entries that tests must put back."""
    copy = CopiedPackage(tmp_path_factory.mktemp("compiled"))
    assert copy.run() == (pytest.approx(LOG_P), 0, 2, [])  # a block, and the driver of blocks
    assert copy.run() == (pytest.approx(LOG_P), 2, 0, [])
    return copy


def test_the_disk_cache_notices_an_edit_of_any_kernel_file(tmp_path: Path):
    """Numba's own would answer the edit of a called function in another file with old code."""
    copy = CopiedPackage(tmp_path)
    assert copy.run() == (pytest.approx(LOG_P), 0, 2, [])
    before = copy.entries()
    vectors = copy.package / "kernels" / "_vectors.py"
    half, quarter = "self.constant(-0.5)", "self.constant(-0.25)"
    text = vectors.read_text(encoding="utf-8")
    assert half in text, "the edit below must change the log-density"
    vectors.write_text(text.replace(half, quarter), encoding="utf-8")
    assert copy.run() == (pytest.approx(LOG_P + 1), 0, 2, [])
    after = copy.entries()
    assert len(after) == len(before)  # the stale ones are gone
    assert not set(after) & set(before)


# --- damage -----------------------------------------------------------------------------------
def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def flip_machine_code(path: Path) -> None:
    """Which would be executed if nobody looked."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(255 - byte for byte in content[middle : middle + 64])
    path.write_bytes(content)


# Of each pair one is done to the machine code of a block, one to that of its driver.
PAIRS = [(cut, replace_by_folder), (flip_machine_code, empty)]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].__name__)
def test_a_damaged_entry_is_replaced(pair: tuple, compiled: CopiedPackage):
    whole = compiled.entries()
    for damage, path in zip(pair, sorted(whole), strict=True):
        damage(path)
    run = compiled.run()
    assert run.value == pytest.approx(LOG_P)
    assert run.saved == 2
    assert not run.warnings
    assert set(compiled.entries()) == set(whole)
    assert compiled.run() == (pytest.approx(LOG_P), 2, 0, [])


def test_bounds_checks_have_entries_of_their_own(compiled: CopiedPackage):
    checked = compiled.run(NUMBA_BOUNDSCHECK="1")
    assert checked == (pytest.approx(LOG_P), 0, 2, [])
    assert compiled.run() == (pytest.approx(LOG_P), 2, 0, [])


# --- several processes ------------------------------------------------------------------------
def test_processes_that_compile_at_once(tmp_path: Path):
    """Two the same, one something else, into one empty folder; later ones only load."""
    copy = CopiedPackage(tmp_path)
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(copy.run, ["float64", "float64", "float32"]))
    for run in runs:
        assert run.value == pytest.approx(LOG_P)
        assert not run.warnings
    assert len(copy.entries()) == 4  # and no temporary file
    for dtype in ("float64", "float32"):
        assert copy.run(dtype) == (pytest.approx(LOG_P), 2, 0, [])


# --- nowhere to write -------------------------------------------------------------------------
def test_a_package_that_cannot_write_anywhere(tmp_path: Path):
    """Files stand where folders should be made, which stops the superuser too."""
    copy = CopiedPackage(tmp_path)
    (copy.package / "kernels" / "__pycache__").write_text("")
    (tmp_path / "nothing").write_text("")
    nowhere = str(tmp_path / "nothing" / "here")
    homes = dict.fromkeys(["HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "USERPROFILE"], nowhere)
    before = sorted(tmp_path.rglob("*"))
    run = copy.run(NUMBA_CACHE_DIR=nowhere, PYTHONDONTWRITEBYTECODE="1", **homes)
    assert run[:3] == (pytest.approx(LOG_P), 0, 0)
    (warning,) = run.warnings
    assert "RuntimeWarning" in warning
    assert "NUMBA_CACHE_DIR" in warning
    assert sorted(tmp_path.rglob("*")) == before
