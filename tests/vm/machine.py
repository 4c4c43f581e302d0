"""A virtual machine with Debian's own kernel: QEMU as an emulator, spoken to by ssh."""

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from tests.vm.image import Image
from tests.vm.network import Network
from vagrant.lab.errors import CommandError, LabError, NotInTimeError
from vagrant.lab.wait import PATIENCE, eventually

SOON = 120.0  # seconds for a small command: emulated, Python takes two to start
_BOOTS_WITHIN = 600.0
_QUEUES = 2  # of each card: one for each CPU, and none to spare for XDP
_TAIL_LINES = 25


@dataclass(frozen=True, slots=True)
class Kind:
    """What is bought, so to speak."""

    name: str  # its host name
    number: int  # its own: the last byte of its MACs, and of the address it has by default
    memory: int = 512  # MiB
    cpus: int = 2
    segments: tuple[str, ...] = ()  # its cards eth1, eth2, …; eth0 is for ssh


class Machine:
    """It, running; all that it is told and says is in its logs."""

    def __init__(self, kind: Kind, image: Image, network: Network, logs: Path) -> None:
        self.kind = kind
        self.log = logs / f"{kind.name}.log"
        self.console = logs / f"{kind.name}.console"
        self._ssh = (*network.enter(), *_ssh(image, kind))

    @property
    def name(self) -> str:
        return self.kind.name

    def run(
        self,
        command: str,
        *,
        within: float = SOON,
        code: int | None = 0,
        input_: bytes | None = None,
    ) -> str:
        """Run a shell's command as root; return what it prints, without its errors.

        Raise CommandError if its exit code is another than ``code`` (None: any is right).
        """
        try:
            done = subprocess.run(
                (*self._ssh, command),
                input=input_,
                stdin=None if input_ is not None else subprocess.DEVNULL,
                capture_output=True,
                timeout=within * PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise NotInTimeError(f"{self.name}: {command}", within) from late
        said = (done.stdout + done.stderr).decode(errors="replace")
        with self.log.open("a") as log:
            log.write(f"$ {command}\n{said}")
        if code is not None and done.returncode != code:
            raise CommandError(self.name, (command,), done.returncode, said)
        return done.stdout.decode(errors="replace")

    def watch(self, command: str, log: Path, *, within: float) -> str:
        """Run what takes long; the log shows how far it is. Return its last line."""
        with log.open("wb") as output:
            output.write(f"$ {command}\n".encode())
            output.flush()
            code = self._run_into(output, command, within)
        lines = log.read_text(errors="replace").rstrip().splitlines()
        if code != 0:
            said = "\n".join(lines[-_TAIL_LINES:])
            raise CommandError(self.name, (command,), code, said)
        return lines[-1]

    def send(self, file: Path, to: str) -> None:
        """Copy a file into it."""
        self.run(f"cat > {shlex.quote(to)}", input_=file.read_bytes())

    def unpack(self, archive: bytes, where: str) -> None:
        """Unpack a tar file that is in memory."""
        place = shlex.quote(where)
        self.run(f"mkdir -p {place} && tar -x -C {place}", input_=archive)

    def wait_until_up(self) -> None:
        """Wait until systemd has started all that it should."""
        tail = partial(_tail, self.console)
        eventually(
            self._answers, within=_BOOTS_WITHIN, what=f"{self.name} is up", explain=tail
        )
        state = self.run(
            "systemctl is-system-running --wait", code=None, within=_BOOTS_WITHIN
        )
        if state.strip() != "running":
            failed = self.run("systemctl --failed --no-legend")
            raise LabError(f"{self.name} is {state.strip()} after it has booted:\n{failed}")

    def _answers(self) -> bool:
        with suppress(CommandError, NotInTimeError):
            self.run("true", within=20)
            return True
        return False

    def _run_into(self, output: IO[bytes], command: str, within: float) -> int:
        running = subprocess.Popen(
            (*self._ssh, command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            return running.wait(timeout=within * PATIENCE)
        except subprocess.TimeoutExpired as late:
            raise NotInTimeError(f"{self.name}: {command}", within) from late
        finally:
            running.kill()


@contextmanager
def machine(kind: Kind, image: Image, network: Network, logs: Path) -> Iterator[Machine]:
    """Boot one; what it writes to its disk goes away with it."""
    for segment in kind.segments:
        network.plug(_tap(kind, segment), segment)
    made = Machine(kind, image, network, logs)
    command = (
        # With us, however we end, it ends too.
        *("setpriv", "--pdeathsig", "KILL"),
        *(*network.enter(), *_qemu(kind, image, made.console)),
    )
    with (logs / f"{kind.name}.qemu").open("wb") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # Ctrl-C ends it when we do, not before
        )
    try:
        yield made
    finally:
        process.kill()
        process.wait(timeout=20)


def _qemu(kind: Kind, image: Image, console: Path) -> list[str]:
    words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]
    words += ["-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "max"]
    words += ["-smp", str(kind.cpus), "-m", str(kind.memory)]
    words += ["-serial", f"file:{console}", "-device", "virtio-rng-pci"]
    words += ["-kernel", str(image.kernel), "-initrd", str(image.initrd)]
    words += ["-append", f"{_KERNEL} systemd.hostname={kind.name}"]
    words += ["-device", "virtio-blk-pci,drive=disk", "-drive"]
    words += [f"if=none,id=disk,file={image.disk},format=raw,snapshot=on,cache=unsafe"]
    hear = f"hostfwd=tcp:127.0.0.1:{_port(kind)}-:22"
    words += ["-netdev", f"user,id=ssh,restrict=on,{hear}"]
    words += ["-device", f"virtio-net-pci,netdev=ssh,romfile=,mac={_mac(kind, 0)}"]
    for place, segment in enumerate(kind.segments, 1):
        tap = f"tap,id={segment},ifname={_tap(kind, segment)},script=no,downscript=no"
        words += ["-netdev", f"{tap},queues={_QUEUES}", "-device"]
        card = f"virtio-net-pci,netdev={segment},romfile=,mac={_mac(kind, place)}"
        words += [f"{card},mq=on,vectors={2 * _QUEUES + 2}"]
    return words


# The TSC is the host's, and its pace is measured while the machine boots: on a busy host so
# badly that time passed four times too fast.
_KERNEL = "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off clocksource=hpet"


def _ssh(image: Image, kind: Kind) -> tuple[str, ...]:
    """Return the command that runs another one there."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "15",
        "LogLevel": "ERROR",
        "StrictHostKeyChecking": "no",  # of a machine that is made anew each time
        "UserKnownHostsFile": "/dev/null",
        "ServerAliveInterval": "60",
    }
    words = (word for name, value in options.items() for word in ("-o", f"{name}={value}"))
    key = ("-i", str(image.key), "-F", "none")
    return ("ssh", *key, *words, "-p", str(_port(kind)), "root@127.0.0.1")


def _port(kind: Kind) -> int:
    return 2200 + kind.number  # in a network namespace that has nobody else


def _tap(kind: Kind, segment: str) -> str:
    return f"{kind.name}-{segment}"


def _mac(kind: Kind, card: int) -> str:
    return f"52:54:00:00:{card:02x}:{kind.number:02x}"


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-_TAIL_LINES:])
