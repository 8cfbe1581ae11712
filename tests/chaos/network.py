"""Machines as far as the network goes: namespaces, and the cables between them.

    callers, nodes ==(callers)== gateway's machine ==(upstream)== the model
                   ==(control)==

Without root everything talks over loopback, and no cable can be cut.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Literal, Self

import msgspec

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Cable", "Network"]

Cable = Literal["callers", "control", "upstream"]
"""A connection of the gateway's machine."""
Machine = Literal["gateway", "upstream"]


class _Wire(msgspec.Struct, frozen=True):
    """A cable: its two ends, each a name within a namespace (`None`: this one) with an address."""

    near: str
    near_space: str | None
    near_address: str
    far: str
    far_space: str
    far_address: str


class Network:
    """The addresses, and what a command line begins with that runs on a machine."""

    def __init__(self) -> None:
        tag = f"{os.getpid() % 100_000:x}"
        net = f"10.213.{1 + os.getpid() % 250}"
        gateway, upstream = f"tt-g-{tag}", f"tt-u-{tag}"
        self._spaces: dict[Machine, str] = {"gateway": gateway, "upstream": upstream}
        self._wires: dict[Cable, _Wire] = {
            "callers": _Wire(f"ttc{tag}", None, f"{net}.1", "callers", gateway, f"{net}.2"),
            "upstream": _Wire("upstream", gateway, f"{net}.5", "machine", upstream, f"{net}.6"),
            "control": _Wire(f"ttn{tag}", None, f"{net}.9", "control", gateway, f"{net}.10"),
        }
        self.apart = False
        """Whether the machines are apart, so that cables can be cut."""

    def __enter__(self) -> Self:
        if os.geteuid() == 0 and shutil.which("ip") is not None:
            try:
                self._lay()
            except subprocess.CalledProcessError:
                self._remove()
            else:
                self.apart = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.apart:
            self._remove()

    @property
    def gateway_host(self) -> str:
        """Where callers reach the gateway."""
        return self._wires["callers"].far_address if self.apart else "127.0.0.1"

    @property
    def upstream_host(self) -> str:
        """Where the gateway reaches the model."""
        return self._wires["upstream"].far_address if self.apart else "127.0.0.1"

    @property
    def control_host(self) -> str:
        """Where the gateway's machine reaches the control plane."""
        return self._wires["control"].near_address if self.apart else "127.0.0.1"

    def on(self, machine: Machine) -> list[str]:
        """Return what a command line begins with that runs on a machine."""
        return ["ip", "netns", "exec", self._spaces[machine]] if self.apart else []

    def cut(self, cable: Cable) -> None:
        """Packets vanish from now on, in silence."""
        wire = self._wires[cable]
        _ip("-n", wire.far_space, "link", "set", wire.far, "down")

    def mend(self, cable: Cable) -> None:
        """Packets arrive again."""
        wire = self._wires[cable]
        _ip("-n", wire.far_space, "link", "set", wire.far, "up")

    def _lay(self) -> None:
        for space in self._spaces.values():
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
        for wire in self._wires.values():
            near = ["-n", wire.near_space] if wire.near_space else []
            far = ["-n", wire.far_space]
            _ip(*near, "link", "add", wire.near, "type", "veth", "peer", "name", wire.far, "netns", wire.far_space)
            _ip(*near, "addr", "add", f"{wire.near_address}/30", "dev", wire.near)
            _ip(*near, "link", "set", wire.near, "up")
            _ip(*far, "addr", "add", f"{wire.far_address}/30", "dev", wire.far)
            _ip(*far, "link", "set", wire.far, "up")

    def _remove(self) -> None:
        for space in self._spaces.values():
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
