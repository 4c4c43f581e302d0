"""A balancer node: guidewayd and guideway-vrrpd on one host, and its power switch."""

import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from control.model import Service
from vagrant.lab import daemon_files
from vagrant.lab.api import Api
from vagrant.lab.daemon_files import NodePaths
from vagrant.lab.errors import LabError
from vagrant.lab.hosts import Host
from vagrant.lab.program import Program
from vagrant.lab.topology import Topology
from vagrant.lab.wait import eventually
from vrrp.addresses import MARK

_STARTS_WITHIN: Final = 20.0  # seconds; it compiles the program


class Node:
    """One node of the cluster. Its files, sockets and logs are in its directory."""

    def __init__(
        self,
        host: Host,
        topology: Topology,
        services: Iterable[Service],
        priority: int,
        paths: NodePaths,
    ) -> None:
        self.host = host
        self.paths = paths
        self.services = tuple(services)
        self.priority = priority  # of VRRP; the highest that lives is Active
        self.api = Api(paths.socket)
        self.guidewayd = Program(
            host,
            "control.daemon",
            ("--config", str(paths.guidewayd_file)),
            paths.directory / "guidewayd.log",
        )
        self.vrrpd = Program(
            host,
            "vrrp.daemon",
            ("--config", str(paths.vrrpd_file)),
            paths.directory / "vrrpd.log",
        )
        self._topology = topology
        paths.directory.mkdir()
        paths.bpffs.mkdir()
        self.write_files()

    @property
    def name(self) -> str:
        """Its host's name."""
        return self.host.name

    def write_files(self) -> None:
        """Write what the daemons read when they start."""
        kind = type(self._topology)
        guidewayd = daemon_files.guidewayd_file(self.name, kind, self.services, self.paths)
        daemon_files.write(self.paths.guidewayd_file, guidewayd)
        vrrpd = daemon_files.vrrpd_file(self.name, kind, self.priority, self.paths)
        daemon_files.write(self.paths.vrrpd_file, vrrpd)

    def start(self) -> None:
        """Start guidewayd, and guideway-vrrpd once the node can serve.

        A node that took the addresses without a data plane would answer living connections
        with resets: its own stack knows nothing of them.
        """
        self.guidewayd.start()
        self.wait_until_ready()
        self.vrrpd.start()

    def stop(self) -> None:
        """Stop both daemons in order; the data plane stays, as it is meant to."""
        self.vrrpd.stop()
        self.guidewayd.stop()

    def wait_until_ready(self, within: float = _STARTS_WITHIN) -> None:
        """Wait until guidewayd answers and the kernel has all that it was told."""

        def ready() -> bool:
            self.guidewayd.require_running()
            return self.api.answers()

        what = f"guidewayd answers on {self.name}"
        eventually(ready, within=within, what=what, explain=self.guidewayd.tail)

    def wait_until_serving(self, service: str, within: float = _STARTS_WITHIN) -> None:
        """Wait until every backend with a weight has its share of ``service``."""

        def serving() -> bool:
            status = self.api.service(service)
            return all(each.share > 0 for each in status.backends if each.backend.weight)

        what = f"{self.name} sends {service} to all backends"
        eventually(serving, within=within, what=what, explain=self.guidewayd.tail)

    def wait_until_state(self, state: str, within: float = 5) -> None:
        """Wait until guideway-vrrpd says that all its instances are ``state``."""

        def there() -> bool:
            self.vrrpd.require_running()
            return set(self._vrrp_states().values()) == {state}

        what = f"{self.name} is {state}"
        eventually(there, within=within, what=what, explain=self.vrrpd.tail)

    def vrrp_state(self) -> str | None:
        """Return "active", "backup" or "initialize"; None if vrrpd is not running.

        That of the instance over IPv4; the other one may be a moment behind.
        """
        return self._vrrp_states().get(daemon_files.INSTANCE)

    def _vrrp_states(self) -> dict[str, str]:
        if self.vrrpd.running:
            with suppress(FileNotFoundError):
                status = json.loads(self.paths.vrrp_status.read_text(encoding="utf-8"))
                return {name: each["state"] for name, each in status.items()}
        return {}

    def power_off(self) -> None:
        """Take the node out of the world at once: no process, no link, no farewell."""
        self._topology.unplug(self.host)
        self.host.kill_everything()
        self.guidewayd.kill()
        self.vrrpd.kill()

    def power_on(self) -> None:
        """Bring the node back as after a boot, and start its daemons in order."""
        if self.guidewayd.running or self.vrrpd.running:
            raise LabError(f"{self.name} is running: switch it off first")
        # What a reboot forgets: programs and maps, virtual addresses, the API's socket.
        shutil.rmtree(self.paths.pins(self.name), ignore_errors=True)
        self.host.remove_addresses_of(MARK)
        self.paths.socket.unlink(missing_ok=True)
        self.paths.beacon.unlink(missing_ok=True)
        self.paths.vrrp_status.unlink(missing_ok=True)
        self._topology.plug(self.host)
        self.start()


def node_paths(directory: Path, node: str) -> NodePaths:
    """Return the paths of ``node`` in the lab's ``directory``, whose ``bpf`` is a bpffs.

    Each node has its own directory there: guideway-vrrpd tells every data plane that it
    finds whose virtual MACs are here.
    """
    return NodePaths(directory / node, directory / "bpf" / node)
