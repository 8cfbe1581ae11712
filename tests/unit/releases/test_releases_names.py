"""Names of releases, and pointers that go back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.artifacts.model import ModelContent, PartialContent, PromptContent, PromptMessage
from trimtab.artifacts.source import FeatureSource, NamedContent
from trimtab.artifacts.template import PromptError
from trimtab.core.errors import ConflictError, InputError, IntegrityError, NotFoundError
from trimtab.releases.model import PointerMove
from trimtab.releases.pointers import PointerRequest, replay_moves, rollback_pointer, set_pointer
from trimtab.releases.push import compile_release, push
from trimtab.releases.reference import find_release
from trimtab.storage.memory import MemoryStore

if TYPE_CHECKING:
    from trimtab.releases.model import Release


def source(text: str = "one", *, tone: str = "warm", model: str = "gpt-4o") -> FeatureSource:
    prompt = PromptContent(messages=[PromptMessage(role="user", content='{% include "tone" %} ' + text)], variables={})
    return FeatureSource(
        feature="reply",
        team="t",
        artifacts=[
            NamedContent(kind="prompt", name="reply", content=prompt, path="p"),
            NamedContent(kind="partial", name="tone", content=PartialContent(text=tone), path="t"),
            NamedContent(kind="partial", name="unused", content=PartialContent(text="nobody"), path="u"),
            NamedContent(kind="model", name="main", content=ModelContent(provider="openai", model=model), path="m"),
        ],
    )


def stocked(*sources: FeatureSource) -> tuple[MemoryStore, list[Release]]:
    store = MemoryStore()
    with store.write() as tx:
        return store, [push(tx, one, actor="ada", now_ms=1).release for one in sources]


@pytest.mark.parametrize(
    ("reference", "number"),
    [
        ("reply@v1", 1),
        ("prompt/reply@v1", 1),
        ("reply/prompt/reply@v1", 1),
        ("tone@v2", 2),
        ("partial/tone@v2", 2),
        ("model/main@v2", 3),
    ],
)
def test_an_artifact_version_names_the_one_release_it_is_part_of(reference: str, number: int) -> None:
    sources = source(), source("two", tone="cool"), source("three", tone="hot", model="gpt-5")
    store, releases = stocked(*sources)
    with store.read() as tx:
        assert find_release(tx, "reply", reference) == releases[number - 1]


@pytest.mark.parametrize(
    ("reference", "kind", "code", "says"),
    [
        ("tone@v1", InputError, "ambiguous_reference", "#2"),
        ("main@v9", NotFoundError, "unknown_release", "main@v9"),
        ("unused@v1", NotFoundError, "unknown_release", "unused@v1"),
        ("tools/reply@v1", NotFoundError, "unknown_release", "tools/reply@v1"),
        ("reply@vx", InputError, "malformed_reference", "reply@vx"),
        ("a/b/reply@v1", InputError, "malformed_reference", "a/b"),
        ("reply@v", InputError, "malformed_reference", "reply@v"),
    ],
)
def test_an_artifact_version_of_several_releases_or_of_none_is_refused(
    reference: str, kind: type[InputError], code: str, says: str
) -> None:
    store, _ = stocked(source(), source("two"))
    with store.read() as tx, pytest.raises(kind) as caught:
        find_release(tx, "reply", reference)
    assert caught.value.code == code
    assert says in caught.value.message
    assert caught.value.hint


def test_a_prefix_that_fits_two_releases_lists_both() -> None:
    store, (release,) = stocked(source())
    prefix = release.digest.removeprefix("sha256:")[:8]
    with store.write() as tx:
        tx.add_release(msgspec.structs.replace(release, digest=f"sha256:{prefix}{'0' * 56}", number=2))
    with store.read() as tx, pytest.raises(InputError) as caught:
        find_release(tx, "reply", prefix)
    assert caught.value.code == "ambiguous_reference"
    assert "#1" in caught.value.message
    assert "#2" in caught.value.message


def test_a_partial_nobody_includes_is_stored_but_changes_no_release() -> None:
    manifest, _ = compile_release(source())
    assert set(manifest.partials) == {"tone"}


def test_a_missing_partial_stores_nothing() -> None:
    whole = source()
    broken = msgspec.structs.replace(whole, artifacts=[a for a in whole.artifacts if a.name != "tone"])
    store = MemoryStore()
    with pytest.raises(PromptError) as caught, store.write() as tx:
        push(tx, broken, actor="ada", now_ms=1)
    assert caught.value.code == "missing_partial"
    with store.read() as tx:
        assert (tx.features(), tx.audit()) == ([], [])


@pytest.mark.parametrize("kind", ["prompt", "model"])
def test_a_folder_without_prompt_or_model_makes_no_release(kind: str) -> None:
    whole = source()
    broken = msgspec.structs.replace(whole, artifacts=[a for a in whole.artifacts if a.kind != kind])
    with pytest.raises(InputError) as caught:
        compile_release(broken)
    assert caught.value.code == f"missing_{kind}"


def test_rolling_back_serves_what_was_served_before_and_says_who_and_why() -> None:
    store, (first, second) = stocked(source(), source("two"))
    with store.write() as tx:
        for release in (first, second):
            request = PointerRequest(release=release, environment="production", actor="ada", reason="r")
            set_pointer(tx, request, now_ms=1)
        move = rollback_pointer(tx, "reply", "production", actor="bob", reason="complaints", now_ms=2)
        pointer = tx.pointer("reply", "production")
        assert tx.audit()[-1].detail["reason"] == "complaints"
    assert (move.from_release, move.to_release, move.actor, move.revision) == (second.digest, first.digest, "bob", 3)
    assert pointer is not None
    assert pointer.release == first.digest


def test_there_is_no_way_back_from_the_first_release() -> None:
    store, (first,) = stocked(source())
    with store.write() as tx, pytest.raises(ConflictError) as caught:
        rollback_pointer(tx, "reply", "production", actor="bob", reason="r", now_ms=2)
    assert caught.value.code == "nothing_to_roll_back"
    with store.write() as tx:
        set_pointer(tx, PointerRequest(release=first, environment="production", actor="a", reason="r"), now_ms=1)
        with pytest.raises(ConflictError):
            rollback_pointer(tx, "reply", "production", actor="bob", reason="r", now_ms=2)


def test_a_pointer_does_not_move_for_nobody() -> None:
    store, (first,) = stocked(source())
    with store.write() as tx, pytest.raises(InputError) as caught:
        set_pointer(tx, PointerRequest(release=first, environment="production", actor="", reason="r"), now_ms=1)
    assert caught.value.code == "missing_actor"


def test_a_gap_in_a_history_is_an_integrity_error() -> None:
    def move(revision: int, from_release: str | None, to_release: str) -> PointerMove:
        return PointerMove(
            feature="f",
            environment="e",
            revision=revision,
            from_release=from_release,
            to_release=to_release,
            at_ms=1,
            actor="a",
            reason="r",
        )

    whole = [move(1, None, "x"), move(2, "x", "y"), move(3, "y", "x")]
    pointer = replay_moves(whole)
    assert pointer is not None
    assert (pointer.release, pointer.revision) == ("x", 3)
    assert replay_moves([]) is None
    for broken in ([whole[0], whole[2]], [whole[1]], [whole[0], move(2, "z", "y")]):
        with pytest.raises(IntegrityError, match="does not follow"):
            replay_moves(broken)
