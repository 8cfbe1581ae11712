from trimtab.core.errors import AuthenticationError as AuthenticationError
from trimtab.core.errors import ConflictError as ConflictError
from trimtab.core.errors import FencedError as FencedError
from trimtab.core.errors import InputError as InputError
from trimtab.core.errors import IntegrityError as IntegrityError
from trimtab.core.errors import NotFoundError as NotFoundError
from trimtab.core.errors import PermissionDeniedError as PermissionDeniedError
from trimtab.core.errors import SourceError as SourceError
from trimtab.core.errors import StorageError as StorageError
from trimtab.core.errors import TrimtabError as TrimtabError
from trimtab.core.errors import UpstreamError as UpstreamError
from trimtab.providers.endpoint import Endpoint as Endpoint
from trimtab.sdk.client import Trimtab as Trimtab
from trimtab.sdk.managed import AsyncCalls as AsyncCalls
from trimtab.sdk.managed import ManagedLimits as ManagedLimits
from trimtab.sdk.managed_answer import ChatAnswer as ChatAnswer
from trimtab.sdk.managed_answer import ChatChunk as ChatChunk
from trimtab.sdk.resolved import Fallback as Fallback
from trimtab.sdk.resolved import Rendered as Rendered
from trimtab.sdk.resolved import Resolved as Resolved
from trimtab.sdk.stamp import Served as Served
from trimtab.serving.disk_budget import JournalLimits as JournalLimits

__version__: str
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
