"""Records of arrays, passed to compiled code by the address of the numbers that describe them.

Numba would hand over every field of every array as an argument of its own. Of a task with twenty
arrays these are hundreds, and unpacking them takes long, and longer to be compiled.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    infer_getattr,
    lower_getattr_generic,
    models,
    register_model,
)

i64 = ir.IntType(64)


# --- in Python --------------------------------------------------------------------------------
def describe(record: tuple[Any, ...], numbers: list[int], kinds: list[Any]) -> None:
    """Append the numbers that a record consists of, and what the type of its fields depends on.

    An array is its size, the bytes of an element, its address, its shape, and its strides.
    """
    kinds.append(type(record))
    for field in record:
        if isinstance(field, np.ndarray):
            numbers += field.size, field.itemsize, address_of(field), *field.shape, *field.strides
            kinds += field.dtype, field.ndim, field.flags.num
        elif isinstance(field, tuple):
            describe(field, numbers, kinds)
        else:
            numbers.append(field)
            kinds.append(int)


def address_of(array: np.ndarray) -> int:
    """Return where the elements of an array are."""
    try:
        return ctypes.addressof(nothing_at(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only, or with gaps
        return int(array.ctypes.data)


# Five times faster than `array.ctypes.data`.
nothing_at = (ctypes.c_char * 0).from_buffer


# --- in compiled code -------------------------------------------------------------------------
class RecordAt(types.Type):
    """The address of the numbers of a record; its attributes are the record's fields."""

    def __init__(self, record: types.BaseNamedTuple):
        self.record = record
        super().__init__(f"RecordAt({record})")


@register_model(RecordAt)
class RecordAtModel(models.PrimitiveModel):
    """An address, which needs no type in LLVM."""

    def __init__(self, manager: Any, kind: RecordAt):
        super().__init__(manager, kind, i64.as_pointer())


@infer_getattr
class RecordAtAttributes(AttributeTemplate):
    """A field has the type that it has in the record."""

    key = RecordAt

    def generic_resolve(self, value: RecordAt, attribute: str) -> Any:
        """Return the type of a field."""
        fields = dict(zip(value.record.fields, value.record.types, strict=True))
        return fields.get(attribute)


@lower_getattr_generic(RecordAt)
def read_field(context: Any, builder: Any, kind: RecordAt, address: Any, attribute: str) -> Any:
    """Emit what reads a field."""
    index = kind.record.fields.index(attribute)
    place = sum(map(size, kind.record.types[:index]))
    return read(context, builder, kind.record.types[index], address, place)


def size(kind: Any) -> int:
    """How many numbers describe a value of such a type."""
    if isinstance(kind, types.BaseTuple):
        return sum(map(size, kind.types))
    return 3 + 2 * kind.ndim if isinstance(kind, types.Array) else 1


def read(context: Any, builder: Any, kind: Any, address: Any, place: int) -> Any:
    """Emit what makes a value of the numbers from a place on."""

    def number(i: int) -> Any:
        value = builder.load(builder.gep(address, [i64(place + i)]))
        # Nobody writes these, so that LLVM may take them out of loops that write to arrays.
        value.set_metadata("invariant.load", builder.module.add_metadata([]))
        return value

    if isinstance(kind, types.BaseTuple):
        values = []
        for one in kind.types:
            values.append(read(context, builder, one, address, place))
            place += size(one)
        return context.make_tuple(builder, kind, values)
    if not isinstance(kind, types.Array):
        return number(0)
    array = context.make_array(kind)(context, builder)
    array.nitems, array.itemsize = number(0), number(1)
    array.data = builder.inttoptr(number(2), array.data.type)
    array.shape = cgutils.pack_array(builder, [number(3 + i) for i in range(kind.ndim)])
    array.strides = cgutils.pack_array(
        builder, [number(3 + kind.ndim + i) for i in range(kind.ndim)]
    )
    # Python keeps them alive: there is nothing to count.
    array.meminfo = array.meminfo.type(None)
    array.parent = array.parent.type(None)
    return array._getvalue()
