"""The inner hop's frames, however they come, and whatever is in them; what predictors record must fit their log."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.errors import InvalidField
from shipway.contract.inference import Labels, decode_request, encode_request
from shipway.contract.rowencoding import RowEncoder
from shipway.contract.rows import Answer, Ask, Frames, frame, matrix, read_answer, read_ask
from shipway.contract.signature import Feature, Signature

ASK = Ask(1, "m", 1, "champion", 1, 100, 2, b"p" * 32, b"t" * 32, None, np.ones((2, 3)).tobytes())

TWO = RowEncoder(Signature(features=[Feature(name=n, type="number") for n in "ab"], output="regression", target="y"))


def body_of(**changes: Any) -> bytes:
    return frame(Ask(**{f: getattr(ASK, f) for f in Ask.__struct_fields__} | changes))[4:]


@given(sizes=st.lists(st.integers(0, 300), max_size=6), cut=st.integers(1, 40))
def test_frames_come_whole_however_they_are_cut(sizes: list[int], cut: int) -> None:
    sent = [frame(Answer(i, 200, "x" * size)) for i, size in enumerate(sizes)]
    stream, frames = b"".join(sent), Frames(1000)
    found = [body for at in range(0, len(stream), cut) for body in frames.feed(stream[at : at + cut])]
    assert [read_answer(body).id for body in found] == list(range(len(sizes)))


def test_a_frame_that_is_announced_too_long_is_refused_before_it_comes() -> None:
    with pytest.raises(InvalidField, match="limit is 1000"):
        list(Frames(1000).feed(b"\xff\xff\xff\xff"))


@given(st.binary(max_size=200))
def test_any_body_is_refused_or_an_ask(body: bytes) -> None:
    for read in (read_ask, read_answer):
        try:
            assert isinstance(read(body), Ask | Answer)
        except InvalidField:
            continue


@given(at=st.integers(0, len(body_of()) - 1), byte=st.integers(0, 255), features=st.integers(0, 4))
def test_a_mangled_ask_is_refused_or_fits(at: int, byte: int, features: int) -> None:
    mangled = bytearray(body_of())
    mangled[at] = byte
    try:
        rows = matrix(read_ask(bytes(mangled)), features)
    except InvalidField:
        return
    assert rows.shape[1] == features


WRONG: list[dict[str, Any]] = [
    {"rows": 0},
    {"rows": -1},
    {"rows": 2**62},
    {"prediction_ids": b""},
    {"trace_ids": b"t" * 33},
    {"client_ids": ["a"]},
    {"generation": -1},
    {"generation": 2**63},
]


@pytest.mark.parametrize("changes", WRONG)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidField):
        read_ask(body_of(**changes))


def test_a_deeply_nested_frame_is_refused() -> None:
    with pytest.raises(InvalidField):
        read_ask(b"\x91" * 100_000)


@pytest.mark.parametrize("generation", [-1, 2**63])
def test_a_generation_that_no_log_can_hold_is_refused_over_http_too(generation: int) -> None:
    """It would take the other records of its batch along."""
    length, body = encode_request("r", Labels(generation=7), np.ones((1, 2)))
    assert decode_request(body, str(length), TWO, max_rows=1).labels.generation == 7
    wrong = body[:length].replace(b'"generation":7', f'"generation":{generation}'.encode())
    assert wrong != body[:length]
    with pytest.raises(InvalidField, match="generation"):
        decode_request(wrong + body[length:], str(len(wrong)), TWO, max_rows=1)
    assert msgspec.json.decode(body[:length])["parameters"]["generation"] == 7
