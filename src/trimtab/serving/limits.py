"""What each team may use: requests a minute, dollars a day, requests at once.

Exact within one process. Across the processes of one machine the others' counts are read every 20 ms, so a limit is
overshot by at most what the others admit within 20 ms; money also by what the requests in flight cost, for a cost is
known only when the answer has ended. Several machines each hold the limits for themselves.

Requests are counted over a sliding window: those of this minute, and those of the last one weighted by how much of it
the window still covers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from trimtab.core.ids import check_name
from trimtab.serving.usage_file import UsageFile, in_memory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trimtab.serving.team_limit import TeamLimit
    from trimtab.serving.usage_file import UsageSlots

__all__ = ["ANY_TEAM", "Refused", "TeamLimits", "TeamMeter"]

ANY_TEAM: Final = "*"
"""Names the limits of every team that has none of its own."""
_OPEN: Final = "_open"
"""The file of callers without a key, where the gateway asks for none."""
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_REFRESH_MS: Final = 20
_MICRO: Final = 1_000_000
_MANY: Final = 1 << 62


class Refused(NamedTuple):
    """Why a request is not admitted now."""

    code: str
    """`rate_limit_exceeded`, `insufficient_quota` or `too_many_concurrent`."""
    message: str
    retry_after_seconds: int
    limit: str
    """The limit, for people and for the headers of the answer."""


class TeamMeter:
    """One team's meter in this process."""

    __slots__ = (
        "_file",
        "_limit",
        "_money_left",
        "_others",
        "_places",
        "_places_until_ms",
        "_read_ms",
        "_slots",
        "problem",
        "team",
    )

    def __init__(self, team: str, limit: TeamLimit, path: Path) -> None:
        """Share the file at `path` with other processes; count alone, and say so in `problem`, where it cannot be."""
        self.team = team
        self._limit = limit
        self.problem = ""
        self._file: UsageFile | None = None
        try:
            self._file = UsageFile(path)
            self._slots: UsageSlots = self._file.slots
        except OSError as error:
            self.problem = f"limits of `{team}` are held by each process alone: {error}"
            self._slots = in_memory()
        self._read_ms = -_REFRESH_MS
        self._others = self._slots.mine()
        # What the last look at all limits leaves: admitting is then counting down, until others were to be read again.
        self._places = 0
        self._places_until_ms = 0
        self._money_left = 0.0

    def admit(self, now_ms: int) -> Refused | None:
        """Count a request, or return why it is refused. Every admitted request is given back with `release`."""
        if self._places > 0 and self._read_ms <= now_ms < self._places_until_ms:
            self._places -= 1
            self._slots.began()
            return None
        return self._look(now_ms)

    def release(self, micro_usd: int) -> None:
        """Count the end of an admitted request and what it cost, in millionths of a US dollar."""
        self._slots.ended(micro_usd)
        self._money_left -= micro_usd
        if self._money_left <= 0:
            self._places = 0

    def tick(self, now_ms: int) -> None:
        """Show the other processes that this one lives; to be called every second."""
        self._slots.turn(now_ms // _MINUTE_MS, now_ms // _DAY_MS)
        self._slots.beat(now_ms)

    def spent_usd(self, now_ms: int) -> float:
        """Return what the team has spent today, on this machine."""
        minute, day = now_ms // _MINUTE_MS, now_ms // _DAY_MS
        self._slots.turn(minute, day)
        return (self._slots.mine().micro_usd + self._slots.others(minute, day, now_ms).micro_usd) / _MICRO

    def close(self) -> None:
        """Give the slot back."""
        if self._file is not None:
            self._file.close()

    def _look(self, now_ms: int) -> Refused | None:
        """Look at every limit, and note how many more requests of this window none of them would refuse."""
        slots, limit = self._slots, self._limit
        minute, day = now_ms // _MINUTE_MS, now_ms // _DAY_MS
        slots.turn(minute, day)
        if abs(now_ms - self._read_ms) >= _REFRESH_MS:
            self._others = slots.others(minute, day, now_ms)
            self._read_ms = now_ms
            slots.beat(now_ms)
        mine, others = slots.mine(), self._others
        places, money_left = _MANY, float(_MANY)
        self._places = 0
        if limit.requests_per_minute is not None:
            passed = now_ms % _MINUTE_MS
            older = (mine.last_minute + others.last_minute) * (1 - passed / _MINUTE_MS)
            places = int(limit.requests_per_minute - mine.this_minute - others.this_minute - older)
            if places < 1:
                return self._too_many(limit.requests_per_minute, older, passed)
        if limit.usd_per_day is not None:
            money_left = limit.usd_per_day * _MICRO - mine.micro_usd - others.micro_usd
            if money_left <= 0:
                return self._too_dear(limit.usd_per_day, now_ms)
        if limit.concurrent is not None:
            places = min(places, limit.concurrent - mine.in_flight - others.in_flight)
            if places < 1:
                return self._too_crowded(limit.concurrent)
        slots.began()
        self._places = places - 1
        self._money_left = money_left
        # A new minute (and with it a new day) counts anew.
        self._places_until_ms = min(self._read_ms + _REFRESH_MS, (minute + 1) * _MINUTE_MS)
        return None

    def _too_many(self, limit: int, older: float, passed: int) -> Refused:
        # What is left of the last minute fades; once it has, only the next minute helps.
        seconds = 1 if older >= 1 else (_MINUTE_MS - passed) // 1000 + 1
        message = f"team `{self.team}` has made its {limit} requests of the last minute"
        return Refused("rate_limit_exceeded", message, seconds, f"{limit} requests a minute")

    def _too_dear(self, limit: float, now_ms: int) -> Refused:
        message = f"team `{self.team}` has spent its {limit:g} USD of today (UTC)"
        return Refused("insufficient_quota", message, (_DAY_MS - now_ms % _DAY_MS) // 1000 + 1, f"{limit:g} USD a day")

    def _too_crowded(self, limit: int) -> Refused:
        message = f"team `{self.team}` has {limit} requests in flight already"
        return Refused("too_many_concurrent", message, 1, f"{limit} at once")


class TeamLimits:
    """The meters of a process, made when a team first calls."""

    def __init__(self, limits: Mapping[str, TeamLimit], folder: Path) -> None:
        """Raises `InputError` (`malformed_name`) for a name that no team can have."""
        for team in limits:
            if team != ANY_TEAM:
                check_name(team, what="team")
        self._limits = dict(limits)
        self._folder = folder
        self._meters: dict[str, TeamMeter | None] = {}

    def find(self, team: str) -> TeamMeter | None:
        """Return a team's meter, `None` where nothing limits it."""
        try:
            return self._meters[team]
        except KeyError:
            limit = self._limits.get(team) or self._limits.get(ANY_TEAM)
            meter = None if limit is None else TeamMeter(team, limit, self._folder / f"{team or _OPEN}.usage")
            self._meters[team] = meter
            return meter

    @property
    def meters(self) -> list[TeamMeter]:
        """Those made so far."""
        return [meter for meter in self._meters.values() if meter is not None]

    def close(self) -> None:
        """Give every slot back."""
        for meter in self.meters:
            meter.close()
