"""Inference by the Open Inference Protocol v2, as gateway and predictor both answer it: a model's tensors by signature.

Inputs are a tensor a feature, named as the feature ([rows] or [rows, 1]; a category is BYTES), or all of them as one,
``rows`` ([rows, features], in the signature's order, categories by their code). Outputs are ``scores`` (FP64, [rows,
outputs]), ``label`` (BYTES, [rows], of classes) and ``prediction_id`` (BYTES, [rows], which feedback names).
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.contract.describing import describe_output
from shipway.contract.errors import InvalidField
from shipway.contract.inferpaths import LENGTH_HEADER
from shipway.contract.inferrows import Encode, rows_of
from shipway.contract.rowencoding import RowEncoder
from shipway.contract.signature import Scalar, Signature
from shipway.contract.tensors import NUMBERS, Read, Tensor, read_numbers, read_tensors, write_tensor

Matrix = npt.NDArray[np.float64]
NOT_LOADED = "version-not-loaded"
_MAX_HEADER_BYTES = 4_000_000
_DATATYPES = {"number": "FP64", "category": "BYTES", "boolean": "BOOL"}
# What changes what an answer means must not be passed over.
_REFUSED = {"classification", "shared_memory_region"}


class RequestHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON of a request."""

    id: str = ""
    parameters: dict[str, Any] = {}
    inputs: list[Tensor]
    outputs: list[Tensor] = []


class _Numbers(Tensor, frozen=True, kw_only=True, omit_defaults=True):
    """The tensor of all features as flat numbers."""

    name: Literal["rows"]
    data: list[float | None]


class _Nested(_Numbers, frozen=True, kw_only=True, omit_defaults=True):
    """The tensor of all features, a list of numbers a row."""

    data: list[list[float | None]]  # type: ignore[assignment]


class _NumbersHeader(RequestHeader, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON of a request that has that tensor and no other."""

    inputs: Annotated[list[_Numbers], msgspec.Meta(min_length=1, max_length=1)]  # type: ignore[assignment]


class _NestedHeader(RequestHeader, frozen=True, kw_only=True, omit_defaults=True):
    inputs: Annotated[list[_Nested], msgspec.Meta(min_length=1, max_length=1)]  # type: ignore[assignment]


class AnswerHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON of an answer."""

    model_name: str
    model_version: str
    id: str = ""
    outputs: list[Tensor]


class Labels(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request's parameters: what goes along with the rows for the record, one id a row; ``timeout`` in µs.

    ``explain`` asks for the tensor ``contributions`` besides (FP64, [rows, outputs, features + 1]): for each output a
    SHAP value a feature, in the signature's order, and the base; they add up to the raw score.
    """

    prediction_ids: list[str] = []
    client_ids: list[Annotated[str, msgspec.Meta(max_length=200)]] | None = None
    role: str = ""
    generation: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    timeout: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    binary_data_output: bool = False
    explain: bool = False


@dataclass(frozen=True)
class InferRequest:
    """A request as it is understood. ``outputs`` are those that are wanted, each with whether it is as bytes."""

    id: str
    labels: Labels
    rows: Matrix
    outputs: tuple[tuple[str, bool], ...]


_request = msgspec.json.Decoder(RequestHeader)
_numbers, _nested = msgspec.json.Decoder(_NumbersHeader), msgspec.json.Decoder(_NestedHeader)
_answer = msgspec.json.Decoder(AnswerHeader)
_encode = msgspec.json.Encoder().encode


def model_metadata(model: str, versions: Sequence[int], signature: Signature) -> dict[str, Any]:
    """What the protocol says of a model: its tensors."""
    outputs = [{"name": "scores", "datatype": "FP64", "shape": [-1, signature.outputs_per_row]}]
    outputs += [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in _outputs(signature)[1:]]
    return {
        "name": model,
        "versions": [str(version) for version in versions],
        "platform": "lightgbm",
        "inputs": [{"name": f.name, "datatype": _DATATYPES[f.type], "shape": [-1]} for f in signature.features],
        "outputs": outputs,
    }


def encode_request(request_id: str, labels: Labels, rows: Matrix) -> tuple[int, bytes]:
    """A request for the scores of rows: the length of its JSON, for the header, and the body."""
    tensor, tail = write_tensor("rows", "FP64", rows, binary=True)
    header = _encode(
        RequestHeader(
            id=request_id,
            parameters=msgspec.to_builtins(labels),
            inputs=[tensor],
            outputs=[Tensor(name="scores", parameters={"binary_data": True})],
        )
    )
    return len(header), header + tail


def decode_request(
    body: bytes, header_length: str | None, encoder: RowEncoder, *, max_rows: int, encode: Encode | None = None
) -> InferRequest:
    """The request in a body, its rows encoded: by ``encode`` where a tensor is not simply a feature's column.

    Raises:
        InvalidField: it is no request for such a model; says which part and why. InvalidRows: its values are wrong.
    """
    length = _header_length(body, header_length)
    features = len(encoder.signature.features)
    header, inputs = _read_numbers(body, length, max_rows * features)
    try:
        if header is None:
            header = _request.decode(body[:length])
        labels = msgspec.convert(header.parameters, Labels)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise InvalidField("body", f"is not an inference request: {err}") from err
    if not inputs:
        inputs = read_tensors(header.inputs, body[length:], "inputs", max_values=max_rows * features)
    if inputs and inputs[0].shape[0] > max_rows:
        raise InvalidField("inputs[0].shape", f"has {inputs[0].shape[0]} rows; {max_rows} are allowed")
    rows = rows_of(inputs, encoder, encode)
    for name, ids in (("prediction_ids", labels.prediction_ids), ("client_ids", labels.client_ids or [])):
        if ids and len(ids) != len(rows):
            raise InvalidField(f"parameters.{name}", f"has {len(ids)} entries for {len(rows)} rows")
    return InferRequest(header.id, labels, rows, _wanted(header, labels, encoder.signature))


def _read_numbers(body: bytes, length: int, max_values: int) -> tuple[RequestHeader | None, list[Read]]:
    """A request of numbers alone, as those of many rows are: the parser then knows that it has nothing else."""
    header = _numbers_in(body) if length == len(body) else None
    if header is None:
        return None, []
    (tensor,) = header.inputs
    if len(tensor.shape) != 2 or tensor.datatype not in NUMBERS or "binary_data_size" in tensor.parameters:
        return None, []
    data = list(chain.from_iterable(tensor.data)) if isinstance(tensor, _Nested) else tensor.data
    return header, [read_numbers(tensor, data, "inputs[0]", max_values=max_values)]


def _numbers_in(body: bytes) -> _NumbersHeader | _NestedHeader | None:
    for decode in (_numbers.decode, _nested.decode):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return decode(body)
    return None


def first_value(body: bytes, header_length: str | None, name: str) -> Scalar:
    """The first value of the input tensor of that name, before it is known which version reads the request.

    None where there is none; what is wrong with the request is for that version to say.
    """
    try:
        length = _header_length(body, header_length)
        header = _request.decode(body[:length])
        inputs = read_tensors(header.inputs, body[length:], "inputs", max_values=len(body))
    except (InvalidField, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return next((tensor.scalars()[0] for tensor in inputs if tensor.name == name), None)


def encode_answer(
    model: str, version: int, request: InferRequest, signature: Signature, scores: Matrix, ids: Sequence[str]
) -> tuple[int | None, bytes]:
    """An answer of scores (rows, outputs): the length of its JSON (None where all is JSON), and the body.

    Where contributions are wanted, each row of ``scores`` has them after its outputs.
    """
    tensors, tails = [], []
    width = signature.outputs_per_row
    contributions, scores = scores[:, width:], scores[:, :width]
    for name, binary in request.outputs:
        if name == "scores":
            tensor, tail = write_tensor(name, "FP64", scores, binary=binary)
        elif name == "contributions":
            shaped = contributions.reshape(len(scores), width, len(signature.features) + 1)
            tensor, tail = write_tensor(name, "FP64", shaped, binary=binary)
        else:
            texts = list(ids) if name == "prediction_id" else _labels(signature, scores)
            tensor, tail = write_tensor(name, "BYTES", texts, binary=binary)
        tensors.append(tensor)
        tails.append(tail)
    header = _encode(AnswerHeader(model_name=model, model_version=str(version), id=request.id, outputs=tensors))
    return (len(header), header + b"".join(tails)) if any(b for _, b in request.outputs) else (None, header)


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
    if not header.outputs or header.outputs[0].name != "scores":
        raise InvalidField("outputs", 'must begin with the tensor "scores"')
    scores = read_tensors(header.outputs, body[length:], "outputs", max_values=rows * max(1, outputs))[0]
    if scores.shape != (rows, outputs) or scores.datatype not in NUMBERS:
        raise InvalidField("outputs[0].shape", f"is {list(scores.shape)}; [{rows}, {outputs}] was asked")
    return np.ascontiguousarray(np.asarray(scores.values, dtype=np.float64).reshape(rows, outputs))


def _header_length(body: bytes, text: str | None) -> int:
    if text is None:
        return len(body)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > len(body):
        raise InvalidField(LENGTH_HEADER, f"{text[:20]!r} must be the length of the JSON at the body's start")
    if int(text) > _MAX_HEADER_BYTES:
        raise InvalidField(LENGTH_HEADER, f"is over {_MAX_HEADER_BYTES}")
    return int(text)


def _outputs(signature: Signature) -> list[str]:
    return ["scores", *(["label"] if signature.classes else []), "prediction_id"]


def _wanted(header: RequestHeader, labels: Labels, signature: Signature) -> tuple[tuple[str, bool], ...]:
    known = [*_outputs(signature), *(["contributions"] if labels.explain else [])]
    for i, output in enumerate(header.outputs):
        if output.name not in known:
            raise InvalidField(f"outputs[{i}].name", f"{output.name[:100]!r} is none of {', '.join(known)}")
        if refused := _REFUSED & output.parameters.keys():
            raise InvalidField(f"outputs[{i}].parameters.{min(refused)}", "is not supported here")
    if not header.outputs:
        return tuple((name, labels.binary_data_output) for name in known)
    return tuple(
        (o.name, o.parameters.get("binary_data", labels.binary_data_output) is True)
        for o in {o.name: o for o in header.outputs}.values()
    )


def _labels(signature: Signature, scores: Matrix) -> list[str]:
    if signature.output == "binary":
        no, yes = signature.classes
        return [yes if number >= 0.5 else no for number in scores[:, 0].tolist()]
    return [str(describe_output(signature, row)["label"]) for row in scores.tolist()]
