"""Reading snapshots of other versions: what may be passed over, and what must be understood.

A snapshot says which version of reader it takes at least (`reader`), as counted by :data:`READER_VERSION`. Whoever
writes raises that only where the snapshot uses something that an older reader would serve otherwise than it is meant.
What else such a snapshot holds is optional: a reader that does not know it passes over it, wherever it stands.
Snapshots that say nothing of it are from before there was a version; of those an unknown part of a release is refused.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from trimtab.core.errors import StorageError
from trimtab.releases.model import CompiledRelease
from trimtab.serving.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "NEEDS",
    "READER_VERSION",
    "TOO_NEW",
    "HeadRoute",
    "Need",
    "SnapshotHead",
    "decode_head",
    "decode_published",
    "decode_release",
    "decode_snapshot",
    "too_new",
    "with_reader",
]

READER_VERSION = 1
"""What this code understands. Raised with every part of a snapshot that changes what is served."""
TOO_NEW = "needs_newer_reader"
"""Code of the error, and the reason that probes and figures tell."""
_UNKNOWN = "unknown field"
_T = TypeVar("_T")


class Need(NamedTuple):
    """A part of snapshots that older readers would serve otherwise than it is meant."""

    since: int
    """The first version of reader that understands it."""
    what: str
    """For people, in the words of the docs."""
    used: Callable[[Snapshot], bool]


NEEDS: tuple[Need, ...] = ()
"""All but what version 1 understands. A snapshot that uses none of it is served by every reader."""


class HeadRollout(msgspec.Struct, frozen=True):
    """A rollout in progress."""

    id: str


class HeadRoute(msgspec.Struct, frozen=True, kw_only=True):
    """What the head says of a feature: how its rollout fares, and whether content may be recorded."""

    feature: str
    stable: str
    capture_content: bool = True
    rollout: HeadRollout | None = None


class SnapshotHead(msgspec.Struct, frozen=True, kw_only=True):
    """What every reader understands of every snapshot: these parts keep their names and shapes, whatever else changes.

    Who may call, which candidates are out and what is not to be recorded must reach data planes that cannot serve the
    rest.
    """

    revision: int
    environment: str
    reader: int = 0
    reader_for: list[str] = []
    keys: dict[str, str] = {}
    keys_required: bool = False
    routes: msgspec.Raw = msgspec.Raw()

    def read_routes(self) -> dict[str, HeadRoute] | None:
        """Return the routes by feature; `None` where they have a shape that is not known here."""
        try:
            return {route.feature: route for route in _routes.decode(self.routes)}
        except msgspec.DecodeError:
            return None


_heads = msgspec.json.Decoder(SnapshotHead)
_routes = msgspec.json.Decoder(list[HeadRoute])
_strict: msgspec.json.Decoder[Snapshot] = msgspec.json.Decoder(Snapshot)


def with_reader(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with the least version of reader that serves it as it is meant, and why it is that."""
    used = [need for need in NEEDS if need.used(snapshot)]
    least = max((need.since for need in used), default=1)
    return msgspec.structs.replace(snapshot, reader=least, reader_for=sorted(need.what for need in used))


def decode_head(data: bytes) -> SnapshotHead:
    """Return the head of a snapshot of any version; raises `msgspec.DecodeError`."""
    return _heads.decode(data)


def decode_published(data: bytes) -> Snapshot | SnapshotHead:
    """Return the snapshot in JSON, or the head alone of one that this version would serve otherwise than it is meant.

    Raises `msgspec.DecodeError` or `RecursionError` for what is none.
    """
    head = decode_head(data)
    return head if head.reader > READER_VERSION else _decoded(data, Snapshot, _strict, lenient=head.reader > 0)


def decode_snapshot(data: bytes) -> Snapshot:
    """Return the snapshot in JSON; raises as `decode_published`, and `StorageError` (`needs_newer_reader`)."""
    published = decode_published(data)
    if isinstance(published, SnapshotHead):
        raise too_new(published)
    return published


def decode_release(data: bytes) -> CompiledRelease:
    """Return a release that was published, as far as this version knows its parts; raises `msgspec.DecodeError`."""
    return _decoded(data, CompiledRelease, msgspec.json.Decoder(CompiledRelease), lenient=True)


def _decoded(data: bytes, kind: type[_T], strict: msgspec.json.Decoder[_T], *, lenient: bool) -> _T:
    try:
        return strict.decode(data)
    except msgspec.ValidationError as error:
        if not lenient or _UNKNOWN not in str(error):
            raise
    return msgspec.convert(_known(msgspec.json.decode(data), _shape(kind)), kind)  # type: ignore[arg-type]  # types are hashable


@functools.cache
def _shape(kind: type) -> Any:  # noqa: ANN401 - one of msgspec's many types of types
    from msgspec import inspect

    return inspect.type_info(kind)


def _known(value: Any, shape: Any) -> Any:  # noqa: ANN401 - any JSON value, and its type as msgspec describes it
    """Return a JSON value without the fields of objects that their types do not know."""
    from msgspec import inspect

    match shape:
        case inspect.UnionType() if isinstance(value, dict):
            structs = [one for one in shape.types if isinstance(one, inspect.StructType)]
            return _known(value, structs[0]) if len(structs) == 1 else value
        case inspect.StructType() if isinstance(value, dict):
            fields = {field.encode_name: field.type for field in shape.fields}
            return {name: _known(part, fields[name]) for name, part in value.items() if name in fields}
        case inspect.ListType() if isinstance(value, list):
            return [_known(part, shape.item_type) for part in value]
        case inspect.DictType() if isinstance(value, dict):
            return {name: _known(part, shape.value_type) for name, part in value.items()}
    return value


def too_new(head: SnapshotHead) -> StorageError:
    """Return the error of a snapshot that only newer versions serve as it is meant."""
    what = f" (for {', '.join(head.reader_for)})" if head.reader_for else ""
    return StorageError(
        TOO_NEW,
        f"snapshot {head.revision} of `{head.environment}` needs reader version {head.reader}{what}, "
        f"and this Trimtab has {READER_VERSION}",
        param="reader",
        hint="upgrade this data plane; until then it serves the last one it understands, to the keys of this one",
    )
