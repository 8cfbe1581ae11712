"""HTTP/1.1 for the data plane: a server connection and a pooled upstream client on asyncio protocols and httptools."""

from trimtab.providers.http.application import Application, ServerLimits
from trimtab.providers.http.client import ResponseSink, UpstreamCall, UpstreamClient
from trimtab.providers.http.client_limits import ClientLimits
from trimtab.providers.http.exchange import Exchange
from trimtab.providers.http.fetch import Response, fetch
from trimtab.providers.http.message import Refusal, Request, header
from trimtab.providers.http.server import HttpServer

__all__ = [
    "Application",
    "ClientLimits",
    "Exchange",
    "HttpServer",
    "Refusal",
    "Request",
    "Response",
    "ResponseSink",
    "ServerLimits",
    "UpstreamCall",
    "UpstreamClient",
    "fetch",
    "header",
]
