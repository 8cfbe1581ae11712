"""How people name a release: `#42`, `support-reply#42`, a digest, or an unambiguous beginning of one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from trimtab.core.errors import InputError, NotFoundError
from trimtab.core.ids import DIGEST_PREFIX, short_digest

if TYPE_CHECKING:
    from trimtab.releases.model import Release
    from trimtab.releases.ports import RegistryTransaction

__all__ = ["find_release", "require_feature"]

_SHORTEST = 4


def require_feature(tx: RegistryTransaction, feature: str) -> None:
    """Raise `NotFoundError` with the nearest name unless the feature exists."""
    if tx.feature(feature) is None:
        names = [known.name for known in tx.features()]
        close = difflib.get_close_matches(feature, names, n=1)
        raise NotFoundError(
            "unknown_feature",
            f"there is no feature `{feature}`",
            param="feature",
            hint=f"did you mean `{close[0]}`?" if close else "push one: trimtab push FOLDER",
        )


def find_release(tx: RegistryTransaction, feature: str, reference: str) -> Release:
    """Return the release of `feature` that `reference` names.

    Raises `NotFoundError` (`unknown_feature`, `unknown_release`) or `InputError` (`malformed_reference`,
    `ambiguous_reference`).
    """
    require_feature(tx, feature)
    owner, numbered, number = reference.partition("#")
    if numbered:
        return _by_number(tx, feature, owner, number)
    digits = reference.removeprefix(DIGEST_PREFIX)
    if len(digits) < _SHORTEST or any(digit not in "0123456789abcdef" for digit in digits):
        raise InputError(
            "malformed_reference",
            f"`{reference}` does not name a release",
            param="release",
            hint="write '#42' (quoted, for the shell) or at least four digits of its digest",
        )
    found = [release for release in tx.releases(feature) if release.digest.startswith(DIGEST_PREFIX + digits)]
    if len(found) > 1:
        names = ", ".join(f"#{release.number} ({short_digest(release.digest)})" for release in found)
        raise InputError(
            "ambiguous_reference", f"`{reference}` could be {names}", param="release", hint="write more digits"
        )
    if not found:
        raise _unknown(tx, feature, reference)
    return found[0]


def _by_number(tx: RegistryTransaction, feature: str, owner: str, number: str) -> Release:
    if owner not in ("", feature):
        raise InputError(
            "malformed_reference",
            f"`{owner}#{number}` is a release of `{owner}`, not of `{feature}`",
            param="release",
            hint=f"write '#{number}'",
        )
    release = tx.release_number(feature, int(number)) if number.isascii() and number.isdigit() else None
    if release is None:
        raise _unknown(tx, feature, f"#{number}")
    return release


def _unknown(tx: RegistryTransaction, feature: str, reference: str) -> NotFoundError:
    latest = tx.latest_release(feature)
    return NotFoundError(
        "unknown_release",
        f"`{feature}` has no release {reference}",
        param="release",
        hint=f"the newest is #{latest.number}" if latest else "it has none yet: trimtab push FOLDER",
    )
