"""What callers say of a request or its user, for segments: a few short labels, and nothing that would be content."""

from __future__ import annotations

import re

from trimtab.core.errors import InputError

__all__ = ["MAX_ATTRIBUTES", "MAX_ATTRIBUTE_CHARACTERS", "read_attributes"]

MAX_ATTRIBUTES = 10
MAX_ATTRIBUTE_CHARACTERS = 64
"""Of a value."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_attributes(given: object, *, param: str = "attributes") -> dict[str, str]:
    """Return the attributes as they may be recorded; raises `InputError` (`invalid_attributes`) that names the one."""
    if not isinstance(given, dict):
        raise InputError("invalid_attributes", f"`{param}` must be an object of strings", param=param)
    if len(given) > MAX_ATTRIBUTES:
        raise InputError(
            "invalid_attributes", f"{len(given)} attributes are more than {MAX_ATTRIBUTES}", param=param, hint=_PURPOSE
        )
    for name, value in given.items():
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise InputError(
                "invalid_attributes",
                f"{str(name)[:70]!r} is no name of an attribute",
                param=param,
                hint="letters, digits, `.`, `_` and `-`, at most 64, the first a letter or digit",
            )
        if not isinstance(value, str) or len(value) > MAX_ATTRIBUTE_CHARACTERS or not value.isprintable():
            raise InputError(
                "invalid_attributes",
                f"attribute `{name}` must be a string of at most {MAX_ATTRIBUTE_CHARACTERS} printable characters",
                param=f"{param}.{name}",
                hint=_PURPOSE,
            )
    return dict(given)


_PURPOSE = "attributes are for segments (a language, a tier); what the prompt needs are variables"
