"""Release engineering for LLM features.

`import trimtab` is light: names are loaded when they are first used (PEP 562). Their types stand in `__init__.pyi`.
"""

from __future__ import annotations

__all__ = [
    "AsyncCalls",
    "AuthenticationError",
    "ChatAnswer",
    "ChatChunk",
    "ConflictError",
    "Endpoint",
    "Fallback",
    "FencedError",
    "InputError",
    "IntegrityError",
    "JournalLimits",
    "ManagedLimits",
    "NotFoundError",
    "PermissionDeniedError",
    "Rendered",
    "Resolved",
    "Served",
    "SourceError",
    "StorageError",
    "Trimtab",
    "TrimtabError",
    "UpstreamError",
    "__version__",
]

_HOME = {
    "AsyncCalls": "trimtab.sdk.managed",
    "ChatAnswer": "trimtab.sdk.managed_answer",
    "ChatChunk": "trimtab.sdk.managed_answer",
    "Endpoint": "trimtab.providers.endpoint",
    "JournalLimits": "trimtab.serving.disk_budget",
    "ManagedLimits": "trimtab.sdk.managed",
    "Trimtab": "trimtab.sdk.client",
    "Fallback": "trimtab.sdk.resolved",
    "Rendered": "trimtab.sdk.resolved",
    "Resolved": "trimtab.sdk.resolved",
    "Served": "trimtab.sdk.stamp",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # late: 40 ms that nobody pays who does not ask

        value: object = version("trimtab")
    elif name in __all__:
        from importlib import import_module

        value = getattr(import_module(_HOME.get(name, "trimtab.core.errors")), name)
    else:
        raise AttributeError(f"module `trimtab` has no attribute `{name}`")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
