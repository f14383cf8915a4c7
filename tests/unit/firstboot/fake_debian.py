"""A gateway with packages that is all pretence: apt, dpkg and systemd in memory."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ztgate import store
from ztgate.machine import Machine
from ztgate.updates import health, trial

from .support import FakeTools, machine, with_console

OLD_KERNEL, NEW_KERNEL = "6.12.1-cloud-amd64", "6.12.2-cloud-amd64"


class PowerCut(BaseException):
    """No `except Exception` sees it, as nothing sees the real one."""


class FakeDebian(FakeTools):
    """offers: (old, new) by package. harm: the unit that does not stay up while a package is new."""

    def __init__(self) -> None:
        super().__init__()
        self.installed = {"traceroute": "1", "ndppd": "1", "linux-image-cloud-amd64": "1"}
        self.installed[f"linux-image-{OLD_KERNEL}"] = "1"
        self.offers: dict[str, tuple[str, str]] = {}
        self.harm: dict[str, str] = {}
        self.online, self.unreachable, self.fails = True, False, ""
        self.reboots = 0
        self.idle: set[str] = set()  # units that nobody has started yet
        self.state = "ready"
        self.made: Machine | None = None
        self.cut_at = -1  # before which of its calls the power fails

    def __call__(self, argv: Any, *, stdin: str | None = None, timeout: float = 60) -> tuple[int, str]:
        argv = tuple(argv)
        if len(self.calls) == self.cut_at:
            raise PowerCut
        match argv:
            case ("env", _, "apt-get", *words):
                self.calls.append(argv)
                return self._apt(words)
            case ("env", _, "dpkg", "--purge", *names):
                self.installed = {key: value for key, value in self.installed.items() if key not in names}
            case ("env", _, script) if script.endswith("ztgate-update-undo"):
                self.installed |= {
                    path.stem: path.read_text() for path in self._paths.update_old.glob("*.deb")
                }
                self._paths.update_undone.touch()
            case ("dpkg-query", "--status", name):
                self.calls.append(argv)
                return 0, f"Package: {name}\nStatus: install ok installed\nVersion: {self.installed[name]}\n"
            case ("dpkg-deb", *_, "--build", tree, target):
                control = dict(line.split(": ") for line in (Path(tree) / "DEBIAN/control").open())
                Path(target).write_text(control["Version"].strip())
            case ("dpkg-query", "--show", shown, *_):
                self.calls.append(argv)
                return 0, "".join(f"ii {name}\n" for name in self.installed) if "Abbrev" in shown else "10\n"
            case (
                "systemctl",
                "show",
                *_,
            ):
                self.calls.append(argv)
                return 0, self._units()
            case ("systemctl", "--no-block", "start", "ztgate.service"):
                self._run_ztgate()
            case ("systemctl", "--no-block", "reboot"):
                self.reboots += 1
            case _:
                return super().__call__(argv, stdin=stdin, timeout=timeout)
        self.calls.append(argv)
        return 0, ""

    @property
    def _paths(self) -> Any:
        assert self.made is not None
        return self.made.paths

    def _apt(self, words: list[str]) -> tuple[int, str]:
        held = store.read_text(self._paths.update_held) or ""
        due = {
            name: versions
            for name, versions in self.offers.items()
            if self.installed.get(name, "") != versions[1]
            and f"Package: {name}\nPin: version {versions[1]}\n" not in held
        }
        if "update" in words:
            return (0, "") if self.online else (100, "E: Failed to fetch")
        if "install" in words:
            wanted = {word.partition("=")[0] for word in words if "=" in word and "::" not in word}
            due = {
                name: versions
                for name, versions in due.items()
                if name in wanted or (not versions[0] and any("linux" in each for each in wanted))
            }
        if "--simulate" in words:
            rows = ((name, f"[{old}] " if old else "", new) for name, (old, new) in due.items())
            return 0, "".join(
                f"Inst {name} {old}({new} Debian-Security:13 [amd64])\n" for name, old, new in rows
            )
        if "--download-only" in words and self.unreachable:
            return 100, "E: Unable to fetch some archives"
        if "--print-uris" in words:
            return 0, "".join(f"'http://x/{name}' {name}.deb 1000 SHA256:1\n" for name in due)
        if "--no-download" in words:
            self.installed |= {name: new for name, (_, new) in due.items()}
            if self.fails:
                return 100, self.fails
        return 0, ""

    def _units(self) -> str:
        broken = {unit for name, unit in self.harm.items() if self.installed.get(name) != "1"}
        rows = []
        for name in (*health.ALWAYS, *health.LED):
            state = "activating" if name in broken else "inactive" if name in self.idle else "active"
            rows.append(f"Id={name}\nActiveState={state}\nInvocationID=1\n")
        return "\n".join(rows)

    def _run_ztgate(self) -> None:
        before = int(store.read_text(self._paths.last_run) or 0)
        store.write(self._paths.last_run, str(before + 1).encode())
        status = {"state": self.state, "reason": "" if self.state == "ready" else "no way out"}
        store.write(self._paths.status_now, json.dumps(READY_STATUS | status).encode())


READY_STATUS: dict[str, Any] = {
    **dict.fromkeys(
        ("source", "network", "node", "address", "ipv6", "ipv6_found", "subnet", "ipv6_reason"), "x"
    ),
    "wan": {"interface": "ens3", "address": "203.0.1.10"},
    **dict.fromkeys(("routes", "resolver", "warnings"), ()),
    **{"domain": "", "token": "kept", "seconds": 1, "version": "1"},
}


class Night:
    """A gateway, its packages, and what is on its console."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, *, grub: bool = True) -> None:
        self.made = machine(root)
        self.debian = FakeDebian()
        self.debian.made, self.made.probe = self.made, self.debian
        self.console = with_console(self.made)
        self.paths = self.made.paths
        self.kernel = OLD_KERNEL
        monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=self.kernel))
        for name in trial.FILES:
            self.paths.boot.mkdir(exist_ok=True)
            (self.paths.boot / f"{name}-{OLD_KERNEL}").write_text(name)
        self.paths.kernel_command_line.parent.mkdir(parents=True, exist_ok=True)
        self.boot("")
        if grub:
            self.paths.grub_environment.parent.mkdir(parents=True)
            self.paths.grub_environment.write_bytes(trial.environment(""))
        self.debian._run_ztgate()

    def boot(self, words: str, kernel: str = OLD_KERNEL) -> None:
        """Start the machine anew, with words on the kernel's command line."""
        self.kernel = kernel
        self.paths.kernel_command_line.write_text(f"root=x {words}\n")
        self.paths.boot_id.parent.mkdir(parents=True, exist_ok=True)
        self.paths.boot_id.write_text(f"{int(store.read_text(self.paths.boot_id) or 0) + 1}\n")

    def offer(self, **versions: str) -> None:
        """The archive has these; underscores are dashes."""
        for name, new in versions.items():
            name = name.replace("_", "-")
            self.debian.offers[name] = (self.debian.installed.get(name, ""), new)

    @property
    def grub(self) -> str:
        """What GRUB would find."""
        return self.paths.grub_environment.read_text().partition("next=")[2].partition("\n")[0]

    def at(self, seconds: float, what: Callable[[], object]) -> None:
        """Something happens so long from now."""
        clock: Any = self.made.clock
        clock.at[clock.now() + seconds] = what
