"""Taking in other people's traces, wired: a data plane of its own, opened when the first arrive."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from trimtab.bootstrap.data_plane import open_data_plane
from trimtab.core.errors import InputError, NotFoundError, StorageError
from trimtab.telemetry.intake import IntakePlan, Known, Refused, Skipped, generation_of
from trimtab.telemetry.otlp_values import attribute_map

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    from trimtab.bootstrap.settings import Settings
    from trimtab.control.plane import ControlPlane
    from trimtab.serving.runtime import DataPlane

__all__ = ["Intake"]

_KIND = "otlp"
_MOST_REMEMBERED = 10_000
_DAY_MS = 86_400_000


class Intake:
    """Thread-safe. `open_control`'s plane tells which releases there are."""

    def __init__(self, settings: Settings, control: ControlPlane) -> None:
        self._settings = settings
        self._control = control
        self._lock = threading.Lock()
        self._plane: DataPlane | None = None
        self._known: dict[tuple[str, str], Known] = {}
        self._counts: dict[str, int] = {}

    def counts(self) -> dict[str, int]:
        """Return how many spans came to which end since this process began."""
        with self._lock:
            return dict(self._counts)

    def team_of(self, key: str) -> str | None:
        """Return whose key it is, the empty string where none is asked for; `None` where it is nobody's."""
        plane = self._open()
        if not plane.asks_for_keys:
            return ""
        return plane.team_of_key(key)

    def take(self, request: ExportTraceServiceRequest, *, team: str) -> tuple[int, str]:
        """Record the model calls of a request; returns how many were refused, and why, when all others are on disk.

        Raises `StorageError` where they cannot be: sent again, they are the same generations.
        """
        plane = self._open()
        told = self._settings.intake
        now_ms = time.time_ns() // 1_000_000
        plan = IntakePlan(
            feature_attributes=told.feature_attributes,
            environment=self._settings.environment,
            content=told.content,
            earliest_ms=now_ms - round(_DAY_MS * self._settings.evidence.retention_days),
            latest_ms=now_ms + _DAY_MS,
            process=plane.process_id,
            team=team,
        )
        counts: dict[str, int] = {}
        reasons: dict[str, int] = {}
        looked_up: dict[tuple[str, str], Known | None] = {}
        for resource in request.resource_spans:
            about = attribute_map(resource.resource.attributes)
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                found = generation_of(span, about, plan, lambda feature, name: self._find(looked_up, feature, name))
                match found:
                    case Skipped(why):
                        counts[why] = counts.get(why, 0) + 1
                    case Refused(why):
                        reasons[why] = reasons.get(why, 0) + 1
                    case _:
                        if not plane.record(found):
                            raise StorageError("not_recorded", "the journal takes no events now", hint="try again")
                        counts["recorded"] = counts.get("recorded", 0) + 1
        if counts.get("recorded"):
            plane.flush()
        refused = sum(reasons.values())
        self._add(counts | {"refused": refused})
        return refused, "; ".join(f"{count} spans: {why}" for why, count in reasons.items())

    def close(self) -> None:
        """Flush and close."""
        with self._lock:
            plane, self._plane = self._plane, None
        if plane is not None:
            plane.close()

    def _open(self) -> DataPlane:
        with self._lock:
            if self._plane is None:
                self._plane = open_data_plane(self._settings, kind=_KIND)
            return self._plane

    def _add(self, counts: dict[str, int]) -> None:
        with self._lock:
            for outcome, count in counts.items():
                self._counts[outcome] = self._counts.get(outcome, 0) + count

    def _find(self, looked_up: dict[tuple[str, str], Known | None], feature: str, name: str) -> Known | None:
        """Look a release up, once a request where there is none, for there may be one by the next."""
        key = (feature, name)
        if key in self._known:
            return self._known[key]
        if key not in looked_up:
            try:
                release = self._control.release(feature, f"#{name}" if name.isdigit() else name)
                looked_up[key] = Known(release.digest, release.number)
            except (NotFoundError, InputError):
                looked_up[key] = None
        found = looked_up[key]
        if found is not None and len(self._known) < _MOST_REMEMBERED:
            self._known[key] = found
        return found
