"""Which addresses members get: the same as the real controller gave."""

from lab.standin.zerotier_one_standin import assign
from tests.unit.standin.conftest import Json

NETWORK, NODE = 0x8056C2E21C000001, 0x54F03B7F83
LAN80 = {"target": "2600:db8:0:2:ff::/80"}
POOL6 = {"ipRangeStart": "2600:db8:0:2:ff::", "ipRangeEnd": "2600:db8:0:2:ff:ffff:ffff:ffff"}


def test_the_recorded_cases(recorded_assignments: Json) -> None:
    nwid, node = int(recorded_assignments["nwid"], 16), int(recorded_assignments["node"], 16)
    for case in recorded_assignments["cases"]:
        first = assign.assign(case["network"], case["member"], nwid, node, [])
        # The recordings are of the second time: an address from a pool counts as given by then.
        member = {**case["member"], "ipAssignments": list(first.ip_assignments)}
        second = assign.assign(case["network"], member, nwid, node, [])
        assert [str(each) for each in second.addresses] == case["sent"], case["name"]
        assert list(second.ip_assignments) == case["listed"], case["name"]


def _v6(routes: list[Json], taken: list[str], pool: Json = POOL6) -> list[str]:
    network = {"routes": routes, "ipAssignmentPools": [pool], "v6AssignMode": {"zt": True}}
    found = assign.assign(network, {}, NETWORK, NODE, taken)
    return [str(each) for each in found.addresses]


def test_a_pool_address_that_is_taken_is_not_given_again() -> None:
    (first,) = _v6([LAN80], [])
    assert first == "2600:db8:0:2:ff:54:f03b:7f83/80"
    (second,) = _v6([LAN80], [first.split("/")[0]])
    assert second != first
    assert second.startswith("2600:db8:0:2:ff:")


def test_the_first_time_the_last_route_gives_the_length() -> None:
    assert _v6([LAN80, {"target": "2600:db8:0:2::/64"}], []) == ["2600:db8:0:2:ff:54:f03b:7f83/64"]


def test_a_small_pool_gives_anything_in_it() -> None:
    pool = {"ipRangeStart": "2600:db8:0:2:ff::10", "ipRangeEnd": "2600:db8:0:2:ff::14"}
    (address,) = _v6([LAN80], [], pool)
    assert address.split("/")[0] in {f"2600:db8:0:2:ff::{last:x}" for last in range(0x10, 0x14)}


def test_an_ipv4_pool_counts_on_from_the_node_id() -> None:
    pool = {"ipRangeStart": "10.66.0.100", "ipRangeEnd": "10.66.0.250"}
    network = {
        "routes": [{"target": "10.66.0.0/24"}],
        "ipAssignmentPools": [pool],
        "v4AssignMode": {"zt": True},
    }
    first = f"10.66.0.{100 + (NODE & 0xFFFFFFFF) % 150}"
    (found,) = assign.assign(network, {}, NETWORK, NODE, [first]).addresses
    assert str(found.ip) == f"10.66.0.{100 + ((NODE & 0xFFFFFFFF) + 1) % 150}"
