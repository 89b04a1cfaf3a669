"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open `path` for writing bytes, so that it changes only when the block ends well.

    The bytes go to a temporary file in the same folder, which then takes the place of `path`.
    When the block raises, `path` stays as it was. A device or a pipe is written directly.
    """
    try:
        with _written(Path(os.path.realpath(path))) as stream:  # through links: the link stays
            yield stream
    except OSError as error:
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from error


@contextlib.contextmanager
def _written(target: Path) -> Iterator[BinaryIO]:
    if target.exists() and not target.is_file():
        with target.open("wb") as stream:
            yield stream
        return
    temporary = _temporary(target)
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # else a power cut may leave the name without the content
        os.replace(temporary, target)
    except BaseException:  # an interruption, too, leaves nothing behind
        temporary.unlink(missing_ok=True)
        raise


def _temporary(target: Path) -> Path:
    """A name in the same folder that nobody has."""
    return target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.tmp")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError when `path` cannot be written, before the work whose result goes there."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist; create it first")
    try:
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(0, "no permission")
        if not target.exists() or target.is_file():  # neither a device nor a pipe
            probe = _temporary(target)  # what the folder allows is known only when it is tried
            try:
                probe.open("xb").close()
            finally:
                probe.unlink(missing_ok=True)
    except OSError as error:
        raise PermissionError(
            f"{path} cannot be written ({str(error.strerror).lower()}); choose another place"
        ) from error
