"""The tokens file: what is written is found again, the token itself nowhere, and a wrong line is named."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shipway.contract.errors import Permanent
from shipway.runtime.tokens import by_digest, create, digest_of, read_lines, revoke

SHA = "a" * 64


def test_a_token_is_found_by_its_hash_and_kept_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "made" / "tokens.jsonl"
    until = datetime(2030, 1, 1, tzinfo=UTC)
    given = create(path, "app", ["read", "predict"], expires_at=until, requests_per_s=5)
    other = create(path, "other", ["operate"])
    assert given != other
    assert len(given) >= len("shipway_") + 43, "256 random bits"
    text = path.read_text()
    assert given not in text
    assert given.removeprefix("shipway_") not in text
    token = by_digest(read_lines(path).values())[digest_of(given.encode())]
    assert (token.name, token.scopes) == ("app", frozenset({"read", "predict"}))
    assert (token.expires_at, token.requests_per_s) == (until.timestamp(), 5)


def test_a_revoked_token_is_gone_and_its_name_is_free(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    first = create(path, "app", ["read"])
    with pytest.raises(Permanent, match="taken"):
        create(path, "app", ["read"])
    inode = path.stat().st_ino
    revoke(path, "app")
    assert read_lines(path) == {}
    with pytest.raises(Permanent, match="no token in force"):
        revoke(path, "app")
    second = create(path, "app", ["predict"])
    known = by_digest(read_lines(path).values())
    assert digest_of(first.encode()) not in known
    assert digest_of(second.encode()) in known
    assert path.stat().st_ino == inode, "a container that has the file mounted sees it change"


def test_a_file_without_a_last_newline_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f'# by hand\n\n{{"name": "a", "sha256": "{SHA}", "scopes": ["read"]}}')
    create(path, "b", ["read"])
    assert set(read_lines(path)) == {"a", "b"}


WRONG = [
    ("{", "line 1"),
    ("[" * 5000, "line 1"),
    ('\n{"name": "a"}', "line 2: sha256"),
    (f'{{"name": "A b", "sha256": "{SHA}", "scopes": ["read"]}}', "name"),
    (f'{{"name": "a", "sha256": "{SHA}", "scopes": []}}', "scopes"),
    (f'{{"name": "a", "sha256": "{SHA}", "scopes": ["admin"]}}', "admin"),
    (f'{{"name": "a", "sha256": "{SHA}", "scope": ["read"]}}', "scope"),
    (f'{{"name": "a", "sha256": "{SHA}", "scopes": ["read"], "requests_per_s": 0}}', "requests_per_s"),
    (f'{{"name": "a", "sha256": "{SHA}", "scopes": ["read"], "expires_at": "2030-01-01T00:00:00"}}', "expires_at"),
    ("\xff", "line 1"),
]


@pytest.mark.parametrize(("text", "named"), WRONG)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(Permanent, match=named):
        read_lines(path)


def test_no_file_and_a_huge_one_are_said(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="shipway token create"):
        read_lines(tmp_path / "none")
    (tmp_path / "huge").write_bytes(b"#" * 4_000_001)
    with pytest.raises(Permanent, match="larger"):
        read_lines(tmp_path / "huge")


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    for name in ("", "a b", "a\nb", "../x", "x" * 64):
        with pytest.raises(Permanent, match="name"):
            create(tmp_path / "tokens", name, ["read"])
    assert not (tmp_path / "tokens").exists()
