"""What gateway and predictor say to each other: Open Inference Protocol v2 with the binary tensor extension.

A request has one input, ``rows`` (FP64, [rows, features]), an answer one output, ``scores`` (FP64, [rows,
outputs]). With the header ``Inference-Header-Content-Length: N`` the body is N bytes of JSON and then the
tensor, little-endian; without it the tensor is in the JSON's ``data``, flat or nested.
"""

from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.contract.errors import InvalidField

Matrix = npt.NDArray[np.float64]
LENGTH_HEADER = "inference-header-content-length"
DEADLINE_HEADER = "shipway-deadline-ms"
NOT_LOADED = "version-not-loaded"
_MAX_HEADER_BYTES = 4_000_000


class Tensor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tensor's description; ``data`` only where it is not binary."""

    name: str
    datatype: str = ""
    shape: list[int] = []
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class RequestHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON of a request."""

    id: str = ""
    parameters: dict[str, Any] = {}
    inputs: list[Tensor]
    outputs: list[Tensor] = []


class AnswerHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON of an answer."""

    model_name: str
    model_version: str
    id: str = ""
    outputs: list[Tensor]


class Labels(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What goes along with the rows for the record: one prediction id a row, and why this version was asked."""

    prediction_ids: list[str] = []
    client_ids: list[str] | None = None
    role: str = ""
    generation: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0


class InferRequest(NamedTuple):
    """A request as the predictor understands it. ``binary`` says how the answer is wanted."""

    id: str
    labels: Labels
    rows: Matrix
    binary: bool


_request = msgspec.json.Decoder(RequestHeader)
_answer = msgspec.json.Decoder(AnswerHeader)
_encode = msgspec.json.Encoder().encode


def encode_request(request_id: str, labels: Labels, rows: Matrix) -> tuple[int, bytes]:
    """A request: the length of its JSON, for the header, and the body."""
    header = _encode(
        RequestHeader(
            id=request_id,
            parameters=msgspec.to_builtins(labels),
            inputs=[
                Tensor(
                    name="rows",
                    datatype="FP64",
                    shape=list(rows.shape),
                    parameters={"binary_data_size": rows.nbytes},
                )
            ],
            outputs=[Tensor(name="scores", parameters={"binary_data": True})],
        )
    )
    return len(header), header + rows.astype("<f8", copy=False).tobytes()


def decode_request(body: bytes, header_length: str | None, *, features: int, max_rows: int) -> InferRequest:
    """The request in a body.

    Raises:
        InvalidField: it is not a request for a model with so many features; says which part and why.
    """
    length = _header_length(body, header_length)
    try:
        header = _request.decode(body[:length])
        labels = msgspec.convert(header.parameters, Labels)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise InvalidField("body", f"is not an inference request: {err}") from err
    if len(header.inputs) != 1 or header.inputs[0].name != "rows" or header.inputs[0].datatype != "FP64":
        raise InvalidField("inputs", 'must be one tensor with name "rows" and datatype "FP64"')
    rows = _tensor(header.inputs[0], body[length:], "inputs[0]", width=features, max_rows=max_rows)
    for name, ids in (("prediction_ids", labels.prediction_ids), ("client_ids", labels.client_ids or [])):
        if ids and len(ids) != len(rows):
            raise InvalidField(f"parameters.{name}", f"has {len(ids)} entries for {len(rows)} rows")
    binary = any(o.parameters.get("binary_data") is True for o in header.outputs)
    return InferRequest(header.id, labels, rows, binary)


def encode_answer(
    model: str, version: int, request_id: str, scores: Matrix, *, binary: bool
) -> tuple[int | None, bytes]:
    """An answer: the length of its JSON (None where all is JSON), and the body."""
    shape = list(scores.shape)
    if binary:
        tensor = Tensor(name="scores", datatype="FP64", shape=shape, parameters={"binary_data_size": scores.nbytes})
    else:
        tensor = Tensor(name="scores", datatype="FP64", shape=shape, data=scores.ravel().tolist())
    header = _encode(AnswerHeader(model_name=model, model_version=str(version), id=request_id, outputs=[tensor]))
    return (len(header), header + scores.astype("<f8", copy=False).tobytes()) if binary else (None, header)


def decode_answer(body: bytes, header_length: str | None, *, rows: int, outputs: int) -> Matrix:
    """The scores (rows, outputs) of an answer.

    Raises:
        InvalidField: it is not the answer to a request of so many rows.
    """
    length = _header_length(body, header_length)
    try:
        header = _answer.decode(body[:length])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise InvalidField("body", f"is not an inference answer: {err}") from err
    if len(header.outputs) != 1 or header.outputs[0].name != "scores":
        raise InvalidField("outputs", 'must be one tensor with name "scores"')
    scores = _tensor(header.outputs[0], body[length:], "outputs[0]", width=outputs, max_rows=rows)
    if len(scores) != rows:
        raise InvalidField("outputs[0].shape", f"has {len(scores)} rows; {rows} were asked")
    return scores


def _header_length(body: bytes, text: str | None) -> int:
    if text is None:
        return len(body)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > len(body):
        raise InvalidField(LENGTH_HEADER, f"{text[:20]!r} must be the length of the JSON at the body's start")
    if int(text) > _MAX_HEADER_BYTES:
        raise InvalidField(LENGTH_HEADER, f"is over {_MAX_HEADER_BYTES}")
    return int(text)


def _tensor(tensor: Tensor, binary: bytes, field: str, *, width: int, max_rows: int) -> Matrix:
    if len(tensor.shape) != 2 or tensor.shape[1] != width or not 1 <= tensor.shape[0] <= max_rows:
        raise InvalidField(
            f"{field}.shape", f"is {tensor.shape!r:.60}; [rows, {width}] with 1 to {max_rows} rows is wanted"
        )
    count = tensor.shape[0] * width
    if tensor.data is not None:
        try:
            values = np.asarray(tensor.data, dtype=np.float64).reshape(-1)
        except (ValueError, TypeError, OverflowError) as err:
            raise InvalidField(f"{field}.data", "must be numbers") from err
        if binary:
            raise InvalidField(field, "has both data and a binary tensor")
    else:
        if len(binary) != 8 * count or tensor.parameters.get("binary_data_size") != 8 * count:
            raise InvalidField(
                f"{field}.parameters.binary_data_size", f"{8 * count} bytes of tensor must follow the JSON"
            )
        values = np.frombuffer(binary, dtype="<f8")
    if values.size != count:
        raise InvalidField(f"{field}.data", f"has {values.size} numbers; {count} are wanted")
    return np.ascontiguousarray(values.reshape(tensor.shape[0], width))
