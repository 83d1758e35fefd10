"""Answers as JSON: in words by the signature, or, as most are, from pieces that are made once a version. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from shipway.contract.describing import describe_contributions, describe_outputs
from shipway.contract.signature import Signature

_encode = msgspec.json.Encoder().encode
Rows = Sequence[Sequence[float]]


_MANY = 8  # rows from which on the encoder is quicker than a piece a row


class _Label(msgspec.Struct, gc=False):
    id: str
    label: str
    probability: float


class _Value(msgspec.Struct, gc=False):
    id: str
    value: float


class Rendering:
    """Renders a version's answers; made once for its route."""

    def __init__(self, model: str, version: int, signature: Signature) -> None:
        self._head: dict[str, Any] = {"model": model, "version": version}
        self._signature = signature
        self._row = _row_of(signature)
        self._begin = _encode(self._head)[:-1] + b',"predictions":['

    def answer(
        self, ids: Sequence[str], scores: Rows, *, explain: bool = False, looked_up: Mapping[str, int] | None = None
    ) -> bytes:
        """The answer's body, a prediction a row of ``scores``, which contributions follow where they were asked for."""
        row = self._row
        if row is None or explain or looked_up is not None:
            return self._in_words(ids, scores, explain, looked_up)
        if len(ids) >= _MANY:
            return b"%b%b}" % (self._begin[:-1], _encode(self._listed(ids, [numbers[0] for numbers in scores])))
        told = b",".join([row(one, numbers[0]) for one, numbers in zip(ids, scores, strict=True)])
        return b"%b%b]}" % (self._begin, told)

    def _listed(self, ids: Sequence[str], numbers: Sequence[float]) -> "list[_Label] | list[_Value]":
        if not self._signature.classes:
            return list(map(_Value, ids, numbers))
        no, yes = self._signature.classes
        return list(map(_Label, ids, [yes if number >= 0.5 else no for number in numbers], numbers))

    def _in_words(self, ids: Sequence[str], scores: Rows, explain: bool, looked_up: Mapping[str, int] | None) -> bytes:
        signature, width = self._signature, self._signature.outputs_per_row
        told = describe_outputs(signature, [row[:width] for row in scores] if explain else scores)
        if explain:
            told = [one | describe_contributions(signature, row[width:]) for one, row in zip(told, scores, strict=True)]
        answer = self._head | {"predictions": [{"id": one, **words} for one, words in zip(ids, told, strict=True)]}
        if looked_up is not None:
            answer["looked_up"] = looked_up
        return _encode(answer)


def _row_of(signature: Signature) -> Callable[[str, float], bytes] | None:
    """What renders a row by its id, 32 hexadecimal digits, and its only number; None where it has more than one."""
    if signature.output == "regression":
        return lambda one, number: b'{"id":"%b","value":%b}' % (one.encode(), _encode(number))
    if signature.output != "binary" or len(signature.classes) != 2:
        return None
    no, yes = [b'","label":%b,"probability":' % _encode(name) for name in signature.classes]

    def row(one: str, number: float) -> bytes:
        return b'{"id":"%b%b%b}' % (one.encode(), yes if number >= 0.5 else no, _encode(number))

    return row
