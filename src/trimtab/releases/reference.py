"""How people name a release: `#42`, `support-reply#42`, a digest, or an unambiguous beginning of one.

An artifact's alias (`tone@v3`, `partial/tone@v3`) names the release that it is part of, where there is only one.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from trimtab.core.errors import InputError, NotFoundError
from trimtab.core.ids import DIGEST_PREFIX, short_digest

if TYPE_CHECKING:
    from trimtab.releases.model import Manifest, Release
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
    if "@v" in reference:
        return _by_artifact(tx, feature, reference)
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
    return _single(tx, feature, reference, found)


def _single(tx: RegistryTransaction, feature: str, reference: str, found: list[Release]) -> Release:
    if len(found) > 1:
        names = ", ".join(f"#{release.number} ({short_digest(release.digest)})" for release in found)
        raise InputError(
            "ambiguous_reference",
            f"`{reference}` could be {names}",
            param="release",
            hint=f"write '#{found[0].number}' or more digits",
        )
    if not found:
        raise _unknown(tx, feature, reference)
    return found[0]


def _by_artifact(tx: RegistryTransaction, feature: str, reference: str) -> Release:
    """Return the one release that an artifact version is part of: it may be part of several, or of none."""
    path, _, number = reference.rpartition("@v")
    *kind, name = path.removeprefix(f"{feature}/").split("/")
    if not (number.isascii() and number.isdigit()) or len(kind) > 1:
        raise InputError(
            "malformed_reference",
            f"`{reference}` does not name an artifact version",
            param="release",
            hint="write NAME@v3 or KIND/NAME@v3, as `trimtab push` prints them",
        )
    digests = {
        artifact.digest
        for artifact in tx.artifacts(feature)
        if (artifact.name, artifact.number) == (name, int(number)) and kind in ([], [artifact.kind])
    }
    return _single(tx, feature, reference, [r for r in tx.releases(feature) if digests & _parts(r.manifest)])


def _parts(manifest: Manifest) -> set[str | None]:
    return {
        manifest.prompt,
        manifest.model,
        manifest.tools,
        manifest.schema,
        manifest.adapter,
        *manifest.partials.values(),
        *(manifest.fallbacks or ()),
    }


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
