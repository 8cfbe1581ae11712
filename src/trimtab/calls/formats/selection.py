"""Which translation stands between a caller's format and a release's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.calls.formats.native import (
    ChatTranslation,
    EmbeddingsTranslation,
    MessagesTranslation,
    ResponsesTranslation,
)
from trimtab.calls.formats.pivot import DIALECTS, PivotTranslation
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from trimtab.calls.formats.translation import Format, Translation
    from trimtab.releases.model import CompiledRelease

__all__ = ["translation_of"]


def translation_of(format: Format, release: CompiledRelease) -> Translation:  # noqa: A002 - the field's word
    """Return how callers of one format are served by a release.

    Raises `InputError` where that cannot be: `reserved_parameter`, `cannot_carry`, `unsupported_format`.
    """
    wire = release.wire.partition("/")[0]
    if wire not in DIALECTS:
        raise InputError(
            "unsupported_wire",
            f"{release.feature}#{release.number} is called in the wire format `{release.wire}`, unknown here",
            param="release.wire",
            hint="a newer Trimtab made this release; update this process",
        )
    if format == "embeddings":
        if wire != "openai-chat":
            raise InputError(
                "unsupported_format",
                f"{release.feature}#{release.number} calls `{release.model.model}` in a format that has no embeddings",
                param="model",
                hint="name a feature whose model is called by `api: chat`",
            )
        return EmbeddingsTranslation(release)
    match (format, wire):
        case ("chat", "openai-chat"):
            return ChatTranslation(release)
        case ("messages", "anthropic-messages"):
            return MessagesTranslation(release)
        case ("responses", "openai-responses"):
            return ResponsesTranslation(release)
        case _:
            return PivotTranslation(release, caller=format, wire=wire)
