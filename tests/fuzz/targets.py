"""What can be fuzzed, by name."""

from __future__ import annotations

from typing import Any

from tests.fuzz import test_fuzz_formats, test_fuzz_http_server, test_fuzz_http_upstream

__all__ = ["TARGETS"]

TARGETS: dict[str, Any] = {
    "answers": test_fuzz_formats.ANSWERS_TARGET,
    "requests": test_fuzz_formats.REQUESTS_TARGET,
    "server": test_fuzz_http_server.TARGET,
    "streams": test_fuzz_formats.STREAMS_TARGET,
    "upstream": test_fuzz_http_upstream.TARGET,
}
