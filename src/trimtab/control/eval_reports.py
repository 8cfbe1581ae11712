"""Results of test suites, told with the names people know releases by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trimtab.releases.eval_result import EvalResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.releases.model import Release
    from trimtab.releases.ports import RegistryTransaction

__all__ = ["EvalReport", "eval_reports"]


class EvalReport(msgspec.Struct, frozen=True, kw_only=True):
    """One result."""

    release_name: str
    """`feature#number`."""
    result: EvalResult


def eval_reports(tx: RegistryTransaction, releases: Iterable[Release]) -> list[EvalReport]:
    """Return every result for these releases, newest first."""
    found = [
        EvalReport(release_name=f"{release.feature}#{release.number}", result=result)
        for release in releases
        for result in tx.eval_results(release.digest)
    ]
    return sorted(found, key=lambda one: (one.result.at_ms, one.result.number), reverse=True)
