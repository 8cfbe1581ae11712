from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.core.errors import ConflictError, InputError
from trimtab.policy.keys import create_key, hash_key, revoke_key
from trimtab.storage.memory import MemoryStore
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from pathlib import Path


def test_a_secret_is_long_random_and_safe_in_a_header_or_url() -> None:
    store = MemoryStore()
    with store.write() as tx:
        secrets = {create_key(tx, "support", actor="ada", now_ms=1)[1] for _ in range(50)}
    assert len(secrets) == 50
    for secret in secrets:
        assert secret.startswith("tt-")
        assert len(secret) >= 3 + 43  # 32 bytes in base64
        assert set(secret) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_only_the_hash_is_kept_anywhere_on_disk(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "control.db")
    with store.write() as tx:
        key, secret = create_key(tx, "support", actor="ada", now_ms=1)
    with store.write() as tx:
        revoke_key(tx, key.id, actor="bob", now_ms=2)
        log = msgspec.json.encode(tx.audit())
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    store.close()
    assert key.hash == hash_key(secret) == hashlib.sha256(secret.encode()).hexdigest()
    assert key.hash.encode() in on_disk
    assert secret.encode() not in on_disk
    assert secret.removeprefix("tt-").encode() not in on_disk
    assert secret.encode() not in log
    assert key.hash.encode() not in log


def test_who_made_and_who_revoked_a_key_is_in_the_log() -> None:
    store = MemoryStore()
    with store.write() as tx:
        key, _ = create_key(tx, "support", actor="ada", now_ms=1)
        revoke_key(tx, key.id, actor="bob", now_ms=2)
        assert [(e.action, e.actor, e.subject, e.detail) for e in tx.audit()] == [
            ("key.create", "ada", key.id, {"team": "support"}),
            ("key.revoke", "bob", key.id, {"team": "support"}),
        ]


def test_a_key_revoked_twice_keeps_its_first_time() -> None:
    store = MemoryStore()
    with store.write() as tx:
        key, _ = create_key(tx, "support", actor="ada", now_ms=1)
        revoke_key(tx, key.id, actor="ada", now_ms=2)
    with pytest.raises(ConflictError), store.write() as tx:
        revoke_key(tx, key.id, actor="ada", now_ms=3)
    with store.read() as tx:
        assert tx.keys()[0].revoked_at_ms == 2
        assert len(tx.audit()) == 2


def test_a_team_that_cannot_be_a_name_gets_no_key() -> None:
    store = MemoryStore()
    with pytest.raises(InputError), store.write() as tx:
        create_key(tx, "Not A Team", actor="ada", now_ms=1)
    with store.read() as tx:
        assert (tx.keys(), tx.audit()) == ([], [])
