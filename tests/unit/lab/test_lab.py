"""The parts of the lab that need neither namespaces nor machines."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import disk, process, qemu, sandbox
from lab.checks import Check, Scene, differences
from lab.demo import Verdict, judge, write_report
from lab.errors import LabError
from lab.isp import Offer, dnsmasq_argv
from lab.qemu import BOARD, VIRT, Kernel, Options
from lab.retry import NotYet, retry

OPTIONS = Options(disk=Path("/d.qcow2"), sockets=Path("/s"), console_log=Path("/c.log"))
CARD = Kernel(
    Path("/kernel"), Path("/initrd"), Path("/tree"), "console=ttyAMA10,115200 console=ttyS1,115200 ro"
)
NETWORK: dict[str, Any] = {
    "name": "n",
    "routes": [{"target": "10.0.0.0/24", "via": None}],
    "ipAssignmentPools": [],
    "v4AssignMode": {"zt": True},
    "v6AssignMode": {"6plane": True, "rfc4193": False, "zt": False},
    "mtu": 2800,
    "revision": 3,
}


def test_bios_machine_has_no_firmware_drive() -> None:
    argv = OPTIONS.argv()
    assert "pflash" not in " ".join(argv)
    assert "file=/d.qcow2" in " ".join(argv)


def test_kvm_machine_uses_the_hosts_cpu() -> None:
    argv = replace(OPTIONS, accelerator="kvm").argv()
    assert argv[argv.index("-cpu") + 1] == "host"


def test_clock_and_seed_reach_the_command_line() -> None:
    line = " ".join(replace(OPTIONS, clock="1970-01-01", seed=Path("/seed.img")).argv())
    assert "base=1970-01-01" in line
    assert "file=/seed.img" in line


def test_a_pis_kernel_starts_on_virt_with_that_machines_console_and_tree() -> None:
    argv = replace(OPTIONS, architecture="arm64", firmware=VIRT, kernel=CARD, tap="tap0").argv()
    line = " ".join(argv)
    assert argv[0] == "qemu-system-aarch64"
    assert "ttyAMA10" not in line
    assert "console=ttyAMA0" in line
    assert "-dtb" not in argv
    assert "-device virtio-net-pci," in line


def test_a_board_has_its_own_tree_card_and_adapter_on_usb() -> None:
    argv = replace(OPTIONS, architecture="arm64", firmware=BOARD, kernel=CARD, tap="tap0").argv()
    line = " ".join(argv)
    assert argv[argv.index("-dtb") + 1] == "/tree"
    assert argv[argv.index("-append") + 1].startswith(CARD.command_line)
    assert "-serial null -serial chardev:con" in line  # the first is Bluetooth's
    assert "-drive if=sd," in line
    assert "-device usb-net," in line
    assert "virtio" not in line  # there is no PCI


@pytest.mark.parametrize("firmware", [VIRT, BOARD])
def test_a_pis_machine_without_a_kernel_is_an_error(firmware: str) -> None:
    with pytest.raises(LabError, match="no kernel"):
        replace(OPTIONS, architecture="arm64", firmware=firmware).argv()


def test_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match="no-such-qemu is not installed") as error:
        qemu.need(["no-such-qemu"])
    assert "setup" in error.value.hint


def test_sandbox_takes_a_user_namespace_only_without_root() -> None:
    assert "--user" not in sandbox.argv(["true"], 0)
    assert "--user" in sandbox.argv(["true"], 1000)


def test_dnsmasq_advertises_the_prefix_without_leasing_from_it() -> None:
    assert "--dhcp-range=2600:db8:0:1::,ra-only,64,1h" in dnsmasq_argv(Offer())


def test_retry_says_what_it_waited_for_and_why_in_vain() -> None:
    def never() -> None:
        raise NotYet("the dog ate it")

    with pytest.raises(LabError, match="homework: not within 0 s: the dog ate it"):
        retry(never, 0, "homework")


def test_retry_returns_what_the_check_returned() -> None:
    tries: list[int] = []

    def check() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise NotYet("soon")
        return 42

    assert retry(check, 5, "an answer", pause=0) == 42
    assert len(tries) == 3


def test_failed_command_shows_itself_and_its_last_words() -> None:
    with pytest.raises(process.CommandFailed, match="exit status 3") as error:
        process.run(["sh", "-c", "echo hard luck; exit 3"])
    assert "hard luck" in error.value.message


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({}, []),
        ({"mtu": 1390, "revision": 9}, []),
        ({"routes": [{"target": "10.0.0.0/24", "via": None}, {"target": "::/0", "via": "fd00::1"}]}, []),
        ({"routes": []}, ["routes: {'target': '10.0.0.0/24', 'via': None}"]),
        ({"name": "other"}, ["name"]),
        ({"v6AssignMode": {"6plane": False, "rfc4193": True, "zt": True}}, ["v6AssignMode.6plane"]),
    ],
)
def test_differences_are_what_somebody_else_would_miss(change: dict[str, Any], lost: list[str]) -> None:
    assert differences(NETWORK, {**NETWORK, **change}) == lost


def test_secret_is_found_wherever_it_lies(tmp_path: Path) -> None:
    file = tmp_path / "disk"
    spread = [0, (16 << 20) - 3, 17 << 20]
    with file.open("wb") as disk_file:
        disk_file.truncate(18 << 20)
        for place in spread:
            disk_file.seek(place)
            disk_file.write(b"sesame")
    assert disk._places(file, b"sesame") == spread
    assert disk._places(file, b"sesami") == []


def test_first_failure_ends_the_demo() -> None:
    ran: list[str] = []

    def good(_: Scene) -> str:
        ran.append("good")
        return "fine"

    def fails(_: Scene) -> str:
        raise LabError("broken")

    checks = [Check("a", good), Check("b", fails), Check("c", good)]
    verdicts = [Verdict(check.name) for check in checks]
    for _ in judge(cast(Scene, SimpleNamespace(machine=object())), checks, verdicts):
        pass
    assert [verdict.ok for verdict in verdicts] == [True, False, None]
    assert verdicts[1].detail == "broken"
    assert verdicts[2].detail == "not tried"
    assert ran == ["good"]


def test_report_is_written_whole(tmp_path: Path) -> None:
    write_report(tmp_path / "demo" / "report.json", {"ok": True})
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["report.json"]
