"""Who may do what: scopes, expiry, rates, as plain values."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.runtime.access import OPEN_PATHS, SCOPES, Scope, Token, admit, refuses, scope_of

NEEDED: list[tuple[str, str, Scope | None]] = [
    ("POST", "/predict/m", "predict"),
    ("POST", "/predict", "predict"),
    ("GET", "/results/0", "predict"),
    ("DELETE", "/results/0", "operate"),
    ("POST", "/v2/models/m/infer", "predict"),
    ("POST", "/v2/models/m/versions/3/infer", "predict"),
    ("POST", "/feedback", "feedback"),
    ("POST", "/feedback/batch", "feedback"),
    ("POST", "/feedbacks", "operate"),
    ("GET", "/predict/m", "read"),
    ("GET", "/models", "read"),
    ("GET", "/features", "read"),
    ("GET", "/features/customers/7", "operate"),
    ("HEAD", "/features/", "operate"),
    ("GET", "/api/events", "read"),
    ("GET", "/openapi.json", "read"),
    ("GET", "/livez/", "read"),
    ("POST", "//predict/m", "operate"),
    ("DELETE", "/models/m", "operate"),
    ("POST", "/api/models/m/rollback", "operate"),
    ("GET", "/livez", None),
    ("GET", "/readyz", None),
    ("GET", "/metrics", None),
    ("GET", "/v2/health/ready", None),
    ("GET", "/v2/models/m/ready", "read"),
    ("GET", "/dashboard/sign-in", None),
    ("POST", "/dashboard/sign-in", None),
    ("DELETE", "/dashboard/sign-in", "operate"),
    ("POST", "/dashboard/sign-out", "read"),
    ("GET", "/dashboard/static/dashboard.css", None),
    ("POST", "/dashboard/static/dashboard.css", "operate"),
    ("GET", "/dashboard", "read"),
    ("GET", "/dashboard/static", "read"),
    ("POST", "/dashboard/models/m/commands/freeze", "operate"),
]


@pytest.mark.parametrize(("method", "path", "scope"), NEEDED)
def test_each_request_needs_its_scope(method: str, path: str, scope: Scope | None) -> None:
    assert scope_of(method, path) == scope


@given(method=st.text(max_size=9), path=st.text(max_size=30))
def test_nothing_but_health_and_figures_is_open(method: str, path: str) -> None:
    assert (scope_of(method, path) is None) == (path in OPEN_PATHS)
    if method not in ("GET", "HEAD", "OPTIONS", "POST") and path not in OPEN_PATHS:
        assert scope_of(method, path) == "operate", "a method that no rule knows changes something"


@given(has=st.sets(st.sampled_from(SCOPES)), wanted=st.sampled_from(SCOPES))
def test_a_token_opens_its_scopes_and_no_other(has: set[Scope], wanted: Scope) -> None:
    refusal = refuses(Token("t", b"", frozenset(has)), wanted, 0.0)
    assert (refusal is None) == (wanted in has)
    if refusal is not None:
        assert refusal.status == 403
        assert wanted in refusal.detail
        assert refusal.challenge is not None
        assert f'scope="{wanted}"' in refusal.challenge


def test_a_token_ends_at_its_moment() -> None:
    token = Token("t", b"", frozenset(get_args(Scope)), expires_at=100.0)
    assert refuses(token, "read", 99.9) is None
    refusal = refuses(token, "read", 100.0)
    assert refusal is not None
    assert (refusal.status, "expired" in refusal.detail) == (401, True)


@given(
    gaps=st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
    per_s=st.floats(0.5, 100),
    burst=st.integers(1, 20),
)
def test_no_more_pass_than_burst_and_rate_allow(gaps: list[float], per_s: float, burst: int) -> None:
    due, now, passed = 0.0, 1000.0, []
    for gap in gaps:
        now += gap
        due, refusal = admit(due, now, per_s, burst)
        if refusal is None:
            passed.append(now)
        else:
            assert refusal.status == 429
            assert refusal.retry_after_s is not None
            assert admit(due, now + refusal.retry_after_s, per_s, burst)[1] is None, "after Retry-After it passes"
    assert len(passed) >= min(burst, len(gaps)), "the burst always passes"
    for start in range(len(passed)):
        for end in range(start, len(passed)):
            assert end - start + 1 <= burst + per_s * (passed[end] - passed[start]) + 1e-3
