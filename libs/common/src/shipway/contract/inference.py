"""Inference by the Open Inference Protocol v2, as gateway and predictor both answer it: a model's tensors by signature.

Inputs are a tensor a feature, named as the feature ([rows] or [rows, 1]; a category is BYTES), or all of them as one,
``rows`` ([rows, features], in the signature's order, categories by their code). Outputs are ``scores`` (FP64, [rows,
outputs]), ``label`` (BYTES, [rows], of classes) and ``prediction_id`` (BYTES, [rows], which feedback names).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.contract.errors import InvalidField
from shipway.contract.signature import Feature, RowEncoder, Signature, describe_output
from shipway.contract.tensors import NUMBERS, Read, Tensor, read_tensors, write_tensor

Matrix = npt.NDArray[np.float64]
LENGTH_HEADER = "inference-header-content-length"
DEADLINE_HEADER = "shipway-deadline-ms"
TIMEOUT_HEADER = "x-request-timeout-ms"
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


def decode_request(body: bytes, header_length: str | None, encoder: RowEncoder, *, max_rows: int) -> InferRequest:
    """The request in a body, its rows encoded.

    Raises:
        InvalidField: it is no request for such a model; says which part and why. InvalidRows: its values are wrong.
    """
    length = _header_length(body, header_length)
    try:
        header = _request.decode(body[:length])
        labels = msgspec.convert(header.parameters, Labels)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise InvalidField("body", f"is not an inference request: {err}") from err
    features = len(encoder.signature.features)
    inputs = read_tensors(header.inputs, body[length:], "inputs", max_values=max_rows * features)
    if inputs and inputs[0].shape[0] > max_rows:
        raise InvalidField("inputs[0].shape", f"has {inputs[0].shape[0]} rows; {max_rows} are allowed")
    rows = _rows(inputs, encoder)
    for name, ids in (("prediction_ids", labels.prediction_ids), ("client_ids", labels.client_ids or [])):
        if ids and len(ids) != len(rows):
            raise InvalidField(f"parameters.{name}", f"has {len(ids)} entries for {len(rows)} rows")
    return InferRequest(header.id, labels, rows, _wanted(header, labels, encoder.signature))


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


def asked_model(path: str) -> tuple[str, int | None] | None:
    """The model and version that a path of the protocol asks to infer; None where it is no such path.

    ``/v2/models/{model}/infer`` or ``/v2/models/{model}/versions/{version}/infer``. The version is None where the path
    has none, and 0, which none is, where it can be none.
    """
    match path.split("/"):
        case ["", "v2", "models", model, "infer"]:
            return model, None
        case ["", "v2", "models", model, "versions", version, "infer"]:
            return model, version_of(version) or 0
    return None


def version_of(text: str) -> int | None:
    """The version that a path names; None where it can be none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _header_length(body: bytes, text: str | None) -> int:
    if text is None:
        return len(body)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > len(body):
        raise InvalidField(LENGTH_HEADER, f"{text[:20]!r} must be the length of the JSON at the body's start")
    if int(text) > _MAX_HEADER_BYTES:
        raise InvalidField(LENGTH_HEADER, f"is over {_MAX_HEADER_BYTES}")
    return int(text)


def _rows(inputs: Sequence[Read], encoder: RowEncoder) -> Matrix:
    """The rows of a request's tensors; of a model with a feature named ``rows`` a tensor of one column is that."""
    if len(inputs) == 1 and inputs[0].name == "rows" and len(inputs[0].shape) == 2:
        return _whole(inputs[0], encoder)
    if not inputs:
        raise InvalidField("inputs", 'needs a tensor a feature, or all as one with the name "rows"')
    count, columns = inputs[0].shape[0], {}
    for i, tensor in enumerate(inputs):
        if tensor.shape not in ((count,), (count, 1)):
            raise InvalidField(f"inputs[{i}].shape", f"is {list(tensor.shape)}; [{count}] or [{count}, 1] is wanted")
        if tensor.name in columns:
            raise InvalidField(f"inputs[{i}].name", f"{tensor.name[:100]!r} is there twice")
        columns[tensor.name] = tensor
    rows = _by_column(columns, count, encoder)
    if rows is None:
        told = zip(*(tensor.scalars() for tensor in columns.values()), strict=True)
        rows = np.array(encoder.encode([dict(zip(columns, values, strict=True)) for values in told]), dtype=np.float64)
    return rows


def _by_column(tensors: Mapping[str, Read], count: int, encoder: RowEncoder) -> Matrix | None:
    """The rows of a tensor a feature, where nothing is unusual, as in most; None leaves it to ``encoder.encode``."""
    if tensors.keys() != encoder.names:
        return None
    rows = np.empty((count, len(encoder.columns)), np.float64)
    for i, (feature, codes) in enumerate(encoder.columns):
        values, datatype = tensors[feature.name].values, tensors[feature.name].datatype
        try:
            if feature.type == "category" and datatype == "BYTES":
                rows[:, i] = [codes[value] for value in values]
            elif feature.type == "boolean" and datatype == "BOOL" and None not in values:
                rows[:, i] = values
            elif feature.type == "number" and datatype in NUMBERS:
                rows[:, i] = values  # None becomes NaN
            else:
                return None
        except (KeyError, OverflowError):
            return None
        if np.isinf(rows[:, i]).any() or (not feature.nullable and np.isnan(rows[:, i]).any()):
            return None
    return rows


def _whole(tensor: Read, encoder: RowEncoder) -> Matrix:
    features = encoder.signature.features
    if tensor.shape[1] != len(features):
        raise InvalidField("inputs[0].shape", f"is {list(tensor.shape)}; [rows, {len(features)}] is wanted")
    if tensor.datatype not in NUMBERS:
        raise InvalidField("inputs[0].datatype", f"{tensor.datatype[:20]!r}: the rows of all features are numbers")
    try:
        rows = np.asarray(tensor.values, dtype=np.float64).reshape(tensor.shape)
    except OverflowError as err:
        raise InvalidField("inputs[0].data", "holds a number that is too large") from err
    if np.isinf(rows).any():
        raise InvalidField("inputs[0].data", "holds an infinite number; a missing value is null, or NaN in bytes")
    for feature, column in zip(features, rows.T, strict=True):
        _check_column(feature, column)
    return np.ascontiguousarray(rows)


def _check_column(feature: Feature, column: Matrix) -> None:
    if not feature.nullable and np.isnan(column).any():
        raise InvalidField("inputs[0].data", f"lacks a value of {feature.name}, which must not be null")
    if feature.type == "category":
        codes = column[column >= 0]
        if (codes >= len(feature.categories)).any() or (codes != np.floor(codes)).any():
            known = len(feature.categories) - 1
            raise InvalidField("inputs[0].data", f"holds what is no code of {feature.name}: 0 to {known}, or missing")


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
    return [str(describe_output(signature, row)["label"]) for row in scores.tolist()]
