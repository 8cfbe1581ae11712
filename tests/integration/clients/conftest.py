"""The gateway of the tests beside these."""

from __future__ import annotations

from tests.integration.gateway.conftest import release, stack

__all__ = ["release", "stack"]
