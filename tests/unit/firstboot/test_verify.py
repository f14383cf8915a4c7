"""What the kernel has on ZeroTier's interface, against what the service says."""

from typing import Any

import pytest
from ztgate.steps import verify
from ztgate.zerotier import parse_network

OWN = ("10.66.0.1/24", "2600:db8:0:1:ff::1/80")
LINKS = [
    {
        "addr_info": [
            {"local": "10.66.0.1", "prefixlen": 24},
            {"local": "2600:db8:0:1:ff::1", "prefixlen": 80},
            {"local": "fe80::1", "prefixlen": 64},
        ]
    }
]
LAN = {"dst": "10.66.0.0/24", "protocol": "kernel"}
MEMBERS = {"dst": "2600:db8:0:1:ff::/80", "protocol": "kernel", "metric": 256}
LINK_LOCAL = {"dst": "fe80::/64", "protocol": "kernel"}
OFFICE = {"dst": "192.168.77.0/24", "gateway": "10.66.0.50", "protocol": "static", "metric": 5000}
ROUTES = [
    {"target": "10.66.0.0/24", "via": None},
    {"target": "192.168.77.0/24", "via": "10.66.0.50"},
    {"target": "0.0.0.0/0", "via": "10.66.0.1"},
    {"target": "172.16.0.0/16", "via": "10.66.0.1"},  # through this gateway: it needs none of ZeroTier's
    {"target": "172.17.0.0/16", "via": "10.99.0.1"},  # through nowhere: the kernel refuses
    {"target": "172.18.0.0/16", "via": None},  # without an address in it, ZeroTier does not set it
]
REPLACE = "ip address replace 10.66.0.1/24 dev ztabc"
RESTART = "systemctl restart zerotier-one"

CASES: dict[str, tuple[Any, list[dict[str, Any]], list[dict[str, Any]], list[str], list[str]]] = {
    "as it should be": (LINKS, [LAN, OFFICE], [MEMBERS, LINK_LOCAL], [], []),
    "no address": (
        [],
        [LAN, OFFICE],
        [MEMBERS],
        [REPLACE, "ip address replace 2600:db8:0:1:ff::1/80 dev ztabc"],
        [],
    ),
    "no range": (
        LINKS,
        [OFFICE],
        [MEMBERS],
        ["ip -4 route replace 10.66.0.0/24 dev ztabc src 10.66.0.1 proto kernel"],
        [],
    ),
    "no /80": (
        LINKS,
        [LAN, OFFICE],
        [],
        ["ip -6 route replace 2600:db8:0:1:ff::/80 dev ztabc proto kernel"],
        [],
    ),
    "a default route": (
        LINKS,
        [LAN, OFFICE],
        [MEMBERS, {"dst": "default", "protocol": "kernel"}],
        ["ip -6 route del default dev ztabc"],
        [],
    ),
    "an old next hop": (
        LINKS,
        [LAN, {**OFFICE, "gateway": "10.66.0.40"}],
        [MEMBERS],
        [],
        [
            "the kernel's route to 192.168.77.0/24 goes via 10.66.0.40, the network's via 10.66.0.50: "
            + RESTART
        ],
    ),
    "a route that did not come": (
        LINKS,
        [LAN],
        [MEMBERS],
        [],
        [f"the kernel has no route to 192.168.77.0/24 via 10.66.0.50, which the network names: {RESTART}"],
    ),
    "a range of before": (
        LINKS,
        [LAN, OFFICE, {"dst": "10.55.0.0/24", "protocol": "kernel"}],
        [MEMBERS],
        [],
        [f"the kernel still has 10.55.0.0/24 on ztabc, which the network does not name any more: {RESTART}"],
    ),
    "a route of one's own": (
        LINKS,
        [LAN, OFFICE, {"dst": "10.55.0.0/24", "protocol": "boot"}],
        [MEMBERS],
        [],
        [],
    ),
}


@pytest.mark.parametrize(("links", "routes4", "routes6", "actions", "words"), CASES.values(), ids=CASES)
def test_kernel_and_service(
    links: Any,
    routes4: list[dict[str, Any]],
    routes6: list[dict[str, Any]],
    actions: list[str],
    words: list[str],
) -> None:
    data = {"id": "1", "status": "OK", "portDeviceName": "ztabc", "assignedAddresses": OWN, "routes": ROUTES}
    network = parse_network(data)
    kernel = verify.parse(links, {4: routes4, 6: routes6})
    assert [str(action) for action in verify.plan(network, kernel)] == actions
    assert verify.differences(network, kernel) == words
