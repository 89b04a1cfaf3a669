"""Parts of one length that blocks are gathered to, and checked as they pass.

So neither the speed nor the last bit of a result depends on how the rows were cut into blocks.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.data.blocks import Blocks, checked_block
from fastgmm.system.ahead import ahead

# Bytes of the points of a part. There are two: one is filled while the other is worked on.
PART_BYTES = 2**23
AS_BEFORE = "give the same rows in the same order in every pass"


class Part(NamedTuple):
    """Successive rows, to be used before the next part but one is asked for."""

    X: FloatArray  # (m, d)
    weight: FloatArray | None  # (m,)
    first: int  # the number of the first row


class Kind(NamedTuple):
    """What all blocks have in common."""

    n_features: int
    dtype: np.dtype
    is_weighted: bool


class Summary(NamedTuple):
    """What one pass has seen, and all others have to see again."""

    kind: Kind
    n_rows: int
    n_weighted: int  # rows that have weight
    total_weight: float
    largest: float  # of all values, without signs
    checksums: tuple[int, ...]  # of the parts


class Parts:
    """Blocks as parts, which the first pass checks and later ones compare with the first."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self._summary: Summary | None = None

    @property
    def summary(self) -> Summary:
        """What there is in all the blocks, which takes a pass unless there has been one."""
        if self._summary is None:
            for _ in self:
                pass
        assert self._summary is not None
        return self._summary

    def __iter__(self) -> Iterator[Part]:
        """Go through the parts, of which the next is read while the caller works on this one."""
        with closing(ahead(self._checked())) as parts:
            yield from parts

    def kind(self) -> Kind:
        """Return what the blocks have in common, which takes a look at the first."""
        if self._summary is not None:
            return self._summary.kind
        with closing(self._gathered(length=1)) as parts:
            first = next(parts, None)
        if first is None:
            raise ValueError(self._nothing())
        return _kind(first.X, first.weight)

    def _checked(self) -> Generator[Part, None, None]:
        """Check each part, on the first pass for what it holds, and then for changes."""
        before, seen = self._summary, _Tally()
        for part in self._gathered():
            number = len(seen.checksums)
            seen.add(part)
            if before is None:
                self._check_values(part)
                seen.largest = max(seen.largest, float(part.X.max()), -float(part.X.min()))
            elif before.checksums[number : number + 1] != tuple(seen.checksums[number:]):
                raise ValueError(self._changed(part, before))
            yield part
        if before is None:
            self._summary = self._summarized(seen)
        elif seen.n_rows != before.n_rows:
            raise ValueError(_ended(seen.n_rows, before.n_rows))

    def _gathered(self, length: int | None = None) -> Generator[Part, None, None]:
        """Copy blocks into one of two buffers, and yield it when it is full."""
        kind: Kind | None = None if self._summary is None else self._summary.kind
        buffers: list[tuple[FloatArray, FloatArray | None]] = []
        first = filled = 0
        for number, block in _numbered(self.blocks):
            X, weight = checked_block(block, number)
            if len(X):
                kind = _same_kind(kind, _kind(X, weight), number)
                length = length or rows_of_part(kind)
                if not buffers:
                    buffers = [_buffer(kind, length), _buffer(kind, length)]
            taken = 0
            while taken < len(X):
                assert length is not None
                m = min(length - filled, len(X) - taken)
                points, weights = buffers[0]
                points[filled : filled + m] = X[taken : taken + m]
                if weights is not None and weight is not None:
                    weights[filled : filled + m] = weight[taken : taken + m]
                filled, taken = filled + m, taken + m
                if filled == length:
                    yield Part(points, weights, first)
                    buffers.reverse()
                    first, filled = first + filled, 0
            del block, X, weight  # before the next one is there
        if filled:
            points, weights = buffers[0]
            yield Part(points[:filled], None if weights is None else weights[:filled], first)

    def _summarized(self, seen: _Tally) -> Summary:
        if seen.kind is None:
            raise ValueError(self._nothing())
        total = seen.total_weight
        if seen.kind.is_weighted and not (np.isfinite(total) and total > 0):
            raise ValueError(
                f"The weights sum to {total}; give finite weights, of which one is positive."
            )
        found = seen.kind, seen.n_rows, seen.n_weighted, total, seen.largest
        return Summary(*found, tuple(seen.checksums))

    def _check_values(self, part: Part) -> None:
        """Refuse what is no number, and weights that are none."""
        X, weight = part.X, part.weight
        with np.errstate(over="ignore", invalid="ignore"):
            is_finite = np.isfinite(np.add.reduce(X, axis=None)) or np.isfinite(X).all()
        if not is_finite:
            row, column = np.argwhere(~np.isfinite(X))[0]
            self._refuse(part, row, f"X has {_in_words(X[row, column])} in column {column}")
        if weight is not None and not (np.isfinite(weight).all() and weight.min() >= 0):
            row = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))[0]
            self._refuse(part, row, f"the weight is {weight[row]}, and should be 0 or more")

    def _refuse(self, part: Part, row: int, said: str) -> None:
        place = self.blocks.place(part.first + int(row))
        raise ValueError(f"{place[0].upper()}{place[1:]}: {said}; leave such rows out.")

    def _changed(self, part: Part, before: Summary) -> str:
        end, length = part.first + len(part.X), rows_of_part(before.kind)
        if end > before.n_rows:
            return f"X has more rows than the {before.n_rows:,} of the first pass; {AS_BEFORE}."
        if len(part.X) < length and end < before.n_rows:
            return _ended(end, before.n_rows)
        first, last = self.blocks.place(part.first), self.blocks.place(end - 1)
        return f"X has changed since the first pass, between {first} and {last}; {AS_BEFORE}."

    def _nothing(self) -> str:
        return "X has no rows: no block was given, or all are empty; give one sample or more."


class _Tally:
    """What a pass has seen so far."""

    def __init__(self) -> None:
        self.kind: Kind | None = None
        self.n_rows = self.n_weighted = 0
        self.total_weight = self.largest = 0.0
        self.checksums: list[int] = []

    def add(self, part: Part) -> None:
        X, weight = part.X, part.weight
        self.kind = _kind(X, weight)
        self.n_rows += len(X)
        self.n_weighted += len(X) if weight is None else int(np.count_nonzero(weight))
        self.total_weight += len(X) if weight is None else float(weight.sum(dtype=np.float64))
        self.checksums.append(_checksum(X) + (0 if weight is None else _checksum(weight)))


def rows_of_part(kind: Kind) -> int:
    """Rows of a part: a matter of the width and type of the data, never of how they are cut."""
    return max(1, PART_BYTES // (kind.dtype.itemsize * kind.n_features))


def _ended(n_rows: int, expected: int) -> str:
    return f"X ended after {n_rows:,} rows, and had {expected:,} in the first pass; {AS_BEFORE}."


def _numbered(blocks: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Blocks with their numbers, none of them kept; an error on the way to one says so."""
    number, iterator = 0, iter(blocks)
    while True:
        try:
            block = next(iterator)
        except StopIteration:
            return
        except Exception as error:
            error.add_note(f"This happened while block {number} of X was read.")
            raise
        yield number, block
        del block
        number += 1


def _kind(X: FloatArray, weight: FloatArray | None) -> Kind:
    return Kind(X.shape[1], X.dtype, weight is not None)


def _same_kind(before: Kind | None, kind: Kind, number: int) -> Kind:
    """Refuse a block of another kind than those before it."""
    if before is None or kind == before:
        return kind
    if kind.n_features != before.n_features:
        said = f"{kind.n_features} features, and those before it {before.n_features}"
        remedy = "give blocks of the same features"
    elif kind.dtype != before.dtype:
        said = f"the type {kind.dtype}, and those before it {before.dtype}"
        remedy = "give all in one type, by astype"
    else:
        said = "weights, and those before it none" if kind.is_weighted else "no weights, as others"
        remedy = "give weights with all blocks, or with none"
    raise ValueError(f"Block {number} has {said}; {remedy}.")


def _buffer(kind: Kind, length: int) -> tuple[FloatArray, FloatArray | None]:
    weight = np.empty(length, kind.dtype) if kind.is_weighted else None
    return np.empty((length, kind.n_features), kind.dtype), weight


def _checksum(array: FloatArray) -> int:
    """Sum of the bits, read as integers: at the speed of memory, and with no rounding."""
    data = array.reshape(-1).view(np.uint8)
    whole = len(data) // 8 * 8
    return int(data[:whole].view(np.uint64).sum()) + int(data[whole:].sum())


def _in_words(value: float) -> str:
    return "NaN" if np.isnan(value) else "infinity"
