"""The files and the environment of a private RabbitMQ node: everything its own, nothing of the system's."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec

from pyti.errors import BusError

__all__ = ["NodeFiles", "free_ports"]

_SBIN = "/usr/lib/rabbitmq/lib"
_ERLANG = "/usr/lib/erlang/bin"
HOST = "127.0.0.1"


class NodeFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where a node lives and which loopback ports it uses."""

    folder: Path
    amqp_port: int
    management_port: int
    epmd_port: int
    dist_port: int

    @property
    def node(self) -> str:
        """The Erlang node's name."""
        return f"pyti{self.amqp_port}@localhost"

    @property
    def logs(self) -> Path:
        """The folder of its logs."""
        return self.folder / "log"

    def write(self) -> None:
        """Write the configuration; the node listens on loopback only."""
        for name in ("home", "log", "mnesia", "conf.d"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {HOST}:{self.amqp_port}\n"
            f"management.tcp.ip = {HOST}\n"
            f"management.tcp.port = {self.management_port}\n"
            "log.console = false\n"
            "log.file.level = info\n"
            "disk_free_limit.absolute = 50MB\n",
            encoding="utf-8",
        )
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n", encoding="utf-8")

    def environment(self) -> dict[str, str]:
        """Return the environment for the server and its tools.

        The wrappers in /usr/sbin insist on the user rabbitmq, so the server's own folder comes first in ``PATH``.
        """
        at = str(self.folder)
        return {
            "PATH": os.pathsep.join([*self.programs(), os.environ.get("PATH", os.defpath)]),
            "LANG": "C.UTF-8",
            "HOME": f"{at}/home",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": f"{at}/mnesia",
            "RABBITMQ_LOG_BASE": f"{at}/log",
            "RABBITMQ_CONFIG_FILE": f"{at}/rabbitmq",
            "RABBITMQ_CONFIG_FILES": f"{at}/conf.d",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{at}/advanced.config",
            "RABBITMQ_CONF_ENV_FILE": f"{at}/rabbitmq-env.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{at}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"{at}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none "
            "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
        }

    @staticmethod
    def programs() -> list[str]:
        """Return the folders of RabbitMQ's and Erlang's programs. ``BusError`` when RabbitMQ is not installed."""
        found = sorted(Path(_SBIN).glob("rabbitmq_server-*/sbin"))
        if not found:
            raise BusError("RabbitMQ is not installed", remedy="Install the package rabbitmq-server.")
        return [str(found[-1]), _ERLANG]


def free_ports(count: int) -> list[int]:
    """Return TCP ports of the loopback interface that are free at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
