"""What was there before is brought back, whatever it was, and whatever others did in the meantime."""

from copy import deepcopy
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ztgate import ledger, register
from ztgate.ledger import Ledger
from ztgate.paths import Paths
from ztgate.register import DEFAULT4, DEFAULT6, Want

NET, NODE = "116be780b4870839", "116be780b4"
WAN = IPv4Network("203.0.1.0/24")
SUBNET = IPv6Network("2600:db8:0:1:ff::/80")
OTHER_SUBNET = IPv6Network("2600:db8:0:2:ff::/80")
VIAS: dict[register.Target, str] = {DEFAULT4: "10.66.0.1", DEFAULT6: "fd11::1"}
Settings = dict[str, Any]

# Rows that a network may have, each target once.
ROWS: list[Settings] = [
    {"target": "10.66.0.0/24", "via": None},
    {"target": "10.67.0.0/16", "via": None, "flags": 0},
    {"target": "192.168.77.0/24", "via": "10.66.0.50"},
    {"target": "0.0.0.0/0", "via": "10.66.0.99", "metric": 0},
    {"target": "::/0", "via": "fd11::99"},
    {"target": "2001:db8:5::/64", "via": None},
]
POOLS = [
    {"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.250"},
    {"ipRangeStart": "2001:db8:5::1", "ipRangeEnd": "2001:db8:5::ff"},
]
MODES = st.fixed_dictionaries({}, optional={key: st.booleans() for key in ("rfc4193", "zt", "6plane")})
NETWORKS = st.fixed_dictionaries(
    {
        "routes": st.lists(st.sampled_from(ROWS), unique_by=lambda row: row["target"]),
        "ipAssignmentPools": st.lists(st.sampled_from(POOLS), unique_by=lambda row: row["ipRangeStart"]),
        "mtu": st.sampled_from([1280, 1390, 2800]),
        "v4AssignMode": st.fixed_dictionaries({"zt": st.booleans()}),
        "v6AssignMode": MODES,
    }
)


def want(subnet: IPv6Network | None, old: IPv6Network | None = None) -> Want:
    return Want(NET, NODE, "gw", None, 1390, subnet, old)


def write(settings: Settings, book: Ledger, changes: Settings) -> Ledger:
    """As amend.network does it: noted, then written."""
    book = ledger.note(book, deepcopy(settings), changes)
    settings.update(deepcopy(changes))
    return book


def taken_over(settings: Settings, subnets: list[IPv6Network | None]) -> Ledger:
    """All that a gateway writes in its life, with a prefix that changes."""
    book, old = Ledger(NET), None
    for subnet in subnets:
        book = write(settings, book, register.plan_ranges(settings, want(subnet, old), WAN))
        book = write(settings, book, register.plan_cleanup(settings, want(subnet, old)))
        old = subnet
        book = write(settings, book, register.plan_withdrawal(settings, VIAS))
        book = write(settings, book, register.plan_default_routes(settings, VIAS))
    return book


def undone(settings: Settings, book: Ledger) -> Settings:
    settings.update(ledger.plan_removal(book, settings))
    settings.update(ledger.plan_return(book, settings))
    return settings


@given(NETWORKS, st.lists(st.sampled_from([None, SUBNET, OTHER_SUBNET]), min_size=1, max_size=3))
def test_every_network_becomes_what_it_was(before: Settings, subnets: list[IPv6Network | None]) -> None:
    settings = deepcopy(before)
    book = taken_over(settings, subnets)
    for key, value in undone(settings, book).items():
        same = ledger._alike(value, before[key]) if isinstance(value, dict) else value == before[key]
        assert same, key


def test_what_others_did_in_the_meantime_stays() -> None:
    settings: Settings = {
        "routes": [ROWS[0], ROWS[3]],
        "ipAssignmentPools": [],
        "mtu": 2800,
        "v6AssignMode": {},
    }
    book = taken_over(settings, [SUBNET])
    new = {"target": "172.16.0.0/12", "via": "10.66.0.7"}
    settings["routes"] = [*settings["routes"], new]
    settings["mtu"] = 1300
    undone(settings, book)
    assert settings["routes"] == [ROWS[0], ROWS[3], new]
    assert settings["mtu"] == 1300


def test_a_write_that_never_arrived_is_undone_by_doing_nothing() -> None:
    before: Settings = {
        "routes": [ROWS[0], ROWS[3]],
        "ipAssignmentPools": [],
        "mtu": 2800,
        "v6AssignMode": {},
    }
    settings = deepcopy(before)
    book = taken_over(deepcopy(before), [SUBNET])
    assert undone(settings, book) == before


def test_a_range_of_ours_is_named() -> None:
    settings: Settings = {"routes": [ROWS[2]], "ipAssignmentPools": [], "mtu": 1390, "v6AssignMode": {}}
    book = taken_over(settings, [SUBNET])
    assert SUBNET in ledger.ranges(book) and len(ledger.ranges(book)) == 2, "the /80, and a new IPv4 range"


@pytest.mark.parametrize(("before", "kept"), [(None, {}), ({"name": "old", "authorized": True}, None)])
def test_the_member_is_noted_once(before: Settings | None, kept: Settings | None) -> None:
    book = ledger.note_member(ledger.note_member(Ledger(NET), before), {"name": "ours"})
    assert book.member == (before if kept is None else kept)


def test_it_survives_on_disk_and_belongs_to_one_network(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    book = ledger.note(Ledger(NET), {"mtu": 2800, "routes": []}, {"mtu": 1390, "routes": [ROWS[0]]})
    ledger.save(paths, book)
    assert ledger.load(paths, NET) == book
    assert ledger.load(paths, "8056c2e21c000001") == Ledger("8056c2e21c000001")
    assert paths.ledger.stat().st_mode & 0o777 == 0o600
