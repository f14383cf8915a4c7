"""Other ways to start: UEFI, a configuration from cloud-init, none at all, and wrong ones."""

import base64
import sys

import yaml

from lab import disk, process, topology
from lab.checks import want
from lab.retry import retry
from lab.world import FAILED, LIVED_IN, READY, WAITING, World
from tests import scan
from tests.scan import DOORS, Seat
from tests.wire import Wire

from .conftest import Make, member_goes_out


def test_uefi_with_cloud_init_and_a_self_hosted_controller(world: World, make: Make) -> None:
    """OVMF starts it, user data configures it, a controller of one's own authorizes it."""
    nwid = world.controller.create_network(**LIVED_IN)
    config = world.config(nwid, "self-hosted")
    encoded = {"path": "/etc/ztgate/gateway.yaml", "permissions": "0600", "content": config}
    drive = disk.seed(world.work / "seed", {"write_files": [encoded]})
    gateway = make(None, firmware="uefi", seed=drive)
    gateway.start()
    ready = gateway.expect(READY, never=FAILED)
    assert ready["network"] == nwid
    member_goes_out(world, nwid)
    gateway.power_off()
    token = world.controller.door("self-hosted").token
    for form in (token, base64.b64encode(token.encode()).decode()):
        assert disk.places(gateway.options.disk, form, world.work) == [], "the token is on the disk"


def test_cloud_init_sets_a_machine_up_once(world: World, make: Make) -> None:
    """Later boots do without; another drive with user data is another machine's, and is read."""
    runs, noted = r"Cloud-init v\. ", r"later boots do without it"
    drive = disk.seed(world.work / "once", {})
    gateway = make(None, seed=drive)
    gateway.start()
    gateway.expect(runs)
    gateway.expect(noted)
    gateway.power_off()
    gateway.start()
    gateway.expect(WAITING, never=runs)
    gateway.cut_power()
    disk.seed(drive.parent, {}, instance="lab-2")
    gateway.start()
    gateway.expect(runs)


def test_a_preauthorized_image(world: World, make: Make) -> None:
    """It comes up with the identity that it was given, and no token; IPv6 is added from the computer."""
    nwid = world.controller.create_network(**LIVED_IN)
    way = world.controller.door("self-hosted")
    config = world.work / "preauthorized.yaml"
    url = way.url.replace(topology.CONTROLLER_NAME, str(topology.CONTROLLER.ipv4.ip))
    config.write_text(world.config(nwid, "self-hosted", controller={"url": url}))
    image = world.work / "preauthorized.img"
    process.run(["cp", "--sparse=always", "--reflink=auto", world.image, image], timeout=300)

    def preauthorize(*words: process.Arg) -> None:
        command = [sys.executable, disk.ROOT / "build.py", "preauthorize", "--config", config, *words]
        world.internet.run(*command, timeout=300)

    preauthorize(image, "--zerotier", world.package.deb)
    (node,) = world.controller.members(nwid)
    asked = len(way.requests())
    gateway = make(None, image=image)
    gateway.start()
    ready = gateway.expect(READY, never=FAILED)
    assert (ready["network"], ready["ipv6"]) == (nwid, "off")
    shell = world.shell()
    assert shell.run("cat /var/lib/zerotier-one/identity.secret").startswith(f"{node}:")
    assert "identity" not in shell.run("ls /boot/firmware")
    words = f"--node {node} --ipv6 {topology.WAN_PREFIX}"
    assert f"preauthorize --config gateway.yaml {words}" in shell.run("cat /boot/firmware/ztgate-status.txt")
    assert len(way.requests()) == asked, "the gateway asks nobody"
    preauthorize(*words.split())
    shell.run("systemctl restart ztgate")
    assert gateway.expect(READY, never=FAILED)["ipv6"] != "off"
    member_goes_out(world, nwid)
    gateway.power_off()
    assert disk.places(gateway.options.disk, way.token, world.work) == [], "the token is on the disk"


def test_without_a_configuration_it_waits(world: World, make: Make) -> None:
    """From a file in a format of its own (the others: test_formats.py)."""
    out = world.work / "exported"
    export: list[process.Arg] = [
        sys.executable,
        disk.ROOT / "build.py",
        "export",
        "--format",
        "vmdk",
        "--out",
        out,
    ]
    process.run([*export, world.image], timeout=900)
    gateway = make(None, exported=out / f"{world.image.stem}.vmdk")
    gateway.start()
    reason = gateway.expect(WAITING, never=f"{FAILED}|{READY}")["reason"]
    assert "configuration" in reason
    nobody_gets_in(world)
    retry(lambda: want("login:" in gateway.console_text(), "no login prompt"), 120, "the login prompt")
    # Nor is there a way in from the WAN: it is there, and answers on none of these.
    retry(lambda: world.internet.run("ping", "-c", "1", "-W", "2", topology.WAN_IPV4), 60, "an echo reply")
    assert not any(world.unsolicited(topology.WAN_IPV4, port) for port in (22, 80, 53, 9993))


def nobody_gets_in(world: World) -> None:
    """Every port from outside, before first boot has run. Nobody listens at UDP 9993, and that is heard."""
    with Wire(world.isp.host, "wan") as wire:
        for router, target in zip(topology.WAN_ROUTER, (topology.WAN_IPV4, topology.WAN_IPV6), strict=True):
            seat = Seat(wire, topology.WAN_MAC, router.split("/")[0], target)
            retry(lambda s=seat: scan.surely(s, []), 60, f"{target} to answer")  # type: ignore[misc]
            for protocol, ports in DOORS["from outside"]["before first boot has run"].items():
                assert sorted(scan.ports(seat, protocol)) == ports, f"{protocol} at {target}"


def test_wrong_token_is_named(world: World, make: Make) -> None:
    """Nothing is written to the network, and the console says which of the two it was."""
    nwid = world.controller.create_network(**LIVED_IN)
    before = world.controller.network(nwid)
    config = yaml.safe_load(world.config(nwid))
    config["controller"]["token"] = "not-the-right-token-at-all"
    gateway = make(yaml.safe_dump(config))
    gateway.start()
    reason = gateway.expect(FAILED, never=READY)["reason"]
    assert "token" in reason
    assert config["controller"]["token"] not in gateway.console_text()
    assert world.controller.network(nwid) == before
    assert world.controller.members(nwid) == []
