"""Between the format that a caller speaks and the one that its release's model is called in."""

from trimtab.calls.formats.selection import translation_of
from trimtab.calls.formats.translation import Format, StreamReader, Translation

__all__ = ["Format", "StreamReader", "Translation", "translation_of"]
