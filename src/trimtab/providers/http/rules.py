"""What is unusual about a request's head, and what of it is refused: RFC 9110 and RFC 9112 as decisions."""

from __future__ import annotations

import re

from trimtab.providers.http.message import Refusal, Request

__all__ = ["examine", "without_upgrade"]

_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%_~-]+\]|[0-9A-Za-z.%_~!$&'()*+;=-]*)(?::[0-9]*)?")
"""RFC 3986 §3.2.2, less the comma that two Host lines would be joined by."""
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(/[^?#]*)?[^#]*", re.IGNORECASE)
_SLASH = ord("/")
_UPGRADE_TOKENS = frozenset({b"upgrade", b"http2-settings"})
_UPGRADE_HEADERS = frozenset({b"connection", b"upgrade", b"http2-settings"})


def examine(request: Request, version: str) -> Refusal | None:
    """Return why a head is refused, or `None`; settles path, host, version and expectation of the request."""
    if version not in {"1.0", "1.1"}:
        return Refusal(505, "http_version_not_supported", f"this server speaks HTTP/1.1, not HTTP/{version}")
    request.http_1_0 = version == "1.0"
    if request.method == b"CONNECT":
        return Refusal(405, "method_not_allowed", "this is not a proxy")
    return _host(request) or _target(request) or _transfer_coding(request) or _expectation(request)


def without_upgrade(method: bytes, target: bytes, version: str, headers: dict[bytes, bytes]) -> bytes:
    """Return a head again without its offer to switch protocols, which RFC 9110 §7.8 allows to ignore."""
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    lines += [b"%s: %s" % pair for pair in headers.items() if pair[0] not in _UPGRADE_HEADERS]
    tokens = [token.strip() for token in headers.get(b"connection", b"").lower().split(b",")]
    lines += [b"connection: %s" % token for token in tokens if token and token not in _UPGRADE_TOKENS]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _host(request: Request) -> Refusal | None:
    """RFC 9112 §3.2: one valid Host; HTTP/1.0 may do without."""
    host = request.headers.get(b"host")
    if host is None:
        if request.http_1_0:
            return None
        return Refusal(400, "malformed_http", "an HTTP/1.1 request needs a Host header")
    if _HOST.fullmatch(host) is None:
        return Refusal(400, "malformed_http", "a request needs exactly one Host header, a name or address and a port")
    return None


def _target(request: Request) -> Refusal | None:
    """RFC 9112 §3.2: origin-form; absolute-form, whose host replaces the header; asterisk-form for OPTIONS."""
    target = request.target
    if target[0] == _SLASH or (target == b"*" and request.method == b"OPTIONS"):
        return None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or _HOST.fullmatch(absolute[1]) is None:
        return Refusal(400, "malformed_http", "the request target is neither a path nor an http or https URL")
    request.path = absolute[2] or b"/"
    request.headers[b"host"] = absolute[1]
    return None


def _transfer_coding(request: Request) -> Refusal | None:
    """RFC 9112 §6.1: HTTP/1.0 has none; a coding that is not understood is 501."""
    coding = request.headers.get(b"transfer-encoding")
    if coding is None:
        return None
    if request.http_1_0:
        return Refusal(400, "malformed_http", "HTTP/1.0 has no Transfer-Encoding")
    if coding.lower() != b"chunked":
        return Refusal(501, "unsupported_transfer_coding", "the only transfer coding understood is chunked, once")
    return None


def _expectation(request: Request) -> Refusal | None:
    """RFC 9110 §10.1.1: an expectation other than 100-continue fails; HTTP/1.0 has none."""
    expected = request.headers.get(b"expect")
    if expected is None or request.http_1_0:
        return None
    if expected.lower() != b"100-continue":
        return Refusal(417, "expectation_failed", "the only expectation that can be met is 100-continue")
    request.expects_continue = True
    return None
