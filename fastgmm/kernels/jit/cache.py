"""Machine code on disk: in the user's cache folder, stamped with every source file it comes from.

Never in the installed package: files that pip did not install stay behind when it uninstalls,
and the folder that they keep alive shadows the next installation.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from time import time
from typing import Any

import numba
import platformdirs
from numba import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile

from fastgmm.kernels.jit.target import VECTOR_BYTES, VECTORS

# What an earlier version of the package has left is removed when so old, or when nobody needs it.
MOST_DAYS = 60
# In each folder, the path of the package that its machine code was compiled for.
PACKAGE_FILE = "package"


def cached(dispatcher: Any, variant: str) -> Any:
    """Give a dispatcher a cache on disk, if there is somewhere to write.

    The variant tells apart the dispatchers of one function.
    """
    try:
        dispatcher._cache = KernelCache(dispatcher.py_func, variant)
    except OSError as error:
        warn_uncached(error)
    return dispatcher


# --- where ----------------------------------------------------------------------------------
@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Make, or find, the folder for the machine code of these source files; OSError if in vain.

    Entries are pickles, so the folder is its user's own, or the superuser's who may do anything
    anyway: it may be part of an image, and be read by others. Where another user has it, as can
    be in a NUMBA_CACHE_DIR that several share, this one takes a second.
    """
    base = cache_base()
    folder = base / f"kernels-{stamp()[:16]}"
    if folder.exists() and not is_trusted(folder):
        folder = folder.with_name(f"{folder.name}-{os.getuid()}")
    if not folder.is_dir():
        folder.mkdir(0o700, parents=True, exist_ok=True)
        if is_trusted(folder):
            remove_leftovers(folder)
    if not is_trusted(folder):
        raise PermissionError(f"{folder} can be written by others")
    if not any(folder.glob("*.nbc")):
        tempfile.TemporaryFile(dir=folder).close()  # to learn now whether it can be written
    with contextlib.suppress(OSError):
        os.utime(folder)  # it is in use
    return folder


def cache_base() -> Path:
    """NUMBA_CACHE_DIR if it is set, else where the platform has users keep what can be lost."""
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR, "fastgmm")
    base = platformdirs.user_cache_path("fastgmm", appauthor=False)
    if not base.is_absolute():
        raise FileNotFoundError("this user has no home folder")
    return base


def is_trusted(folder: Path) -> bool:
    """Whether nobody but this user and the superuser can write there."""
    if not hasattr(os, "getuid"):  # Windows, where the folders of users are their own
        return True
    status = folder.stat()
    return status.st_uid in (0, os.getuid()) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def remove_leftovers(folder: Path) -> None:
    """Sign a new folder, and remove those of this package's earlier versions and of gone ones."""
    package = str(Path(__file__).parents[1])
    for other in folder.parent.glob("kernels-*"):
        if other.name.startswith(f"kernels-{stamp()[:16]}"):
            continue  # this version's, and perhaps another user's
        try:
            user = (other / PACKAGE_FILE).read_text(encoding="utf-8")
            old = time() - other.stat().st_mtime > MOST_DAYS * 24 * 3600
        except OSError:
            continue
        if old or user == package or not Path(user).exists():
            shutil.rmtree(other, ignore_errors=True)
    (folder / PACKAGE_FILE).write_text(package, encoding="utf-8")


# --- what -----------------------------------------------------------------------------------
@lru_cache(maxsize=1)
def stamp() -> str:
    """Digest of every source file below `kernels`, and of numba's version; OSError without any.

    Numba compares the file of the cached function alone and would answer an edit of
    density.py with old machine code of passes.py (numba #8359).
    """
    digest = hashlib.sha256(numba.__version__.encode())
    sources = sorted(source_files(files("fastgmm.kernels")))
    if not sources:
        raise FileNotFoundError("the source files of fastgmm.kernels are not there")
    for name, content in sources:
        digest.update(name.encode())
        digest.update(content)
    return digest.hexdigest()


def source_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    """Names and contents, also of what is imported from an archive."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from source_files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, entry.read_bytes()


class Entries(IndexDataCacheFile):
    """Files named by what is in them, each with its digest; there is no index.

    Numba numbers the files of a function in an index that processes overwrite for each other, so
    that of two that compile at once one could be handed the machine code of the other.
    """

    def __init__(self, folder: Path, function: str) -> None:
        super().__init__(str(folder), function, stamp())
        self._function = function

    def _name(self, key: Any) -> str:
        # Numba's key has the target, but not these: bounds checks, and what layouts depend on.
        key = (key, config.BOUNDSCHECK, VECTOR_BYTES, VECTORS)
        digest = hashlib.sha256(repr(key).encode()).hexdigest()
        return f"{self._function}.{digest[:32]}.nbc"

    def load(self, key: Any) -> Any:
        """Return an entry; raise anything if there is none that is whole."""
        digest, content = self._load_data(self._name(key))
        if digest != hashlib.sha256(content).digest():
            raise ValueError("a damaged file")
        return pickle.loads(content)

    def save(self, key: Any, data: Any) -> None:
        """Write an entry, whole or not at all."""
        path = Path(self._data_path(self._name(key)))
        if path.is_dir():  # nobody knows why
            shutil.rmtree(path)
        content = self._dump(data)
        self._save_data(path.name, (hashlib.sha256(content).digest(), content))


class Compiled(CompileResultCacheImpl):
    """How numba turns machine code into what can be written, and back; it is its own locator."""

    def __init__(self, function: Callable, folder: Path) -> None:
        self._locator = self
        self._lineno = function.__code__.co_firstlineno
        self._py_file = function.__code__.co_filename
        self._folder = folder

    def ensure_cache_path(self) -> None:
        """Make the folder, if it was removed since."""
        self._folder.mkdir(0o700, parents=True, exist_ok=True)


class KernelCache(FunctionCache):
    """The cache of one dispatcher."""

    n_missing = 0  # how often there was nothing to load in this process

    def __init__(self, function: Callable, variant: str) -> None:
        folder = cache_folder()
        module = function.__module__.rpartition(".")[2]
        version = "{}{}".format(*sys.version_info) + getattr(sys, "abiflags", "")
        self._name, self._py_func, self._cache_path = repr(function), function, str(folder)
        self._impl = Compiled(function, folder)
        self._cache_file = Entries(
            folder, f"{module}.{function.__qualname__}-{variant}.py{version}"
        )
        self.enable()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return machine code from the disk, or None."""
        loaded = None
        # Missing, truncated, foreign or unreadable: compile again and overwrite.
        with contextlib.suppress(Exception):
            loaded = super().load_overload(sig, target_context)
        KernelCache.n_missing += loaded is None
        return loaded

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write machine code to the disk, or warn."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            warn_uncached(error)


_warned = False


def warn_uncached(error: Exception) -> None:
    """Warn once; the reasons of other kernels are the same."""
    global _warned
    if _warned:
        return
    _warned = True
    warnings.warn(
        f"fastgmm's compiled kernels cannot be kept on disk ({error}); every new process will "
        "compile them again. Set NUMBA_CACHE_DIR to a writable folder.",
        RuntimeWarning,
        stacklevel=4,
    )
