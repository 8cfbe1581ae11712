"""What a module tells the compiler of `hatch_build.py`. Python itself does nothing with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_attributes: Any) -> Any:  # noqa: ANN401 - as the compiler's own
        """Return the class as it is."""
        return lambda kind: kind


__all__ = ["mypyc_attr"]
