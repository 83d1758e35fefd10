"""The inner hop's protocol: frames over one TCP connection from a gateway to a predictor, many calls at a time.

A frame is a length (4 bytes, little-endian) and so many bytes of MessagePack: an ``Ask`` one way, an ``Answer`` the
other, matched by ``id``. Tensors are raw little-endian FP64, row by row. HTTP with the Open Inference Protocol stays
what others speak to a predictor; between gateway and predictor it cost ten times this.
"""

import struct
from array import array
from collections.abc import Iterator
from sys import byteorder
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.contract.errors import InvalidField

Matrix = npt.NDArray[np.float64]
ID_BYTES = 16
OK, NOT_LOADED, BUSY, LATE, WRONG, TOO_MUCH, FAILED = 200, 404, 503, 504, 422, 413, 500
_LENGTH = struct.Struct("<I")
_ONE = struct.Struct("<d")


class Ask(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Rows for one version. Ids and traces are 16 bytes a row, joined; ``client_ids`` has an entry a row, or is None.

    ``budget_ms`` is the time that is left for the answer. ``explain`` asks for contributions after a row's scores:
    ``outputs * (features + 1)`` numbers more (an instance of a release before answers with the scores alone).
    ``beside``: of a shadow's ask, the champion's scores of the same rows, for the instance to tell the distance.
    """

    id: int
    model: str
    version: int
    role: str
    generation: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    budget_ms: int
    rows: int
    prediction_ids: bytes
    trace_ids: bytes
    client_ids: list[str | None] | None
    values: bytes
    explain: bool = False
    beside: bytes = b""


class Answer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The scores, ``outputs`` numbers a row; or a ``status`` other than OK and the reason."""

    id: int
    status: int
    detail: str = ""
    outputs: int = 0
    scores: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_ask = msgspec.msgpack.Decoder(Ask)
_answer = msgspec.msgpack.Decoder(Answer)


def frame(message: Ask | Answer) -> bytes:
    """A message as a frame."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def read_ask(body: bytes) -> Ask:
    """The ask in a frame's body.

    Raises:
        InvalidField: it is none.
    """
    try:
        ask = _ask.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise InvalidField("frame", f"is not an ask: {err}") from err
    wrong_ids = len(ask.prediction_ids) != ID_BYTES * ask.rows or len(ask.trace_ids) != ID_BYTES * ask.rows
    if ask.rows < 1 or wrong_ids or (ask.client_ids is not None and len(ask.client_ids) != ask.rows):
        raise InvalidField("rows", f"{ask.rows} do not fit the ids that come with them")
    return ask


def read_answer(body: bytes) -> Answer:
    """The answer in a frame's body.

    Raises:
        InvalidField: it is none.
    """
    try:
        return _answer.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise InvalidField("frame", f"is not an answer: {err}") from err


def matrix(ask: Ask, features: int) -> Matrix:
    """The rows (rows, features) of an ask.

    Raises:
        InvalidField: they are not so many numbers.
    """
    if len(ask.values) != 8 * ask.rows * features:
        wanted = f"{ask.rows} rows of {features} numbers of 8 bytes"
        raise InvalidField("values", f"has {len(ask.values)} bytes; {wanted} are wanted")
    return np.frombuffer(ask.values, dtype="<f8").reshape(ask.rows, features)


class Frames:
    """Takes bytes as they come, and gives the bodies of whole frames."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that ``data`` completes.

        Raises:
            InvalidField: a frame is longer than allowed; nothing that follows can be understood.
        """
        rest = self._rest
        if not rest and len(data) >= 4 and _LENGTH.unpack_from(data)[0] == len(data) - 4 <= self._max:
            yield data[4:]  # one frame, whole, as they come where nobody is behind
            return
        rest += data
        start = 0
        while len(rest) - start >= 4:
            (length,) = _LENGTH.unpack_from(rest, start)
            if length > self._max:
                raise InvalidField("frame", f"has {length} bytes; the limit is {self._max}")
            if len(rest) - start - 4 < length:
                break
            yield bytes(rest[start + 4 : start + 4 + length])
            start += 4 + length
        del rest[:start]


def as_bytes(rows: list[list[float]]) -> bytes:
    """Rows of numbers, one or more of one length, as the rows protocol has them."""
    pack = struct.Struct(f"<{len(rows[0])}d").pack
    return b"".join([pack(*row) for row in rows])


def as_rows(scores: bytes, outputs: int) -> list[list[float]]:
    """Scores, ``outputs`` numbers a row, as lists; the inverse of as_bytes."""
    if len(scores) == 8:  # as most answers have it
        return [list(_ONE.unpack(scores))]
    found = array("d", scores)
    if byteorder == "big":
        found.byteswap()
    numbers = found.tolist()
    if outputs == 1:
        return [[number] for number in numbers]
    return [numbers[i : i + outputs] for i in range(0, len(numbers), outputs)]
