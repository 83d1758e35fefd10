"""Random bytes are random, and each of them is given out once, whoever asks at the same time."""

from concurrent.futures import ThreadPoolExecutor

from shipway.runtime.randomness import random_bytes


def test_no_bytes_are_given_out_twice() -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: random_bytes(16), range(20_000)))
    assert {len(one) for one in found} == {16}
    assert len(set(found)) == len(found)


def test_any_number_can_be_had() -> None:
    assert [len(random_bytes(n)) for n in (0, 1, 1024, 1025, 100_000)] == [0, 1, 1024, 1025, 100_000]
    assert set(random_bytes(100_000)) == set(range(256))
