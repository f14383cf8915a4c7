"""A virtual machine that runs an image: its console, its monitor, its power switch, and SSH into it."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pexpect
from qemu.qmp import ConnectError
from qemu.qmp.legacy import QEMUMonitorProtocol
from qemu.qmp.qmp_client import ExecInterruptedError

from lab import disk, process
from lab.errors import LabError
from lab.netns import Namespace
from lab.qemu import BOARD, VIRT, Options
from lab.retry import NotYet, retry

PANIC = "Kernel panic - not syncing"
# How long things may take, in seconds: under emulation a boot costs 60 to 120 s of a free core, and
# the cores are seldom free.
PATIENCE = {"tcg": 900, "kvm": 180}


class Machine:
    """One virtual machine. It may be started, cut off and started again on the same disk."""

    def __init__(self, options: Options, host: Namespace, work: Path) -> None:
        # A UNIX socket's path has at most 107 bytes, which a checkout's may exceed.
        self._sockets = Path(tempfile.mkdtemp(prefix="ztgate-"))
        work.mkdir(parents=True, exist_ok=True)
        self.options = replace(options, sockets=self._sockets, console_log=work / "console.log")
        self.host, self.work = host, work
        self._qemu: subprocess.Popen[bytes] | None = None
        self._console: Any = None
        self._monitor: QEMUMonitorProtocol | None = None

    @property
    def patience(self) -> float:
        """How long a boot may take, in seconds."""
        return PATIENCE[self.options.accelerator]

    def start(self) -> None:
        """Switch it on.

        Raises:
            LabError: QEMU ended at once; it shows what QEMU said.
        """
        log = self.options.console_log
        log.touch()
        if self.options.firmware in (VIRT, BOARD):  # QEMU takes the kernel that is on the card now
            self.options = replace(self.options, kernel=disk.kernel(self.options.disk, self.work))
        shown = log.stat().st_size
        self._qemu = process.start(self.host.argv(*self.options.argv()), self.work / "qemu.log")
        # It ends with the machine, and so does every wait for the console.
        tail = ["-c", f"+{shown + 1}", "-f", f"--pid={self._qemu.pid}", str(log)]
        self._console = pexpect.spawn("tail", tail, encoding="utf-8", codec_errors="replace", echo=False)
        retry(self._connect, 20, "QEMU's monitor")
        if self.options.spare_tap is not None:  # its cable is not plugged in at first
            self.link(up=False, card="spare")

    def _connect(self) -> None:
        if self._qemu is not None and self._qemu.poll() is not None:
            raise LabError(f"QEMU ended with status {self._qemu.returncode}\n{self._qemu_log()}")
        if not self.options.monitor.exists():
            raise NotYet("its socket is not there")
        try:
            monitor = QEMUMonitorProtocol(str(self.options.monitor))
            monitor.connect()
            self._monitor = monitor
        except (OSError, ConnectError) as error:
            raise NotYet(str(error)) from None

    def _qemu_log(self) -> str:
        return "\n".join((self.work / "qemu.log").read_text(errors="replace").splitlines()[-10:])

    def qmp(self, command: str, **arguments: Any) -> Any:
        """One command to QEMU's monitor."""
        if self._monitor is None:
            raise LabError(f"{command}: the machine is off")
        return self._monitor.cmd(command, **arguments)

    def expect(self, pattern: str, timeout: float | None = None, never: str | None = None) -> "Match":
        """Wait until the console shows ``pattern``.

        Raises:
            LabError: it did not within ``timeout`` seconds, the console showed ``never`` or a panic, or
                the machine stopped; the console's last lines are in it.
        """
        patterns: list[Any] = [pattern, pexpect.EOF, pexpect.TIMEOUT, PANIC, *([never] if never else [])]
        seconds = timeout or self.patience
        found = self._console.expect(patterns, timeout=seconds)
        if found == 0:
            return Match(self._console.match)
        why = {1: "the machine stopped", 2: f"not within {seconds:.0f} s"}.get(found)
        why = why or f"it showed {self._console.match.group(0)!r} instead"
        raise LabError(f"console: waiting for {pattern!r}: {why}\n{self.console_tail()}")

    def stays(self, seconds: float, never: str) -> None:
        """Let time pass in which the console shows ``never`` no more than a panic, and the machine runs on.

        Raises:
            LabError: it did not stay so.
        """
        found = self._console.expect([pexpect.TIMEOUT, pexpect.EOF, PANIC, never], timeout=seconds)
        if found != 0:
            shown = "it stopped" if found == 1 else f"it showed {self._console.match.group(0)!r}"
            raise LabError(f"console: within {seconds:.0f} s {shown}\n{self.console_tail()}")

    def console_text(self) -> str:
        """All that the console has shown since the machine was made."""
        log = self.options.console_log
        return log.read_text(errors="replace") if log.exists() else ""

    def console_tail(self, lines: int = 40) -> str:
        """The last lines of the console."""
        return "\n".join(f"  | {line}" for line in self.console_text().splitlines()[-lines:])

    def cut_power(self) -> None:
        """Power cut: the guest gets no chance to write anything more."""
        with contextlib.suppress(ExecInterruptedError, ConnectionError, OSError):
            self.qmp("quit")
        self.stop()

    def power_off(self, timeout: float = 300) -> None:
        """Press the power button and wait until the machine has shut itself down."""
        self.qmp("system_powerdown")
        if self._qemu is not None:
            try:
                self._qemu.wait(timeout)
            except subprocess.TimeoutExpired:
                raise LabError(f"it did not power off in {timeout:.0f} s\n{self.console_tail()}") from None
        self.stop()

    def link(self, up: bool, card: str = "wan") -> None:
        """Plug a network card's cable in, or pull it: `wan`, or `spare`."""
        self.qmp("set_link", name=card, up=up)

    def instructions(self) -> int:
        """How many it has executed since it was switched on; needs `Options.counted`."""
        return int(self.qmp("query-replay")["icount"])

    def snapshot(self, name: str) -> None:
        """Save the machine with its memory under a name."""
        self._human(f"savevm {name}")

    def restore(self, name: str) -> None:
        """Go back to a snapshot."""
        self._human(f"loadvm {name}")

    def _human(self, line: str) -> None:
        said = str(self.qmp("human-monitor-command", **{"command-line": line}))
        if said.strip():
            raise LabError(f"{line}: {said.strip()}")

    def stop(self) -> None:
        """Let go of everything; the disk stays."""
        if self._monitor is not None:
            with contextlib.suppress(Exception):  # the far end may be gone in any of many ways
                self._monitor.close()
        if self._qemu is not None:
            process.stop(self._qemu)
        if self._console is not None:
            # Not close() alone: it waits for a tenth of a second, which is not enough on a busy machine.
            self._console.kill(signal.SIGKILL)
            self._console.wait()
            self._console.close()
        self._monitor = self._qemu = self._console = None

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        shutil.rmtree(self._sockets, ignore_errors=True)


class Match:
    """What a console pattern matched."""

    def __init__(self, match: Any) -> None:
        self._match = match

    def __getitem__(self, group: str) -> str:
        return str(self._match.group(group))


class Shell:
    """SSH into a machine, from a namespace, with a key that its configuration names."""

    def __init__(self, host: Namespace, address: str, key: Path, control: Path) -> None:
        self.host, self.address, self.key, self.control = host, address, key, control

    def argv(self, command: str) -> list[process.Arg]:
        """The command line inside the namespace."""
        options = [
            "BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR",
            # A handshake costs seconds under emulation: commands share one connection.
            "ControlMaster=auto", f"ControlPath={self.control}", "ControlPersist=120", "ConnectTimeout=60",
        ]  # fmt: skip
        flags = [word for option in options for word in ("-o", option)]
        return ["ssh", *flags, "-i", self.key, f"root@{self.address}", command]

    def run(self, command: str, timeout: float = 180) -> str:
        """Run a shell command in the machine and return its output; see `process.run`."""
        return self.host.run(*self.argv(command), timeout=timeout)

    def succeeds(self, command: str, timeout: float = 180) -> bool:
        """Whether a shell command in the machine ends with status 0."""
        return process.succeeds(self.host.argv(*self.argv(command)), timeout=timeout)

    def leave(self) -> None:
        """Close the connection that commands share."""
        control = f"ControlPath={self.control}"
        self.host.run("ssh", "-q", "-O", "exit", "-o", control, f"root@{self.address}")

    def put(self, source: Path, target: str, timeout: float = 180) -> None:
        """Copy a file into the machine."""
        words = shlex.join(os.fspath(word) for word in self.argv(f"cat > {shlex.quote(target)}"))
        self.host.run("sh", "-c", f"{words} < {shlex.quote(str(source))}", timeout=timeout)


def key_pair(directory: Path) -> tuple[Path, str]:
    """Make an SSH key; returns the private key's path and the public key's line."""
    directory.mkdir(parents=True, exist_ok=True)
    key = directory / "id_ed25519"
    words: Sequence[process.Arg] = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", key]
    process.run(words)
    return key, key.with_suffix(".pub").read_text().strip()
