"""What the hot path's metrics show is what the library's own would."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from shipway.runtime import hotmetrics
from shipway.runtime.hotmetrics import HotCounter, HotHistogram

BOUNDS = (0.25, 0.5, 1, 5)
IN_FILES = """
import os, sys
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from shipway.runtime.hotmetrics import HotCounter, HotHistogram
counter, histogram = HotCounter("a", "h", ["l"]), HotHistogram("b", "h")
counter.labels("x").inc(2)
histogram.observe(0.3)
together = CollectorRegistry()
multiprocess.MultiProcessCollector(together)
sys.stdout.write(generate_latest(together).decode())
"""


def shown(registry: CollectorRegistry) -> list[bytes]:
    return [line for line in generate_latest(registry).splitlines() if b"_created" not in line]


# Powers of two add up to the same in any order.
@given(st.lists(st.sampled_from([0.125, 0.25, 0.5, 0.75, 1, 4, 5, 8, 1024])), st.integers(0, 20), st.integers(1, 5))
def test_they_show_what_the_librarys_show(amounts: list[float], look_at: int, most: int) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hotmetrics, "_MOST", most)
        quick = HotCounter("a", "help", ["l"], registry=ours), HotHistogram("b", "help", buckets=BOUNDS, registry=ours)
        usual = Counter("a", "help", ["l"], registry=theirs), Histogram("b", "help", buckets=BOUNDS, registry=theirs)
        for i, amount in enumerate(amounts):
            for counter, histogram in (quick, usual):
                counter.labels(str(i % 2)).inc(amount)
                histogram.observe(amount)
            if i == look_at:
                assert shown(ours) == shown(theirs)
        assert shown(ours) == shown(theirs)
        assert shown(ours) == shown(theirs), "a look changes nothing"


def test_several_workers_have_them_in_their_files_at_once(tmp_path: Path) -> None:
    env = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", IN_FILES], capture_output=True, text=True, check=True, env=env).stdout
    assert 'a_total{l="x"} 2.0' in said
    assert "b_sum 0.3" in said and "b_count 1.0" in said
