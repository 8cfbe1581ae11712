"""Two gateways behind the load balancers that deploy/ ships, restarted one after the other: no request fails."""

from __future__ import annotations

import http.client
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.free_port import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

PROXY = Path(__file__).parents[3] / "deploy" / "proxy"


def wait_until_ready(port: int, path: str) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status in {200, 404}:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        finally:
            connection.close()
    raise AssertionError(f"nobody answers on {port}")


def haproxy(root: Path, port: int, gateways: list[int]) -> list[str]:
    text = (PROXY / "haproxy.cfg").read_text().replace("bind :8080", f"bind 127.0.0.1:{port}")
    for number, gateway in enumerate(gateways, 1):
        text = text.replace(f"10.0.0.1{number}:8400", f"127.0.0.1:{gateway}")
    (root / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(root / "haproxy.cfg")]


def nginx(root: Path, port: int, gateways: list[int]) -> list[str]:
    text = (
        (PROXY / "nginx.conf")
        .read_text()
        .partition("# In front of")[2]
        .partition("\nserver {\n    listen 443 ssl;\n    server_name trimtab")[0]
    )
    text = "# " + text.replace("listen 443 ssl", f"listen 127.0.0.1:{port}").replace(
        "    ssl_certificate", "    #ssl_certificate"
    )
    for number, gateway in enumerate(gateways, 1):
        text = text.replace(f"10.0.0.1{number}:8400", f"127.0.0.1:{gateway}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {root}/nginx-{kind};\n" for kind in kinds)
    (root / "nginx.conf").write_text(
        f"daemon off;\npid {root}/nginx.pid;\nerror_log stderr warn;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}{text}}}\n"
    )
    return ["nginx", "-c", str(root / "nginx.conf"), "-p", str(root)]


@pytest.mark.slow
@pytest.mark.parametrize("configured", [haproxy, nginx])
def test_restarting_every_gateway_behind_it_loses_no_request(
    configured: Callable[[Path, int, list[int]], list[str]],
    pushed: Path,
    start: Callable[..., Any],
    users: Callable[[int], Any],
) -> None:
    port, gateways = free_port(), [free_port(), free_port()]
    command = configured(pushed, port, gateways)
    program = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin:/sbin")
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    sim = start(sys.executable, "-m", "trimtab", "sim", "--port", "0")
    upstream = sim.wait_for("upstream on ").rpartition(" on ")[2]
    (pushed / "trimtab.toml").write_text(f'[providers.openai]\nbase_url = "{upstream}"\napi_key_env = ""\n')

    def gateway(at: int) -> Any:
        begun = start(sys.executable, "-m", "trimtab", "gateway", "--port", str(at))
        wait_until_ready(at, "/readyz")
        return begun

    running = [gateway(at) for at in gateways]
    start(program, *command[1:])
    wait_until_ready(port, "/nowhere")
    asking = users(port)
    asking.wait_for_answers(50)
    for index, at in enumerate(gateways):
        running[index].stop()
        asking.wait_for_answers(20)
        running[index] = gateway(at)
        time.sleep(2.5)  # until the balancer believes it again
        asking.wait_for_answers(20)
    asking.stop()
    assert asking.failed == []
