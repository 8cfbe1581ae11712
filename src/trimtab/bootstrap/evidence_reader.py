"""The evidence of a data directory, to be asked: apart from what writes it, for a command should answer at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.evidence.objects import open_objects
from trimtab.evidence.reader import EvidenceReader

if TYPE_CHECKING:
    from trimtab.bootstrap.settings import Settings

__all__ = ["open_reader"]


def open_reader(settings: Settings) -> EvidenceReader:
    """Open what answers questions: files, and journals that are not in files yet."""
    return EvidenceReader(open_objects(settings.evidence_location), settings.data_directory.journals)
