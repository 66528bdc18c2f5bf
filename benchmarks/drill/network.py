"""The network of a drill: a namespace for each program, on two bridges of this machine. Links can be cut and slowed."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

Net = Literal["front", "back"]
"""`front` lies between HAProxy and replicas, `back` between replicas and PostgreSQL."""

_PREFIX = "hsd"
_SUBNETS: dict[Net, str] = {"front": "10.77.1", "back": "10.77.2"}
_NODES: dict[str, tuple[int, tuple[Net, ...]]] = {
    "lb": (10, ("front",)),
    "pg1": (11, ("back",)),
    "pg2": (12, ("back",)),
    "r1": (21, ("front", "back")),
    "r2": (22, ("front", "back")),
    "r3": (23, ("front", "back")),
}


def missing() -> str | None:
    """Returns why no such network can be made here; None if one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "tc", "setpriv", "haproxy"):
        if shutil.which(program) is None and not Path("/usr/sbin", program).exists():
            return f"{program} is missing"
    made = subprocess.run(["ip", "netns", "add", f"{_PREFIX}-try"], capture_output=True, check=False)  # noqa: S603, S607
    if made.returncode:
        return "network namespaces cannot be made here"
    _run("ip", "netns", "del", f"{_PREFIX}-try")
    return None


class Network:
    """The namespaces, links and bridges. They are removed with the context, and those of an earlier drill at its start."""

    def __init__(self) -> None:
        self._remove()
        for net, subnet in _SUBNETS.items():
            _run("ip", "link", "add", f"{_PREFIX}-{net}", "type", "bridge")
            _run("ip", "address", "add", f"{subnet}.1/24", "dev", f"{_PREFIX}-{net}")
            _run("ip", "link", "set", f"{_PREFIX}-{net}", "up")
        for node, (number, nets) in _NODES.items():
            _run("ip", "netns", "add", f"{_PREFIX}-{node}")
            _run("ip", "-n", f"{_PREFIX}-{node}", "link", "set", "lo", "up")
            for net in nets:
                self._connect(node, number, net)

    @staticmethod
    def address(node: str, net: Net) -> str:
        """Returns the address of a node in a net. This machine itself is number 1 in both."""
        return f"{_SUBNETS[net]}.{_NODES[node][0]}"

    @staticmethod
    def inside(node: str, *command: str) -> Sequence[str]:
        """Returns the command line that runs a command in a node's namespace. It ends when what started it does."""
        return ("ip", "netns", "exec", f"{_PREFIX}-{node}", "setpriv", "--pdeathsig", "KILL", *command)

    def cut(self, node: str, net: Net) -> None:
        """Lets nothing pass to or from a node. Nobody is told: packets are lost."""
        _run("ip", "link", "set", self._link(node, net), "down")

    def join(self, node: str, net: Net) -> None:
        """Ends a cut."""
        _run("ip", "link", "set", self._link(node, net), "up")

    def slow(self, node: str, net: Net, rate: str) -> None:
        """Lets so much pass to a node and from it, such as `256kbit` a second. What is more waits in a queue."""
        for where, link in (((), self._link(node, net)), (("-n", f"{_PREFIX}-{node}"), net)):
            _run("tc", *where, "qdisc", "add", "dev", link, "root", "tbf", "rate", rate, "burst", "4kb", "latency", "1s")

    def hasten(self, node: str, net: Net) -> None:
        """Ends what `slow` began."""
        for where, link in (((), self._link(node, net)), (("-n", f"{_PREFIX}-{node}"), net)):
            _run("tc", *where, "qdisc", "del", "dev", link, "root")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self._remove()

    def _connect(self, node: str, number: int, net: Net) -> None:
        outer = self._link(node, net)
        _run("ip", "link", "add", outer, "type", "veth", "peer", "name", net, "netns", f"{_PREFIX}-{node}")
        _run("ip", "link", "set", outer, "master", f"{_PREFIX}-{net}", "up")
        _run("ip", "-n", f"{_PREFIX}-{node}", "address", "add", f"{_SUBNETS[net]}.{number}/24", "dev", net)
        _run("ip", "-n", f"{_PREFIX}-{node}", "link", "set", net, "up")

    @staticmethod
    def _link(node: str, net: Net) -> str:
        return f"{_PREFIX}-{node}-{net}"

    @staticmethod
    def _remove() -> None:
        links = [Network._link(node, net) for node, (_, nets) in _NODES.items() for net in nets]
        for link in (*links, *(f"{_PREFIX}-{net}" for net in _SUBNETS)):
            with suppress(subprocess.CalledProcessError):
                _run("ip", "link", "del", link)
        for node in _NODES:
            with suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "del", f"{_PREFIX}-{node}")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 -- the command is ours
