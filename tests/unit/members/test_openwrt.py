"""openwrt.sh from beginning to end, on a router that is pretended (fake_router.py)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ztgate import config, kit

from .fake_mac_state import OURS

HERE = Path(__file__).parent
PROGRAMS = ("uci", "zerotier-cli", "jsonfilter", "uclient-fetch", "nslookup", "ip", "id", "date", "sleep")
SERVICES = ("zerotier", "network", "firewall", "dnsmasq")
EARTH = "8056c2e21c000001"

# As the packages have them; 1.14.1's file of ZeroTier comes with a public network in it.
FRESH = {"global": {".type": "zerotier", "enabled": "0"}, "earth": {".type": "network", "id": EARTH}}
USED = {
    "global": {".type": "zerotier", "enabled": "1"},
    "office": {".type": "network", "id": EARTH, "allow_default": "1"},
}
FIREWALL = {
    "lan_zone": {".type": "zone", "name": "lan"},
    "out": {".type": "forwarding", "src": "lan", "dest": "wan"},
    "guests": {".type": "forwarding", "src": "guest", "dest": "wan"},
}
DNSMASQ = {"@dnsmasq[0]": {".type": "dnsmasq", "domain": "lan"}}


class Router:
    """A pretended router in a folder, and openwrt.sh on it."""

    def __init__(self, home: Path, zerotier: dict[str, Any], phases: list[str]) -> None:
        self.home = home
        for folder in ("bin", "init.d", "config"):
            (home / folder).mkdir()
        for path in [*(home / "bin" / one for one in PROGRAMS), *(home / "init.d" / one for one in SERVICES)]:
            begin = f"import sys\nsys.path.append({str(HERE)!r})\nimport fake_router\nfake_router.begin()\n"
            path.write_text(f"#!{sys.executable} -IS\n{begin}")
            path.chmod(0o755)
        packages = {"zerotier": zerotier, "firewall": FIREWALL, "network": {}, "dhcp": DNSMASQ}
        for name, held in packages.items():
            (home / "config" / name).write_text(json.dumps(held, indent=1))
        (home / "sysupgrade.conf").write_text("/etc/mine\n")
        self.put(phases=phases, looks=0, clock=1000, running={})
        text = kit.render("openwrt.sh", kit.kit(config.load(f"network: '{OURS}'\n", "gateway.yaml")))
        for place in ("/etc/config/", "/etc/init.d/", "/etc/sysupgrade.conf"):
            assert place in text
            text = text.replace(place, f"{home}/{place.removeprefix('/etc/')}")
        text = text.replace("\nBOOK=/etc/ztgate-member\n", f"\nBOOK={home}/book\n")
        (home / "openwrt.sh").write_text(text)

    def put(self, **state: Any) -> None:
        (self.home / "state.json").write_text(json.dumps(state))

    def package(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "config" / name).read_text())
        return found

    def lasting(self) -> dict[str, Any]:
        """What must be again as it was, after --leave."""
        names = [path.name for path in (self.home / "config").iterdir()]
        kept = (self.home / "sysupgrade.conf").read_text()
        return {**{name: self.package(name) for name in names}, "sysupgrade": kept}

    def run(self, *words: str) -> tuple[int, str]:
        env = {"PATH": f"{self.home}/bin:{os.environ['PATH']}", "FAKE_ROUTER": str(self.home)}
        argv = ["dash", str(self.home / "openwrt.sh"), *words]
        done = subprocess.run(
            argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
        )
        return done.returncode, done.stdout


CASES = {
    "a fresh package": (FRESH, ["requesting", "denied", "ok"], (), 0, "It works: the LAN goes out through"),
    "beside another network": (USED, ["ok"], ("--kill-switch",), 0, "ok     kill switch: on"),
    "never let in": (USED, ["denied"], ("--wait", "3"), 1, "after 3 s still waiting: the owner of ztgate"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_was_there_comes_back(
    case: tuple[dict[str, Any], list[str], tuple[str, ...], int, str], tmp_path: Path
) -> None:
    zerotier, phases, words, status, line = case
    router = Router(tmp_path, zerotier, phases)
    before = router.lasting()
    done, text = router.run(*words)
    assert done == status, text
    assert line in text
    assert router.package("zerotier")["ztgate"]["allow_default"] == "1"
    assert router.run("--leave") == (0, "undone: this router is as it was before openwrt.sh\n")
    assert router.lasting() == before
    assert "there is nothing to undo" in router.run("--leave")[1]


def test_what_is_set(tmp_path: Path) -> None:
    router = Router(tmp_path, FRESH, ["ok"])
    router.run("--kill-switch")
    assert set(router.package("zerotier")) == {"global", "ztgate"}  # Earth was not joined
    assert router.package("network")["ztgate"]["device"] == "ztshpwbcen"
    firewall = router.package("firewall")
    assert (firewall["ztgate"]["masq"], firewall["ztgate"]["masq6"]) == ("1", "1")
    assert (firewall["ztgate_lan"]["src"], firewall["ztgate_lan"]["dest"]) == ("lan", "ztgate")
    assert firewall["out"]["enabled"] == "0"
    assert "enabled" not in firewall["guests"]
    assert router.package("dhcp")["@dnsmasq[0]"] == {
        ".type": "dnsmasq",
        "domain": "lan",
        "server": ["10.66.0.1"],
        "noresolv": "1",
    }


def test_an_old_package_is_named(tmp_path: Path) -> None:
    router = Router(tmp_path, {"sample_config": {".type": "zerotier"}}, ["ok"])
    status, text = router.run()
    assert status == 1
    assert "error: this package zerotier is older than 1.14.1" in text
