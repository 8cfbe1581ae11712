"""A second client over the same connections, so that wrapping changes nothing about the caller's own."""

from __future__ import annotations

import copy
import functools
from typing import TypeVar

__all__ = ["twin"]

_Client = TypeVar("_Client")


def twin(client: _Client) -> _Client:
    """Return a client of the same class, with the same settings and connection pool, and resources of its own.

    Provider clients keep their resources (`client.chat`, ...) as cached properties; a copy makes new ones on demand.
    Closing either closes the connections of both, as with the clients' own `with_options`.
    """
    other = copy.copy(client)
    for name in list(vars(other)):
        if isinstance(getattr(type(other), name, None), functools.cached_property):
            del vars(other)[name]
    return other
