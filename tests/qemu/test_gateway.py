"""One gateway's life: first boot under SeaBIOS, all that the demo proves, work, an update, a reboot."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.checks import CHECKS, LEAVING, Check, Scene, want
from lab.retry import retry
from lab.world import World, echo_url

from . import hardening
from .crash import crash
from .kernel_update import update_kernel

GIB = 1 << 30
# Seconds after which members go out again when the WAN is another interface. 10 to 20 were measured, for DHCP
# and a run of ztgate, all of it emulated; 125 to 140 with ztgate's timer alone.
NOTICED = 120


@pytest.fixture(scope="module")
def scene(world: World) -> Iterator[Scene]:
    """The demo's scene; its gateway is switched on by the first check."""
    with Scene(world) as scene:
        yield scene


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name.replace(" ", "-"))
def test_demo_check(scene: Scene, check: Check) -> None:
    assert check.run(scene)


def test_root_grew_to_the_disk(scene: Scene) -> None:
    """The disk has 4 GiB, the image's root file system far less."""
    size = int(scene.world.shell().run("df --output=size --block-size=1 /").split()[1])
    assert size > 3 * GIB


def test_nothing_failed(scene: Scene) -> None:
    shell = scene.world.shell()
    assert shell.run("systemctl list-units --failed --no-legend --plain") == ""
    assert shell.run("systemd-analyze verify default.target 2>&1 | grep -c cycle || true").strip() == "0"


@pytest.mark.parametrize("case", hardening.CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_defences(scene: Scene, case: hardening.Case) -> None:
    assert scene.world.shell().run(case.command).strip() == case.said


def test_the_kernels_variables_are_as_written(scene: Scene) -> None:
    wanted = hardening.variables()
    said = scene.world.shell().run(f"sysctl {' '.join(wanted)}")
    assert dict(line.split(" = ") for line in said.splitlines()) == wanted


def test_running_services_are_closed_in(scene: Scene) -> None:
    """By the image's own systemd; tests/image has those that do not run, too."""
    found = hardening.exposures(scene.world.shell())
    assert {f"ztgate{name}.service" for name in ("", "-dns", "-ndppd", "-watch")} <= found.keys()
    assert {name: score for name, score in found.items() if score > hardening.EXPOSURE} == {}


def test_doctor_finds_nothing(scene: Scene) -> None:
    """Not at once: the power was just cut, and clock and ZeroTier's roots need a moment after the boot."""

    def all_hold() -> None:
        said = scene.world.shell().run("ztgate doctor || true")
        want(said.startswith("All links hold."), said)

    retry(all_hold, 60, "a clean bill of health")


def test_doctor_names_what_is_broken(scene: Scene) -> None:
    """With forwarding switched off by hand, that is the headline; the next run heals it."""
    shell = scene.world.shell()
    # What would have put it right by then.
    menders = "ztgate-watch.service ztgate-watch.path ztgate.timer"
    shell.run(f"systemctl stop {menders} ztgate.service")
    shell.run("sysctl -qw net.ipv4.ip_forward=0")
    said = shell.run("ztgate doctor || true")
    shell.run(f"systemctl start {menders}")
    assert "forward" in said.splitlines()[0]
    # Again, if the timer's run is at work just now.
    retry(lambda: shell.run("ztgate apply --once"), 60, "a run of our own")
    assert shell.run("sysctl -n net.ipv4.ip_forward").strip() == "1"


@pytest.fixture
def untimed(scene: Scene) -> Iterator[None]:
    """ztgate's timer is stopped: what is noticed is noticed by the watcher."""
    scene.world.shell().run("systemctl stop ztgate.timer")
    yield
    scene.world.shell().run("systemctl start ztgate.timer")


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize(("old", "new"), [("eth0", "eth7"), ("eth7", "eth0")])
def test_the_wan_gets_another_name(scene: Scene, old: str, new: str) -> None:
    """Rules for the name of before do not cut members off for long."""
    shell, laptop = scene.world.shell(), scene.world.member("laptop")
    rename = f"ip link set {old} down; ip link set {old} name {new}; ip link set {new} up"
    shell.run(f"systemd-run --quiet --on-active=1 sh -c '{rename}'")

    has_address = f"ip -4 -o address show dev {new} | grep -q inet"
    retry(lambda: shell.run(has_address), NOTICED, f"an address on {new}")
    for family in (4, 6):
        retry(lambda f=family: laptop.get(echo_url(f), timeout=3), NOTICED, f"IPv{family} by {new}")  # type: ignore[misc]


def test_link_lost_and_found(scene: Scene) -> None:
    """The WAN cable pulled for a while: members are back without a hand."""
    laptop = scene.world.member("laptop")
    scene.gateway.link(up=False)
    assert not laptop.host.succeeds("curl", "-sS", "--max-time", "5", echo_url(4))
    scene.gateway.link(up=True)
    for family in (4, 6):
        retry(lambda f=family: laptop.get(echo_url(f)), 120, f"IPv{family} after the cable was back")  # type: ignore[misc]


def test_a_kernel_update_boots(scene: Scene, other_kernels: dict[str, Path]) -> None:
    """The package makes the initrd here and moves the links; the boot loader takes the new kernel."""
    update_kernel(scene, other_kernels["vps-amd64"])


def test_it_withdraws_without_a_trace(scene: Scene) -> None:
    assert LEAVING.run(scene)


def test_a_crash_leaves_no_token(scene: Scene, tmp_path: Path) -> None:
    """Last of all: the power is cut afterwards."""
    crash(scene, tmp_path)
