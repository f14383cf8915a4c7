"""Which addresses and routes are set, and when."""

import ipaddress

import pytest

from lab.standin.zerotier_one_standin import config, managed
from lab.standin.zerotier_one_standin.config import Config
from lab.standin.zerotier_one_standin.home import NetworkSettings
from lab.standin.zerotier_one_standin.managed import Managed
from tests.unit.standin.conftest import FakeKernel

EVERYTHING = NetworkSettings(True, True, True)
NOTHING_MORE = NetworkSettings()
GATEWAY = "10.66.0.1"


def _config(addresses: list[str], *routes: tuple[str, str | None]) -> Config:
    listed = [{"target": target, "via": via} for target, via in routes]
    return config.parse({"addresses": addresses, "routes": listed})


@pytest.mark.parametrize(
    ("settings", "target", "allowed"),
    [
        (NOTHING_MORE, "10.0.0.1/8", True),
        (NOTHING_MORE, "8.8.8.8/24", False),
        (NOTHING_MORE, "0.0.0.0/0", False),
        (NOTHING_MORE, "2600::1/64", False),
        (NOTHING_MORE, "fd00::1/88", True),
        (NOTHING_MORE, "127.0.0.1/8", False),
        (NOTHING_MORE, "10.77.0.2/0", True),  # a stray address, not a default route
        (EVERYTHING, "8.8.8.8/24", True),
        (EVERYTHING, "::/0", True),
        (EVERYTHING, "fe80::1/64", False),
        (NetworkSettings(False, True, True), "10.0.0.1/8", False),
        (NetworkSettings(managed_whitelist=("10.66.0.0/24",)), "10.66.0.5/24", True),
        (NetworkSettings(managed_whitelist=("10.66.0.0/24",)), "10.66.0.0/16", False),
        (EVERYTHING._replace(managed_whitelist=("10.66.0.0/24",)), "0.0.0.0/0", False),
    ],
)
def test_gates(settings: NetworkSettings, target: str, allowed: bool) -> None:
    (address,) = _config([target]).addresses
    assert managed.allowed(settings, address) is allowed


@pytest.mark.parametrize(
    ("route", "wanted"),
    [
        (("0.0.0.0/0", GATEWAY), True),
        (("10.66.0.0/24", None), False),  # comes with the address
        (("10.99.0.0/24", None), False),  # the real daemon tries, and fails
        (("10.99.0.0/24", GATEWAY), True),
        (("10.99.0.0/24", "10.66.0.2"), False),  # through itself
        (("::/0", "fd00::1"), False),  # no IPv6 address
    ],
)
def test_routes(route: tuple[str, str | None], wanted: bool) -> None:
    conf = _config(["10.66.0.2/24"], route)
    found = managed.wanted_routes(conf, EVERYTHING, conf.addresses, [])
    assert bool(found) is wanted


def test_a_link_local_address_is_enough_for_ipv6_routes() -> None:
    conf = _config([], ("::/0", "fd00::1"))
    assert managed.wanted_routes(conf, EVERYTHING, [], [ipaddress.ip_address("fe80::1")])


def test_an_address_with_no_length_takes_the_default_route_away() -> None:
    conf = _config(["10.77.0.2/0"], ("0.0.0.0/0", GATEWAY))
    assert not managed.wanted_routes(conf, EVERYTHING, conf.addresses, [])


def test_the_first_of_two_routes_counts() -> None:
    conf = _config(["10.66.0.2/24"], ("0.0.0.0/0", GATEWAY), ("0.0.0.0/0", "10.66.0.9"))
    assert [str(via) for via in managed.wanted_routes(conf, EVERYTHING, conf.addresses, []).values()] == [
        GATEWAY
    ]


def test_what_the_kernel_is_told() -> None:
    kernel = FakeKernel()
    share = Managed("zt-none", kernel)  # type: ignore[arg-type]
    first = _config(["10.66.0.2/24"], ("0.0.0.0/0", GATEWAY))
    share.sync(first, EVERYTHING, online=False)
    assert kernel.done == ["+ 10.66.0.2/24"]  # the default route waits until the node is online
    kernel.done.clear()
    share.sync(first, EVERYTHING, online=True)
    assert kernel.done == [f"+ 0.0.0.0/1 via {GATEWAY}", f"+ 128.0.0.0/1 via {GATEWAY}"]
    kernel.done.clear()
    # Another next hop: the route that is there is set again, the new one never is.
    share.sync(_config(["10.66.0.2/24"], ("0.0.0.0/0", "10.66.0.9")), EVERYTHING, online=True)
    assert kernel.done == [f"+ 0.0.0.0/1 via {GATEWAY}", f"+ 128.0.0.0/1 via {GATEWAY}"]
    kernel.done.clear()
    share.sync(_config(["10.66.0.3/24"]), EVERYTHING, online=True)
    assert kernel.done == [
        "- 10.66.0.2/24",
        "+ 10.66.0.3/24",
        f"- 0.0.0.0/1 via {GATEWAY}",
        f"- 128.0.0.0/1 via {GATEWAY}",
    ]
