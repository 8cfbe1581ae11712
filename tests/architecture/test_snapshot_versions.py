"""Whoever adds a part to snapshots decides what older data planes make of it."""

from __future__ import annotations

from typing import Any

from msgspec import inspect

from trimtab.serving.snapshot import RolloutRoute, Route, Snapshot
from trimtab.serving.snapshot_file import encode_snapshot
from trimtab.serving.snapshot_reading import NEEDS, READER_VERSION, SnapshotHead, decode_published

VERSION_1 = {
    "AdapterContent": "output",
    "Band": "end kind name salt start",
    "Challenger": "end release start",
    "CompiledRelease": "adapter digest fallbacks feature model number prompt schema tools wire",
    "Fallback": "model wire",
    "ModelContent": "api model parameters provider",
    "Price": "input_usd output_usd",
    "PromptContent": "messages variables",
    "PromptMessage": "content role",
    "RolloutRoute": (
        "bands candidate challengers control_weight fallback id salt shadow shadow_budget_usd shadow_hosted_tools stage"
        " state weight"
    ),
    "Route": "capture_content feature rollout stable team",
    "SchemaContent": "name schema strict",
    "Snapshot": (
        "environment fallback_prices fingerprint keys keys_required prices published_at_ms reader reader_for releases"
        " revision routes"
    ),
    "ToolDefinition": "description name parameters strict",
    "ToolsContent": "tools",
}
"""What every reader understands."""
OPTIONAL: dict[str, str] = {}
"""`Struct.field`: younger, and older readers may pass over it. Why they may stands beside it."""
MUST_BE_UNDERSTOOD: dict[str, int] = {}
"""`Struct.field`: the version of reader that understands it; `snapshot_reading.NEEDS` says when it is used."""


HEAD = Snapshot(
    revision=7,
    environment="production",
    published_at_ms=1,
    routes=[
        Route(
            feature="f",
            stable="sha256:1",
            capture_content=False,
            rollout=RolloutRoute(id="ro_1", candidate="sha256:2", salt="s", stage=0, state="progressing"),
        )
    ],
    keys={"hash": "team"},
    keys_required=True,
    reader=9,
    reader_for=["what"],
)


def fields_of(shape: Any, found: dict[str, set[str]]) -> dict[str, set[str]]:
    match shape:
        case inspect.StructType() if shape.cls.__name__ not in found:
            found[shape.cls.__name__] = {field.encode_name for field in shape.fields}
            for field in shape.fields:
                fields_of(field.type, found)
        case inspect.UnionType():
            for one in shape.types:
                fields_of(one, found)
        case inspect.ListType():
            fields_of(shape.item_type, found)
        case inspect.DictType():
            fields_of(shape.value_type, found)
    return found


def test_every_younger_part_of_snapshots_is_optional_or_must_be_understood() -> None:
    first = {f"{name}.{field}" for name, fields in VERSION_1.items() for field in fields.split()}
    found = fields_of(inspect.type_info(Snapshot), {})
    now = {f"{name}.{field}" for name, fields in found.items() for field in fields}
    assert first - now == set(), "fields of snapshots are never taken away: data planes of the first version need them"
    assert now - first == {*OPTIONAL, *MUST_BE_UNDERSTOOD}


def test_versions_of_readers_are_told_to_whoever_writes() -> None:
    assert {need.since for need in NEEDS} == set(MUST_BE_UNDERSTOOD.values())
    assert max((need.since for need in NEEDS), default=1) == READER_VERSION


def test_what_older_readers_heed_of_every_snapshot_keeps_its_name_and_shape() -> None:
    head = decode_published(encode_snapshot(HEAD))
    assert isinstance(head, SnapshotHead)
    assert (head.revision, head.environment, head.reader, head.reader_for) == (7, "production", 9, ["what"])
    assert (head.keys, head.keys_required) == ({"hash": "team"}, True)
    routes = head.read_routes()
    assert routes is not None
    assert (routes["f"].stable, routes["f"].capture_content) == ("sha256:1", False)
    assert routes["f"].rollout is not None
    assert routes["f"].rollout.id == "ro_1"
