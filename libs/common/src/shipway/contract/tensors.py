"""Tensors of the Open Inference Protocol v2 on the wire: in JSON, flat or nested, or as bytes behind the JSON.

Sources: https://github.com/kserve/open-inference-protocol and Triton's binary tensor data extension. Bytes are
little-endian, row by row; texts (BYTES) each after their length in 4 bytes.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.contract.errors import InvalidField

Vector = npt.NDArray[Any]
NUMBERS = {
    "FP64": "<f8",
    "FP32": "<f4",
    "FP16": "<f2",
    "INT64": "<i8",
    "INT32": "<i4",
    "INT16": "<i2",
    "INT8": "<i1",
    "UINT64": "<u8",
    "UINT32": "<u4",
    "UINT16": "<u2",
    "UINT8": "<u1",
}
_KINDS: dict[str, set[type]] = {"BYTES": {str}, "BOOL": {bool}, **{name: {int, float} for name in NUMBERS}}
_LENGTH = struct.Struct("<I")


class Tensor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tensor's description; ``data`` only where it is not binary."""

    name: str
    datatype: str = ""
    shape: list[int] = []
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


@dataclass(frozen=True)
class Read:
    """A tensor that was read: ``values`` flat, row by row; None, or NaN in an array, is a missing one."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any] | Vector

    def scalars(self) -> list[Any]:
        """The values as plain ones, the missing ones None."""
        if isinstance(self.values, list):
            return self.values
        found = self.values.tolist()
        return [None if v != v else v for v in found] if self.values.dtype.kind == "f" else found


def read_tensors(tensors: Sequence[Tensor], binary: bytes, field: str, *, max_values: int) -> list[Read]:
    """The tensors of a message; ``binary`` is what follows its JSON, in their order.

    Raises:
        InvalidField: one does not fit what it says of itself; ``field`` is where they are in the message.
    """
    found, at = [], 0
    for i, tensor in enumerate(tensors):
        where = f"{field}[{i}]"
        count = _count(tensor, where, max_values)
        if tensor.datatype not in _KINDS:
            raise InvalidField(f"{where}.datatype", f"{tensor.datatype[:20]!r} is none of {', '.join(sorted(_KINDS))}")
        values: list[Any] | Vector
        if tensor.data is not None:
            if "binary_data_size" in tensor.parameters:
                raise InvalidField(where, "has both data and a binary tensor")
            values = _plain(tensor, count, where)
        else:
            size = tensor.parameters.get("binary_data_size")
            if type(size) is not int or not 0 <= size <= len(binary) - at:
                raise InvalidField(
                    f"{where}.parameters.binary_data_size", f"must be the tensor's bytes; {len(binary) - at} are left"
                )
            values = _from_bytes(tensor.datatype, count, binary[at : at + size], where)
            at += size
        found.append(Read(tensor.name, tensor.datatype, tuple(tensor.shape), values))
    if at != len(binary):
        raise InvalidField(field, f"{len(binary) - at} bytes follow the JSON that are no tensor's")
    return found


def read_numbers(tensor: Tensor, data: Sequence[float | None], where: str, *, max_values: int) -> Read:
    """The tensor ``where`` of flat numbers in JSON, as ``read_tensors`` has it; None, a missing value, is NaN.

    Raises:
        InvalidField: it does not fit what it says of itself.
    """
    count = _count(tensor, where, max_values)
    if len(data) != count:
        raise InvalidField(f"{where}.data", f"has {len(data)} values; {count} are wanted")
    try:
        values = np.frombuffer(struct.pack(f"<{count}d", *data), "<f8")  # a third of what it takes NumPy
    except struct.error:  # a value is missing
        values = np.array(data, "<f8")
    return Read(tensor.name, tensor.datatype, tuple(tensor.shape), values)


def write_tensor(name: str, datatype: str, values: Vector | list[str], *, binary: bool) -> tuple[Tensor, bytes]:
    """A tensor for a message, and the bytes that follow it: FP64 of any shape, or texts, one a row."""
    if isinstance(values, list):
        shape, data = [len(values)], values
        tail = b"".join([_LENGTH.pack(len(b)) + b for b in (text.encode() for text in values)]) if binary else b""
    else:
        shape, data = list(values.shape), [] if binary else values.ravel().tolist()
        tail = values.astype(NUMBERS[datatype], copy=False).tobytes() if binary else b""
    if binary:
        return Tensor(name=name, datatype=datatype, shape=shape, parameters={"binary_data_size": len(tail)}), tail
    return Tensor(name=name, datatype=datatype, shape=shape, data=data), b""


def _count(tensor: Tensor, where: str, max_values: int) -> int:
    shape = tensor.shape
    if not 1 <= len(shape) <= 2 or any(n < 1 for n in shape) or math.prod(shape) > max_values:
        raise InvalidField(f"{where}.shape", f"is {shape!r:.60}; [rows] or [rows, columns] within the limits is wanted")
    return math.prod(shape)


def _plain(tensor: Tensor, count: int, where: str) -> list[Any] | Vector:
    values = tensor.data or []
    while values and set(map(type, values)) == {list}:
        values = [value for inner in values for value in inner]
    if len(values) != count:
        raise InvalidField(f"{where}.data", f"has {len(values)} values; {count} are wanted")
    wrong = set(map(type, values)) - _KINDS[tensor.datatype] - {type(None)}
    if wrong:
        names = ", ".join(sorted(kind.__name__ for kind in wrong))
        raise InvalidField(f"{where}.data", f"holds what is no {tensor.datatype}: {names}")
    return values


def _from_bytes(datatype: str, count: int, raw: bytes, where: str) -> list[Any] | Vector:
    if datatype == "BYTES":
        return _texts(count, raw, where)
    kind = np.dtype("u1" if datatype == "BOOL" else NUMBERS[datatype])
    if len(raw) != kind.itemsize * count:
        raise InvalidField(
            f"{where}.parameters.binary_data_size", f"is {len(raw)}; {kind.itemsize * count} bytes are wanted"
        )
    values = np.frombuffer(raw, dtype=kind)
    return [value != 0 for value in values.tolist()] if datatype == "BOOL" else values


def _texts(count: int, raw: bytes, where: str) -> list[Any]:
    found: list[Any] = []
    at = 0
    try:
        while len(found) < count:
            (length,) = _LENGTH.unpack_from(raw, at)
            end = at + 4 + length
            if end > len(raw):
                break
            found.append(raw[at + 4 : end].decode())
            at = end
    except struct.error:
        pass  # said below
    except UnicodeDecodeError as err:
        raise InvalidField(f"{where}", "holds text that is not UTF-8") from err
    if len(found) != count or at != len(raw):
        raise InvalidField(where, f"must be {count} texts, each after its length in 4 bytes")
    return found
