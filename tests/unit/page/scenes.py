"""The states that the page has to cover, as the facts that `ztgate observe` would write."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ztgate import config
from ztgate.doctor import chain
from ztgate.observe import hand_out
from ztgate.page import facts
from ztgate.page.facts import Examination, Facts, Member, Verdict

NOW = 1_790_000_000.0
NETWORK, NODE = "8056c2e21c000001", "116be780b4"
PAGE = "http://10.66.0.1/"
# The browser of the tests comes from here.
ME = "127.0.0.1"
STATUS: Mapping[str, Any] = {
    "version": "0.1.0",
    "state": "ready",
    "reason": "",
    "network": NETWORK,
    "node": NODE,
    "address": "10.66.0.1",
    "ipv6": "on-link",
    "ipv6_found": "the /64 2600:db8:0:1::/64 is on-link: neighbours are answered for",
    "subnet": "2600:db8:0:1:ff::/80",
    "ipv6_reason": "",
    "wan": {"interface": "ens3", "address": "192.168.1.20", "addresses6": ["2600:db8:0:1::10"]},
    "routes": ["0.0.0.0/0 via 10.66.0.1", "::/0 via fd80:56c2:e21c:0:199:9311:6be7:80b4"],
    "token": "discarded",
    "warnings": [],
}
LAPTOP = Member(
    "54f03b7f83", "anna-laptop", (ME, "10.66.0.7", "2600:db8:0:1:ff:54:f03b:7f83"), True, 12,
    NOW - 3, NOW - 4, NOW - 5, 123_456_789, 9_876_543_210,
)  # fmt: skip
PHONE = Member("bbbbbbbbbb", "", ("10.66.0.8", "fd80:56c2:e21c:0:199:93bb:bbbb:bbbb"), False, -1, NOW - 30)
PRINTER = Member(
    "aaaaaaaaaa", "printer", ("10.66.0.77",), None, -1, 0.0, NOW - 4000, 0.0, 4_500, 120_000
)  # fmt: skip
STRANGER = Member("", "", ("10.66.0.99",), None, -1, NOW - 10)
LINKS = ["configuration", *(name for name, _ in chain.CHECKS)]
WELL = Examination(NOW - 25, tuple(Verdict(name, True, "as it should be") for name in LINKS))
WORKING = Facts(
    NOW - 4, "home-gateway", NETWORK, PAGE, (), NOW - 70, STATUS, "198.51.100.7", "", 152_000.0, 3_400_000.0,
    {"members": (9_000, 8_000), "wan": (7_000, 6_000)}, (LAPTOP, PHONE, PRINTER, STRANGER),
)  # fmt: skip


def broken(name: str, evidence: str, step: str) -> Examination:
    """A doctor's visit with one broken link."""
    found = (v if v.name != name else Verdict(name, False, evidence, step) for v in WELL.verdicts)
    return replace(WELL, verdicts=tuple(found))


def in_state(state: str, reason: str, hint: str = "", **more: Any) -> Facts:
    """Facts of a gateway that is not ready."""
    status = {"version": "0.1.0", "state": state, "reason": reason, "hint": hint, **more}
    return replace(WORKING, status=status, public4="", up=None, down=None)


NO_IPV6 = {**STATUS, "ipv6": "none", "subnet": "", "ipv6_reason": "the WAN has no IPv6 default route"}
UNUSED = replace(LAPTOP, used4=NOW - 4000, used6=0.0)
SCENES: dict[str, tuple[Facts, Examination]] = {
    "working": (WORKING, WELL),
    "ipv6-off": (replace(WORKING, status=NO_IPV6), WELL),
    "wan-down": (
        WORKING,
        broken("link", "no link on ens3", "is the cable plugged in, at both ends?"),
    ),
    "wan-down-seen-by-ztgate": (
        in_state("waiting", "no default route on ens3", "the gateway needs a default route"),
        broken("address", "no default route", "networkctl renew ens3"),
    ),
    "waiting-for-authorization": (
        in_state(
            "waiting", f"the controller has not authorized node {NODE} yet", "authorize it on its page",
            todo=[f"tick “Auth?” of member {NODE}", "add the route 0.0.0.0/0 via 10.66.0.1"],
        ),
        Examination(),
    ),
    "failed": (
        in_state(
            "failed", "the controller does not let this gateway into network 8056c2e21c000001 any more",
            "authorize it at the controller, or run `ztgate register --token-file FILE`",
        ),
        broken("membership", f"{NETWORK}: ACCESS_DENIED", "authorize this node at the controller"),
    ),
    "withdrawn": (
        in_state("withdrawn", f"withdrawn from network {NETWORK}", "ztgate register makes it that again"),
        Examination(),
    ),
    "not-through-here": (replace(WORKING, members=(UNUSED, PHONE)), WELL),
    "just-started": (replace(WORKING, up=None, down=None, members=()), Examination()),
    "stale": (replace(WORKING, at=NOW - 500), replace(WELL, at=NOW - 900)),
    "nothing-known": (Facts(), Examination()),
    "warning": (replace(WORKING, status={**STATUS, "warnings": ["other default routes are due"]}), WELL),
}  # fmt: skip


def write(folder: Path, scene: str, at: float = NOW) -> None:
    """The folder of a scene, as if it were now another time."""
    known, doctor = (_moved(each, at - NOW) for each in SCENES[scene])
    (folder / facts.KIT).mkdir(parents=True, exist_ok=True)
    (folder / facts.FACTS).write_bytes(facts.dump(known))
    (folder / facts.DOCTOR).write_bytes(facts.dump(doctor))
    loaded = config.load(f"network: {NETWORK}\ngateway: {{name: home-gateway}}\n", "test")
    for name, content in hand_out.files(loaded, PAGE).items():
        (folder / name).write_bytes(content)


def _moved(what: Facts | Examination, by: float) -> Facts | Examination:
    if isinstance(what, Examination):
        return replace(what, at=what.at + by if what.at else 0.0)
    moved = (
        replace(m, **{k: t + by for k in ("heard", "used4", "used6") if (t := getattr(m, k))})
        for m in what.members
    )
    return replace(
        what, at=what.at + by if what.at else 0.0, last_run=what.last_run + by, members=tuple(moved)
    )
