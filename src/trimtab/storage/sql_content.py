"""Content read back from SQL: handed out only where it is what was stored.

Digests are held against the JSON as it was stored, not as today's types would write it: a field added later, with a
default, damages nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.artifacts.model import Artifact, decode_content
from trimtab.core.canonical import canonical_digest
from trimtab.core.errors import InputError
from trimtab.core.ids import digest_of
from trimtab.releases.model import AuditEntry, Release
from trimtab.storage.sql_errors import damaged

__all__ = ["read_artifact", "read_entry", "read_release"]


def read_artifact(digest: str, body: bytes) -> Artifact:
    """Return a stored artifact; raises `IntegrityError` where its content does not match `digest`."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
        kind, content = fields["kind"], fields.pop("content")
        whole = digest == fields["digest"] == canonical_digest({"kind": kind, "content": content})
        artifact = Artifact(content=decode_content(kind, content), **fields)
    except (msgspec.DecodeError, InputError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise damaged("an artifact", param=digest, why=f"it cannot be read ({error})") from error
    if not whole:
        raise damaged(f"artifact {artifact.feature}/{artifact.kind}/{artifact.name}@v{artifact.number}", param=digest)
    return artifact


def read_release(digest: str, body: bytes, body_digest: str) -> Release:
    """Return a stored release; raises `IntegrityError` where manifest or compiled text are not what was stored."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
        whole = digest == fields["digest"] == canonical_digest(fields["manifest"]) and body_digest == digest_of(body)
        release = msgspec.convert(fields, Release)
    except (msgspec.DecodeError, InputError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise damaged("a release", param=digest, why=f"it cannot be read ({error})") from error
    if not whole:
        raise damaged(f"release {release.feature}#{release.number}", param=digest)
    return release


def read_entry(sequence: int, body: bytes) -> AuditEntry:
    """Return a stored audit entry under the sequence it stands at; raises `IntegrityError` where it cannot be read."""
    try:
        entry = msgspec.json.decode(body, type=AuditEntry)
    except (msgspec.DecodeError, TypeError, UnicodeDecodeError) as error:
        raise damaged(f"audit entry {sequence}", param=str(sequence), why=f"it cannot be read ({error})") from error
    return msgspec.structs.replace(entry, sequence=sequence)
