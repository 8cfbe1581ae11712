"""What every store must do, the same in memory and in SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trimtab.artifacts.model import ModelContent, PartialContent, PromptContent, PromptMessage
from trimtab.artifacts.source import FeatureSource, NamedContent
from trimtab.core.errors import ConflictError, InputError, NotFoundError, StorageError
from trimtab.policy.keys import create_key, hash_key, revoke_key
from trimtab.releases.audit import chain_fault
from trimtab.releases.model import PointerMove
from trimtab.releases.pointers import PointerRequest, set_pointer
from trimtab.releases.push import push
from trimtab.releases.reference import find_release

if TYPE_CHECKING:
    from trimtab.releases.push import PushResult
    from trimtab.rollout.ports import ControlStore

NOW_MS = 1_760_000_000_000


def source(
    text: str = "Answer.", *, tone: str = "Be brief.", model: str = "gpt-4o", team: str = "support"
) -> FeatureSource:
    prompt = PromptContent(
        messages=[PromptMessage(role="system", content='{% include "tone" %} ' + text)],
        variables={"type": "object", "properties": {}},
    )
    named = [
        NamedContent(kind="prompt", name="support-reply", content=prompt, path="p.prompt.yml"),
        NamedContent(kind="partial", name="tone", content=PartialContent(text=tone), path="partials/tone.md"),
        NamedContent(
            kind="model",
            name="support-reply",
            content=ModelContent(provider="openai", model=model),
            path="p.prompt.yml",
        ),
    ]
    return FeatureSource(feature="support-reply", team=team, artifacts=named)


def pushed(store: ControlStore, wanted: FeatureSource) -> PushResult:
    with store.write() as tx:
        return push(tx, wanted, actor="ada", now_ms=NOW_MS)


def numbers(result: PushResult) -> dict[str, int]:
    return {artifact.kind: artifact.number for artifact in result.artifacts}


def test_a_push_stores_artifacts_and_one_release_with_its_text_fixed(store: ControlStore) -> None:
    result = pushed(store, source())
    assert numbers(result) == {"prompt": 1, "partial": 1, "model": 1}
    assert result.created
    with store.read() as tx:
        release = tx.release(result.release.digest)
        assert release == result.release
        assert release is not None
        assert release.compiled.prompt.messages[0].content == "Be brief. Answer."
        assert set(release.manifest.partials) == {"tone"}


def test_pushing_again_changes_nothing_at_all(store: ControlStore) -> None:
    first = pushed(store, source())
    with store.read() as tx:
        before = tx.audit()
    again = pushed(store, source())
    assert not again.created
    assert not any(artifact.created for artifact in again.artifacts)
    assert again.release == first.release
    with store.read() as tx:
        assert tx.audit() == before


def test_numbers_count_up_and_never_move_or_come_back(store: ControlStore) -> None:
    first, second = pushed(store, source()), pushed(store, source("Answer in JSON."))
    assert (first.release.number, second.release.number) == (1, 2)
    assert numbers(second) == {"prompt": 2, "partial": 1, "model": 1}
    back = pushed(store, source())  # the old content again: its old number, its old release
    assert back.release == first.release
    assert numbers(back)["prompt"] == 1
    third = pushed(store, source("Third."))
    assert (third.release.number, numbers(third)["prompt"]) == (3, 3)


def test_a_change_of_a_partial_alone_makes_a_new_release(store: ControlStore) -> None:
    first, second = pushed(store, source()), pushed(store, source(tone="Be warm."))
    assert second.release.digest != first.release.digest
    assert numbers(second) == {"prompt": 1, "partial": 2, "model": 1}


def test_a_change_of_team_alone_makes_no_release(store: ControlStore) -> None:
    pushed(store, source())
    result = pushed(store, source(team="care"))
    assert not result.created
    with store.read() as tx:
        feature = tx.feature("support-reply")
        assert feature is not None
        assert feature.team == "care"


def test_a_push_that_fails_stores_nothing(store: ControlStore) -> None:
    broken = source()
    twice = FeatureSource(feature="support-reply", team="t", artifacts=[*broken.artifacts, broken.artifacts[0]])
    with pytest.raises(InputError, match="has 2 of kind `prompt`"):
        pushed(store, twice)
    with store.read() as tx:
        assert tx.features() == []
        assert tx.audit() == []


def test_releases_are_named_by_number_digest_or_its_beginning(store: ControlStore) -> None:
    release = pushed(store, source()).release
    digits = release.digest.removeprefix("sha256:")
    with store.read() as tx:
        for reference in ("#1", "support-reply#1", release.digest, digits[:12], digits[:4]):
            assert find_release(tx, "support-reply", reference) == release


@pytest.mark.parametrize(
    ("feature", "reference", "code"),
    [
        ("suport-reply", "#1", "unknown_feature"),
        ("support-reply", "#2", "unknown_release"),
        ("support-reply", "#x", "unknown_release"),
        ("support-reply", "0000", "unknown_release"),
        ("support-reply", "abc", "malformed_reference"),
        ("support-reply", "other#1", "malformed_reference"),
    ],
)
def test_a_wrong_name_is_refused_with_a_hint(store: ControlStore, feature: str, reference: str, code: str) -> None:
    pushed(store, source())
    with store.read() as tx, pytest.raises(InputError) as caught:
        find_release(tx, feature, reference)
    assert caught.value.code == code
    assert caught.value.hint


def test_pointers_keep_who_when_why_from_and_to(store: ControlStore) -> None:
    first, second = pushed(store, source()).release, pushed(store, source("Two.")).release
    for release, reason in ((first, "first"), (second, "better"), (first, "worse after all")):
        with store.write() as tx:
            request = PointerRequest(release=release, environment="production", actor="ada", reason=reason)
            set_pointer(tx, request, now_ms=NOW_MS)
    with store.read() as tx:
        moves = tx.pointer_moves("support-reply", "production")
        pointer = tx.pointer("support-reply", "production")
    assert [(m.revision, m.from_release, m.to_release, m.reason) for m in moves] == [
        (1, None, first.digest, "first"),
        (2, first.digest, second.digest, "better"),
        (3, second.digest, first.digest, "worse after all"),
    ]
    assert pointer is not None
    assert (pointer.release, pointer.revision) == (first.digest, 3)


def test_a_pointer_somebody_moved_meanwhile_is_refused(store: ControlStore) -> None:
    first, second = pushed(store, source()).release, pushed(store, source("Two.")).release
    with store.write() as tx:
        set_pointer(tx, PointerRequest(release=first, environment="production", actor="a", reason="r"), now_ms=NOW_MS)
    late = PointerRequest(release=second, environment="production", actor="b", reason="r", expected_revision=0)
    with pytest.raises(ConflictError) as caught, store.write() as tx:
        set_pointer(tx, late, now_ms=NOW_MS)
    assert caught.value.code == "pointer_moved"
    with pytest.raises(ConflictError), store.write() as tx:
        tx.move_pointer(
            PointerMove(
                feature="support-reply",
                environment="production",
                revision=7,
                from_release=None,
                to_release=second.digest,
                at_ms=NOW_MS,
                actor="b",
                reason="r",
            )
        )


def test_the_audit_log_is_a_whole_chain_of_everything_that_was_done(store: ControlStore) -> None:
    release = pushed(store, source()).release
    with store.write() as tx:
        set_pointer(tx, PointerRequest(release=release, environment="dev", actor="ada", reason="r"), now_ms=NOW_MS)
        _, secret = create_key(tx, "support", actor="ada", now_ms=NOW_MS)
    with store.read() as tx:
        entries = tx.audit()
        assert tx.audit(after=2, limit=2) == entries[2:4]
    assert chain_fault(entries) == ""
    assert [entry.action for entry in entries] == [
        "feature.create",
        *["artifact.create"] * 3,
        "release.create",
        "pointer.move",
        "key.create",
    ]
    assert secret not in str(entries)


def test_a_key_is_known_by_its_hash_alone_and_can_be_revoked(store: ControlStore) -> None:
    with store.write() as tx:
        key, secret = create_key(tx, "support", actor="ada", now_ms=NOW_MS)
    assert secret.startswith("tt-")
    with store.read() as tx:
        (stored,) = tx.keys()
    assert (stored.hash, stored.team, stored.revoked_at_ms) == (hash_key(secret), "support", None)
    with store.write() as tx:
        revoke_key(tx, key.id, actor="ada", now_ms=NOW_MS + 1)
    with store.read() as tx:
        assert tx.keys()[0].revoked_at_ms == NOW_MS + 1
    with pytest.raises(ConflictError), store.write() as tx:
        revoke_key(tx, key.id, actor="ada", now_ms=NOW_MS + 2)
    with pytest.raises(NotFoundError), store.write() as tx:
        revoke_key(tx, "key_0", actor="ada", now_ms=NOW_MS)


def test_an_exception_undoes_the_whole_transaction(store: ControlStore) -> None:
    pushed(store, source())
    with store.read() as tx:
        before = (tx.features(), tx.artifacts("support-reply"), tx.audit())
    with pytest.raises(RuntimeError), store.write() as tx:
        push(tx, source("Lost."), actor="ada", now_ms=NOW_MS)
        raise RuntimeError
    with store.read() as tx:
        assert (tx.features(), tx.artifacts("support-reply"), tx.audit()) == before


def test_writing_in_a_reading_transaction_is_refused(store: ControlStore) -> None:
    with store.read() as tx, pytest.raises(StorageError) as caught:
        push(tx, source(), actor="ada", now_ms=NOW_MS)
    assert caught.value.code == "read_only"
