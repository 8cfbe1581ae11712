"""Events of a stream that bring nothing but text: within one stream all their bytes but the text are the same.

Decoding is most of what such an event costs, so how they look is learned from the first one, and later ones are
compared. An event that looks different in any byte, or whose text is written with an escape, is decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DeltaForm"]

_EMPTY_LINE = b"\n\n"
_PLAIN = bytes(set(range(0x20, 0x100)) - set(b'"\\\x7f'))
"""What stands for itself in a JSON string, UTF-8 being checked by whoever decodes it."""
_PROBE = "\u00a7 0 \u00a7"
_MOST_TRIES = 4
"""Some providers put something random into each event: those have no form."""


class DeltaForm:
    """How the events of one stream look that are plain text."""

    __slots__ = ("_before", "_behind", "_between", "_tries")

    def __init__(self) -> None:
        self._before = b""
        """Their bytes up to the text; empty as long as nothing is known."""
        self._behind = b""
        """Their bytes behind it, empty line included."""
        self._between = b""
        self._tries = _MOST_TRIES

    def run(self, block: bytes) -> tuple[int, str]:
        """Return of how many bytes the events are that `block` begins with and that have this form, and their text.

        Every event in `block` ends with its empty line. Raises `UnicodeDecodeError` where they are no UTF-8.
        """
        before, behind = self._before, self._behind
        if not before or not block.startswith(before):
            return 0, ""
        end = block.rfind(behind)
        if end < 0:
            return 0, ""
        pieces = block[len(before) : end].split(self._between)
        written = b"".join(pieces)
        if b"" in pieces or written.translate(None, _PLAIN):
            end = block.find(behind)  # not all of them have it; the first one may
            written = block[len(before) : end]
            if not written or written.translate(None, _PLAIN):
                return 0, ""
        return end + len(behind), written.decode()

    def learn(self, event: bytes, text: str, text_in: Callable[[bytes], str]) -> None:
        """Take the form of an event that was found to bring `text` and nothing else.

        `text_in` decodes an event and returns its text: it proves that what was found is where the text is.
        """
        written = text.encode()
        if not self._tries or written.translate(None, _PLAIN) or b"\n" in event:
            return
        self._tries -= 1
        before, found, behind = event.partition(b'"%b"' % written)
        if not found or b'"%b"' % written in behind:
            return
        before, behind = before + b'"', b'"' + behind
        if text_in(before + _PROBE.encode() + behind) == _PROBE:
            self._before, self._behind = before, behind + _EMPTY_LINE
            self._between = self._behind + before
