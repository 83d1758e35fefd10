"""Dataclasses with arrays of numbers as bytes (MessagePack), small numbers in a byte each.

What was packed outlives a release: fields are only added, with defaults, and those not known are passed over.
"""

from typing import Any, TypeVar

import msgspec
import numpy as np

from shipway.contract.errors import Permanent

T = TypeVar("T")


def pack(value: Any) -> bytes:
    """A dataclass as bytes."""
    return msgspec.msgpack.encode(value, enc_hook=lambda array: array.tolist())


def unpack(data: bytes, kind: type[T]) -> T:
    """The inverse of pack.

    Raises:
        Permanent: the bytes are not of such a dataclass.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_array)
    except (msgspec.DecodeError, ValueError) as err:
        raise Permanent(f"a damaged {kind.__name__}: {err}") from err


def _array(_kind: type, numbers: Any) -> Any:
    return np.asarray(numbers) if numbers else np.zeros(0, np.int64)
