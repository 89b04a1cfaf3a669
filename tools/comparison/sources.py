"""Two versions of the package, each in a folder of its own.

A version is exported (`git archive`, or a copy of a working tree) into a folder that is named by
its commit or by the digest of its files, and that folder goes first on the path of its worker
processes. Nothing is installed: the package is plain Python, so an installation would copy the
same files. The interpreter and every dependency are thereby the same on both sides, and what is
compared is fastgmm alone.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "asv_benchmarks" / "env" / "compare"
WORKTREE = "WORKTREE"

# What is taken of a version: the package, the benchmarks, and what these read.
PARTS = ("fastgmm", "asv_benchmarks/benchmarks", "tests/registry.py", "tools/peer_table")


class SourceError(ValueError):
    """There is no such version."""


@dataclass(frozen=True, slots=True)
class Source:
    """An exported version.

    Attributes
    ----------
    name : str
        As the user called it.
    key : str
        Its commit, or the digest of its files.
    folder : Path
        Holds `PARTS`.
    cache : Path
        Compiled kernels of this side.
    """

    name: str
    key: str
    folder: Path
    cache: Path


def export_both(base: str, head: str, folder: Path = FOLDER) -> tuple[Source, Source]:
    """Export two versions; the same one twice gets two caches, to be compared like two."""
    sides = export(base, folder), export(head, folder)
    if sides[0].key == sides[1].key:
        again = sides[1].cache.with_name("kernels-again")
        sides = sides[0], Source(sides[1].name, sides[1].key, sides[1].folder, again)
    return sides


def export(name: str, folder: Path = FOLDER) -> Source:
    """Export a revision, a folder that holds the package, or the present files (`WORKTREE`)."""
    tree = ROOT if name == WORKTREE else Path(name)
    if (tree / "fastgmm").is_dir():
        key = "tree-" + digest_of_tree(tree)
        place = make_once(folder / key, lambda target: copy_tree(tree, target))
    else:
        key = commit_of(name)
        place = make_once(folder / key, lambda target: extract_commit(key, target))
    return Source(name, key, place, place / "kernels")


def make_once(place: Path, make: Callable[[Path], None]) -> Path:
    """Fill a folder unless it exists; whoever is interrupted leaves nothing half-made there."""
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            target = Path(scratch) / "made"
            target.mkdir()
            make(target)
            try:
                os.replace(target, place)
            except OSError:  # somebody else was faster
                if not place.is_dir():
                    raise
    return place.resolve()


# --- commits --------------------------------------------------------------------------------
def git(*arguments: str) -> bytes:
    """Output of a git command in this repository."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise SourceError(str(error)) from None
    if done.returncode:
        raise SourceError(done.stderr.decode(errors="replace").strip())
    return done.stdout


def commit_of(revision: str) -> str:
    """Hash of the commit that a revision means."""
    try:
        return git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    except SourceError:
        raise SourceError(f"{revision} is neither a revision nor a folder with fastgmm") from None


def extract_commit(commit: str, target: Path) -> None:
    """Write the parts of a commit into a folder."""
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as archive:
        members = [member for member in archive.getmembers() if is_wanted(member.name)]
        archive.extractall(target, members, filter="data")


def is_wanted(path: str) -> bool:
    """Whether a file is among the parts."""
    return any(path == part or path.startswith(f"{part}/") for part in PARTS)


# --- working trees --------------------------------------------------------------------------
def files_of_tree(tree: Path) -> Iterator[Path]:
    """Relative paths of the parts' files, in order."""
    for part in PARTS:
        place = tree / part
        paths = [place] if place.is_file() else sorted(place.rglob("*"))
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(tree)


def digest_of_tree(tree: Path) -> str:
    """Digest of the names and contents of the parts."""
    digest = hashlib.sha256()
    for path in files_of_tree(tree):
        content = (tree / path).read_bytes()
        digest.update(f"{path.as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:40]


def copy_tree(tree: Path, target: Path) -> None:
    """Copy the parts of a working tree."""
    for path in files_of_tree(tree):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree / path, target / path)
