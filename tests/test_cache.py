"""The disk cache: never answers with other machine code, whoever writes it, whatever is in it."""

from __future__ import annotations

import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from axes import compiled_only
from processes import run_python

import fastgmm
from fastgmm.kernels.jit import cache

PACKAGE = Path(fastgmm.__file__).parent
# The problems are small, and these are tests of the drivers.
pytestmark = [compiled_only, pytest.mark.usefixtures("on_drivers")]

LOG_P = -0.5 * np.log(2 * np.pi) - 2  # of the point 2 under N(0, 1)

CODE = """
import sys, warnings
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as caught:
    import numpy as np
    from fastgmm import kernels
    from fastgmm.kernels import small_problems
    small_problems.MOST_POINTS = 0  # it is for the drivers
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
    """A copy of the package, to edit and to damage; its cache is empty or a copy of another's."""

    def __init__(self, folder: Path, other: CopiedPackage | None = None):
        self.folder, self.package, self.cache = folder, folder / "fastgmm", folder / "cache"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        if other is not None:
            shutil.copytree(other.cache, self.cache)
            (owner,) = self.cache.rglob(cache.PACKAGE_FILE)
            owner.write_text(owner.read_text().replace(str(other.package), str(self.package)))

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
        """All the files of the cache, but those that say whose it is."""
        files = (path for path in self.cache.rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in files if path.name != cache.PACKAGE_FILE}

    def edit(self) -> float:
        """Change what a kernel computes; return the log-density that it gives now."""
        vectors = self.package / "kernels" / "codegen" / "vectors.py"
        half, quarter = "self.constant(-0.5)", "self.constant(-0.25)"
        text = vectors.read_text(encoding="utf-8")
        assert half in text, "the edit below must change the log-density"
        vectors.write_text(text.replace(half, quarter), encoding="utf-8")
        return LOG_P + 1


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> CopiedPackage:
    """With entries that tests must put back."""
    copy = CopiedPackage(tmp_path_factory.mktemp("compiled"))
    assert copy.run() == (pytest.approx(LOG_P), 0, 1, [])
    assert copy.run() == (pytest.approx(LOG_P), 1, 0, [])
    return copy


def test_the_disk_cache_notices_an_edit_of_any_kernel_file(tmp_path: Path, compiled: CopiedPackage):
    """Numba's own would answer the edit of a called function in another file with old code."""
    copy = CopiedPackage(tmp_path, compiled)
    before = copy.entries()
    edited = copy.edit()
    assert copy.run() == (pytest.approx(edited), 0, 1, [])
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


@pytest.mark.parametrize("damage", [cut, empty, replace_by_folder, flip_machine_code])
def test_a_damaged_entry_is_not_loaded_and_can_be_replaced(damage, tmp_path: Path):
    entries = cache.Entries(tmp_path, "function")
    for content in ("one" * 100, "another" * 100):
        entries.save("key", content)
        assert entries.load("key") == content
        (path,) = tmp_path.iterdir()
        damage(path)
        with pytest.raises(Exception):  # noqa: B017, PT011  # whatever reading it raises
            entries.load("key")


@pytest.mark.parametrize("damage", [flip_machine_code, replace_by_folder])
def test_a_damaged_entry_is_compiled_again(damage, compiled: CopiedPackage):
    whole = compiled.entries()
    for path in whole:
        damage(path)
    run = compiled.run()
    assert run.value == pytest.approx(LOG_P)
    assert run.saved == 1
    assert not run.warnings
    assert set(compiled.entries()) == set(whole)
    assert compiled.run() == (pytest.approx(LOG_P), 1, 0, [])


def test_bounds_checks_have_entries_of_their_own(compiled: CopiedPackage):
    checked = compiled.run(NUMBA_BOUNDSCHECK="1")
    assert checked == (pytest.approx(LOG_P), 0, 1, [])
    assert compiled.run() == (pytest.approx(LOG_P), 1, 0, [])


# --- several processes ------------------------------------------------------------------------
def test_processes_that_compile_at_once(tmp_path: Path):
    """Two the same, one something else, into one empty folder; later ones only load."""
    copy = CopiedPackage(tmp_path)
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(copy.run, ["float64", "float64", "float32"]))
    for run in runs:
        assert run.value == pytest.approx(LOG_P)
        assert not run.warnings
    assert len(copy.entries()) == 2  # and no temporary file
    for dtype in ("float64", "float32"):
        assert copy.run(dtype) == (pytest.approx(LOG_P), 1, 0, [])


# --- where ------------------------------------------------------------------------------------
def test_nothing_is_written_into_the_package(tmp_path: Path):
    """What pip did not install stays behind when it uninstalls, and shadows what comes next."""
    copy = CopiedPackage(tmp_path)
    caches = ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME")
    homes = {name: str(tmp_path / name) for name in caches}
    quiet = {"NUMBA_CACHE_DIR": "", "PYTHONDONTWRITEBYTECODE": "1", **homes}
    before = sorted(copy.package.rglob("*"))
    assert copy.run(**quiet) == (pytest.approx(LOG_P), 0, 1, [])
    assert copy.run(**quiet) == (pytest.approx(LOG_P), 1, 0, [])
    assert sorted(copy.package.rglob("*")) == before
    assert not copy.cache.exists()
    written = [path for path in tmp_path.rglob("*.nbc") if path.parent.name.startswith("kernels-")]
    assert len(written) == 1


def test_versions_side_by_side_leave_each_other_alone(tmp_path: Path, compiled: CopiedPackage):
    """As in two environments; what an uninstalled one has left goes when a new one comes."""
    one, two = CopiedPackage(tmp_path / "one", compiled), CopiedPackage(tmp_path / "two")
    shared = {"NUMBA_CACHE_DIR": str(one.cache)}
    edited = two.edit()
    assert two.run(**shared).saved == 1
    assert one.run(**shared) == (pytest.approx(LOG_P), 1, 0, [])
    assert two.run(**shared) == (pytest.approx(edited), 1, 0, [])
    shutil.rmtree(one.package)
    text = (two.package / "kernels" / "jit" / "settings.py").read_text(encoding="utf-8")
    (two.package / "kernels" / "jit" / "settings.py").write_text(
        text + "# another version\n", encoding="utf-8"
    )
    assert two.run(**shared).saved == 1
    assert len(list(one.cache.rglob("*.nbc"))) == 1


def test_a_package_in_an_archive(tmp_path: Path, compiled: CopiedPackage):
    """Its source files are digested there, and an archive that is replaced is noticed."""
    copy = CopiedPackage(tmp_path / "copy", compiled)
    archive = tmp_path / "fastgmm.zip"

    def run_archived() -> tuple[float, int]:
        with zipfile.ZipFile(archive, "w") as target:
            for path in copy.package.rglob("*.py"):
                target.write(path, path.relative_to(copy.folder))
        output = run_python(
            f"dtype = 'float64'\n{CODE}",
            path=tmp_path,
            PYTHONPATH=str(archive),
            NUMBA_CACHE_DIR=str(copy.cache),
            NUMBA_DEBUG_CACHE="1",
        )
        assert f"fastgmm in {archive}" in output
        assert "warned" not in output
        return float(output.split("log p =")[1].split()[0]), output.count("data loaded from")

    assert run_archived() == (pytest.approx(LOG_P), 1)  # the same files have the same digest
    edited = copy.edit()
    assert run_archived() == (pytest.approx(edited), 0)
    assert run_archived() == (pytest.approx(edited), 1)


def test_every_source_file_counts(tmp_path: Path):
    (tmp_path / "below").mkdir()
    for name in ("one.py", "below/two.py", "below/data.txt"):
        (tmp_path / name).write_text(name)
    found = dict(cache.source_files(tmp_path))
    assert found == {"one.py": b"one.py", "below/two.py": b"below/two.py"}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds the cache's, as if nobody had asked for it yet."""
    monkeypatch.setattr(cache.config, "CACHE_DIR", str(tmp_path))
    cache.cache_folder.cache_clear()
    yield tmp_path / "fastgmm"
    cache.cache_folder.cache_clear()


def test_the_folder_is_for_its_user_alone(base: Path):
    folder = cache.cache_folder()
    assert folder.parent == base
    assert cache.is_trusted(folder)
    if os.name == "posix":
        assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")
def test_where_others_may_write_another_folder_is_taken(base: Path):
    first = cache.cache_folder()
    first.chmod(0o777)
    cache.cache_folder.cache_clear()
    second = cache.cache_folder()
    assert second == first.with_name(f"{first.name}-{os.getuid()}")
    second.chmod(0o777)
    cache.cache_folder.cache_clear()
    with pytest.raises(PermissionError, match="written by others"):
        cache.cache_folder()


def test_a_filled_folder_that_cannot_be_written_serves(base: Path, monkeypatch):
    """As in an image that was warmed up, and now runs with a file system for reading."""
    folder = cache.cache_folder()
    (folder / "one.nbc").write_bytes(b"")

    def read_only(*unused, **options):
        raise OSError(30, "Read-only file system")

    for module, name in [(cache.tempfile, "TemporaryFile"), (cache.os, "utime")]:
        monkeypatch.setattr(module, name, read_only)
    cache.cache_folder.cache_clear()
    assert cache.cache_folder() == folder
    (folder / "one.nbc").unlink()
    cache.cache_folder.cache_clear()
    with pytest.raises(OSError, match="Read-only"):
        cache.cache_folder()


def test_old_leftovers_are_removed(base: Path):
    for name, days in [("kernels-old", 61), ("kernels-young", 59), ("other", 61)]:
        (base / name).mkdir(parents=True)
        (base / name / cache.PACKAGE_FILE).write_text(str(base))  # which exists
        moment = os.stat(base).st_mtime - days * 24 * 3600
        os.utime(base / name, (moment, moment))
    folder = cache.cache_folder()
    assert {path.name for path in base.iterdir()} == {folder.name, "kernels-young", "other"}


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch):
    """For whom `~` stays what it is."""
    monkeypatch.setattr(cache.config, "CACHE_DIR", "")
    monkeypatch.setattr(cache.platformdirs, "user_cache_path", lambda *_, **__: Path("~/.cache"))
    with pytest.raises(FileNotFoundError, match="no home folder"):
        cache.cache_base()


def test_what_layouts_depend_on_is_part_of_the_name(base: Path, monkeypatch: pytest.MonkeyPatch):
    entries = cache.Entries(base, "function")
    names = {entries._name("key")}
    for name, value in [("VECTOR_BYTES", 128), ("VECTORS", 9)]:
        monkeypatch.setattr(cache, name, value)
        names.add(entries._name("key"))
    assert len(names) == 3


TARGET = """
import numpy as np
from fastgmm import kernels, reference
from fastgmm.kernels.jit import target
from registry import Case, relative_error
print(target.VECTOR_BYTES, target.VECTORS)
for case in (Case("full", "float64", 5000, 3, 2), Case("diag", "float32", 300, 5, 3),
             Case("full", "float64", 300, 17, 2), Case("full", "float64", 5000, 20, 2),
             Case("diag", "float32", 5000, 19, 40), Case("tied", "float64", 5000, 17, 2))[:n_cases]:
    X, *mixture, weight = case.make()
    actual, expected = (
        module.expectation(X, *mixture, case.covariance_type, weight)
        for module in (kernels, reference)
    )
    assert relative_error(actual.second, expected.second) < 1e-5, case
"""


@pytest.mark.parametrize(
    ("target", "n_cases"),
    # The second tells only the features apart: its layouts are those of the first.
    [({"NUMBA_CPU_NAME": "generic"}, 6), ({"NUMBA_ENABLE_AVX": "0"}, 1)],
    ids=["NUMBA_CPU_NAME", "NUMBA_ENABLE_AVX"],
)
def test_vectors_are_those_of_the_target(target: dict[str, str], n_cases: int, tmp_path: Path):
    """Not of the processor at hand: a cluster's home is shared by several kinds of them."""
    code = f"{n_cases = }\n{TARGET}"
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path), **target) == "32 2\n"


# --- nowhere to write -------------------------------------------------------------------------
def test_a_package_that_cannot_write_anywhere(tmp_path: Path):
    """Files stand where folders should be made, which stops the superuser too."""
    copy = CopiedPackage(tmp_path)
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
