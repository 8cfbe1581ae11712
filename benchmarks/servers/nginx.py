"""nginx as a reverse proxy that adds nothing: the floor of what a hop costs."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from benchmarks.servers.model import Server, Workspace, free_port

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["prepare", "prepare_tls"]

_CONFIGURATION = """\
worker_processes 1;
daemon off;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  scgi_temp_path scgi;
  uwsgi_temp_path uwsgi;
  upstream model {{
    server 127.0.0.1:{upstream};
    keepalive 256;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {scheme}://model;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
{tls}    }}
  }}
}}
"""
_TLS = """\
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {certificate};
      proxy_ssl_name localhost;
      proxy_ssl_protocols TLSv1.3;
"""


def prepare(workspace: Workspace) -> Server:
    """Plain proxy_pass."""
    return _prepare(workspace, "nginx", upstream=workspace.upstream_port)


def prepare_tls(workspace: Workspace) -> Server:
    """proxy_pass to the same upstream behind TLS, its certificate verified."""
    return _prepare(workspace, "nginx-tls", upstream=workspace.tls_port, certificate=workspace.certificate)


def _prepare(workspace: Workspace, name: str, *, upstream: int, certificate: Path | None = None) -> Server:
    program, home, port = workspace.environments.program("nginx"), workspace.home(name), free_port()
    tls = _TLS.format(certificate=certificate) if certificate else ""
    scheme = "https" if certificate else "http"
    text = _CONFIGURATION.format(upstream=upstream, port=port, scheme=scheme, tls=tls)
    (home / "nginx.conf").write_text(text)
    told = subprocess.run([str(program), "-v"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"nginx/(\S+)", told)
    return Server(
        name="nginx, TLS upstream" if certificate else "nginx",
        version=found.group(1) if found else "",
        configuration="proxy_pass, keep-alive, no buffering" + (", certificate verified" if certificate else ""),
        port=port,
        command=(str(program), "-p", str(home), "-c", "nginx.conf", "-e", "error.log"),
        home=home,
    )
