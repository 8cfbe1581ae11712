"""The one error tree.

TrimtabError
├── InputError            the caller's input is wrong                     400, exit 2
│   ├── SourceError       ... in a file, with path and line
│   ├── NotFoundError     names something that does not exist             404
│   └── ConflictError     contradicts what is already stored              409
├── AuthenticationError   no key, or a wrong one                          401
├── PermissionDeniedError a guard-rail or role forbids it                 403
├── RateLimitError        too many requests, or too much money, for now     429
├── FencedError           a lease was lost; somebody newer owns the work  409
├── StorageError          the store or the disk failed                    503
│   └── IntegrityError    stored data is not what was written             500
└── UpstreamError         a model provider failed                         502

Every error says what is wrong (`message`), where (`param`: a JSON path, a file:line, a field) and how to mend it
(`hint`), under a `code` that never changes once released.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AuthenticationError",
    "ConflictError",
    "FencedError",
    "InputError",
    "IntegrityError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "SourceError",
    "StorageError",
    "TrimtabError",
    "UpstreamError",
]


class TrimtabError(Exception):
    """Root of every error Trimtab raises on purpose."""

    http_status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal_error"

    def __init__(self, code: str, message: str, *, param: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.hint = hint

    def __str__(self) -> str:
        where = f" (at {self.param})" if self.param else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{self.message}{where}{hint}"

    def as_json(self) -> dict[str, dict[str, str | None]]:
        """The one JSON shape in which surfaces report an error (DESIGN: failure rules)."""
        return {
            "error": {
                "type": self.kind,
                "code": self.code,
                "message": self.message,
                "param": self.param,
                "hint": self.hint,
            }
        }


class InputError(TrimtabError):
    """The caller's input is wrong; repeating the call unchanged will fail again."""

    http_status = 400
    kind = "invalid_request_error"


class SourceError(InputError):
    """A file the user wrote is wrong; `param` is `path:line` (or `path` where no line is known)."""

    def __init__(self, code: str, message: str, *, path: str, line: int | None = None, hint: str | None = None) -> None:
        super().__init__(code, message, param=path if line is None else f"{path}:{line}", hint=hint)
        self.path = path
        self.line = line


class NotFoundError(InputError):
    """The input names something that does not exist."""

    http_status = 404
    kind = "not_found_error"


class ConflictError(InputError):
    """The input contradicts what is already stored."""

    http_status = 409
    kind = "conflict_error"


class AuthenticationError(TrimtabError):
    """No key was sent, or one that is not known."""

    http_status = 401
    kind = "authentication_error"


class PermissionDeniedError(TrimtabError):
    """The caller is known but may not do this."""

    http_status = 403
    kind = "permission_denied_error"


class RateLimitError(TrimtabError):
    """The caller has used up what it may use for now; the same call may be made later."""

    http_status = 429
    kind = "rate_limit_error"


class FencedError(TrimtabError):
    """The worker's lease was taken over: whatever it was about to write is refused."""

    http_status = 409
    kind = "fenced_error"


class StorageError(TrimtabError):
    """The store, the disk or the lock failed; nothing was half-written."""

    http_status = 503
    kind = "storage_error"


class IntegrityError(StorageError):
    """Stored data does not match its digest, checksum or chain."""

    http_status = 500
    kind = "integrity_error"


class UpstreamError(TrimtabError):
    """A model provider could not be reached or answered with a failure."""

    http_status = 502
    kind = "upstream_error"
