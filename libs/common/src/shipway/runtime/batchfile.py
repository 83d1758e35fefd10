"""A batch of prediction records as a file: whole or not there, with a checksum for a machine that lost its power.

Head (14 bytes): magic, length and CRC-32 of what follows, little-endian; then the batch as MessagePack.
"""

import struct
import zlib
from contextlib import suppress
from pathlib import Path

import msgspec

from shipway.contract.envelope import WireMessage
from shipway.contract.errors import Permanent

_HEAD = struct.Struct("<6sII")
_MAGIC = b"SHPWY1"
_BLOCK = 4096


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """A Kafka message, and what is in it: answered predictions (model, version, count), and other records."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    answered: list[tuple[str, int, int]]
    others: int

    @property
    def message(self) -> WireMessage:
        """The message as it is sent."""
        return WireMessage(self.key, self.value, self.headers)


_decode = msgspec.msgpack.Decoder(Batch).decode
_encode = msgspec.msgpack.Encoder().encode


def write_batch(file: Path, batch: Batch) -> int:
    """Writes a batch beside its place and renames it; gives the bytes that it takes, in whole blocks.

    Raises:
        OSError: the disk does not take it; nothing is left of it.
    """
    content = _encode(batch)
    beside = file.with_suffix(".part")
    try:
        with beside.open("wb") as out:
            out.write(_HEAD.pack(_MAGIC, len(content), zlib.crc32(content)))
            out.write(content)
        beside.replace(file)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    return blocks(_HEAD.size + len(content))


def read_batch(file: Path) -> Batch:
    """The batch in a file.

    Raises:
        Permanent: it is not whole, or not there.
    """
    try:
        data = file.read_bytes()
    except OSError as err:
        raise Permanent(f"{file}: {err.strerror or err}") from err
    if len(data) < _HEAD.size:
        raise Permanent(f"{file}: is cut off")
    magic, length, checksum = _HEAD.unpack_from(data)
    content = memoryview(data)[_HEAD.size :]
    if magic != _MAGIC or len(content) != length or zlib.crc32(content) != checksum:
        raise Permanent(f"{file}: is cut off or damaged")
    try:
        return _decode(content)
    except msgspec.DecodeError as err:
        raise Permanent(f"{file}: is no batch: {err}") from err


def blocks(size: int) -> int:
    """What a file of this size takes of a disk."""
    return -(-size // _BLOCK) * _BLOCK
