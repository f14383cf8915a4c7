"""Reading and comparing addresses as the real daemon does."""

import ipaddress

import pytest

from lab.standin.zerotier_one_standin import addresses
from lab.standin.zerotier_one_standin.addresses import Inet


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("10.1.0.0", "10.1.0.0/0"),
        ("10.1.2.3/16", "10.1.2.3/16"),
        ("::0/0", "::/0"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("1.2.3/24", "0.0.0.0/24"),
        ("10.5.0.0/x", "10.5.0.0/0"),
        ("203.0.1.10/9993", "203.0.1.10/9993"),
    ],
)
def test_parse(text: str, read: str) -> None:
    assert str(addresses.parse(text)) == read


def test_parse_of_nothing() -> None:
    assert addresses.parse("junk") is None
    assert addresses.parse("") is None


@pytest.mark.parametrize(
    ("prefix", "inside", "outside"),
    [
        ("10.66.0.0/24", "10.66.0.9", "10.66.1.9"),
        ("10.66.0.5/24", "10.66.0.9", "10.66.1.9"),  # host bits do no harm in IPv4
        ("0.0.0.0/0", "8.8.8.8", "::1"),
        ("2001:db8::/64", "2001:db8::9", "2001:db8:0:1::9"),
        ("2001:db8::5/64", None, "2001:db8::9"),  # and make an IPv6 prefix empty
        ("::/0", "2001:db8::9", "8.8.8.8"),
    ],
)
def test_contains(prefix: str, inside: str | None, outside: str) -> None:
    found = addresses.parse(prefix)
    assert found is not None
    assert inside is None or found.contains(ipaddress.ip_address(inside))
    assert not found.contains(ipaddress.ip_address(outside))


@pytest.mark.parametrize("ip", ["8.8.8.8", "203.0.1.10", "2600:db8::1", "27.0.0.1"])
def test_global(ip: str) -> None:
    assert addresses.is_global(ipaddress.ip_address(ip))


@pytest.mark.parametrize(
    "ip",
    ["10.0.0.1", "100.64.0.1", "203.0.113.9", "198.18.0.1", "28.0.0.1", "240.0.0.1", "fd00::1", "fc00::1"],
)
def test_local(ip: str) -> None:
    assert not addresses.is_global(ipaddress.ip_address(ip))
    assert not addresses.is_never_managed(ipaddress.ip_address(ip))


@pytest.mark.parametrize(
    "ip", ["127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "fe80::1", "ff02::1", "::1"]
)
def test_never(ip: str) -> None:
    assert addresses.is_never_managed(ipaddress.ip_address(ip))
    assert not addresses.is_global(ipaddress.ip_address(ip))


def test_halves() -> None:
    def texts(prefix: str) -> list[str]:
        target = addresses.parse(prefix)
        assert target is not None
        return [str(half) for half in addresses.halves(target)]

    assert texts("0.0.0.0/0") == ["0.0.0.0/1", "128.0.0.0/1"]
    assert texts("::/0") == ["::/1", "8000::/1"]
    assert texts("10.0.0.0/8") == ["10.0.0.0/8"]


def test_order_mixes_families() -> None:
    mixed = [Inet(ipaddress.ip_address(ip), 0) for ip in ("fd00::1", "10.0.0.1", "10.0.0.0")]
    assert [str(each.ip) for each in sorted(mixed, key=lambda each: each.order)] == [
        "10.0.0.0",
        "10.0.0.1",
        "fd00::1",
    ]
