"""Calibrations at rest, by the digest of the scorer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.core.errors import IntegrityError, StorageError
from trimtab.core.ids import DIGEST_PREFIX
from trimtab.evals.calibration import Calibration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.evals.calibration import Agreement

__all__ = ["CalibrationFiles"]


class CalibrationFiles:
    """A folder of calibrations, replaced whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, scorer: str) -> Calibration | None:
        """Return what is known of a judge."""
        path = self._path(scorer)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Calibration)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise IntegrityError(
                "damaged_calibration", f"a judge's calibration cannot be read: {error}", param=str(path)
            ) from error

    def put(self, calibration: Calibration) -> Calibration:
        """Keep what was learned; families that were not looked at this time stay as they were. Returns the whole."""
        before = self.get(calibration.scorer)
        families: Mapping[str, Agreement] = {} if before is None else before.families
        whole = msgspec.structs.replace(calibration, families={**families, **calibration.families})
        path = self._path(calibration.scorer)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(whole))
            fresh.replace(path)
        except OSError as error:
            raise StorageError(
                "write_failed", f"cannot keep the calibration: {error.strerror}", param=str(path)
            ) from error
        return whole

    def _path(self, scorer: str) -> Path:
        return self._folder / f"{Path(scorer.removeprefix(DIGEST_PREFIX)).name}.json"
