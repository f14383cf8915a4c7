"""How members' IPv6 leaves: every mode and every verdict."""

import json
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from ztgate import config, derive, firewall, members_subnet, register
from ztgate.errors import ZtgateError
from ztgate.facts import delegation, ipv6_probe
from ztgate.facts.ipv6_probe import DOWN, FILTERED, ON_LINK, ROUTED, Seen
from ztgate.facts.wan import Wan
from ztgate.members_subnet import NAT66, NONE, Choice

from .support import NETWORK, NODE

LINK = IPv6Network("2600:db8:0:1::/64")
HOME = IPv6Network("2600:db8:40:8::/62")
OTHER = IPv6Network("2600:db8:77:100::/56")
SUBNET = IPv6Network("2600:db8:0:1:ff::/80")
RANGE = IPv6Network("fd11:6be7:80b4:8708:3999:9300::/88")
WAN = Wan(
    "ens3",
    IPv4Address("203.0.1.10"),
    IPv4Network("203.0.1.0/24"),
    "ens3",
    (IPv6Address("2600:db8:0:1:5054::1"),),
    (LINK,),
)
AT_HOME = replace(WAN, delegated=(HOME,))
ONE_ADDRESS = replace(WAN, prefixes=())
# networkctl of systemd 257 (Debian 13) beside a DHCPv6 server, shortened; the last two prefixes are made up.
DELEGATED = json.dumps(
    {
        "Name": "ens3",
        "DHCPv6Client": {
            "Lease": {"Timeout1USec": 6856876154, "Timeout2USec": 7936876154},
            "Prefixes": [
                {
                    "Prefix": [38, 0, 13, 184, 0, 64, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0],
                    "PrefixLength": 62,
                    "PreferredLifetimeUSec": 6856876154,
                    "ValidLifetimeUSec": 8656876154,
                },
                {"Prefix": list(IPv6Address("fd00::").packed), "PrefixLength": 56},
                {"Prefix": list(LINK[0].packed), "PrefixLength": 80},
            ],
            "DUID": [0, 2, 0, 0, 171, 17, 222, 222, 15, 171, 245, 233, 252, 163],
        },
    }
)


def wish(mode: str = "auto", prefix: IPv6Network | None = None, subnet: int = 0xFF) -> config.IPv6:
    return config.IPv6(mode, prefix, subnet)


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (Seen(solicited=True, answered=True, own_answered=False), ON_LINK),
        (Seen(solicited=False, answered=True, own_answered=False), ROUTED),
        (Seen(solicited=True, answered=False, own_answered=True), FILTERED),
        (Seen(solicited=False, answered=False, own_answered=True), FILTERED),
        (Seen(solicited=True, answered=False, own_answered=False), DOWN),
        (Seen(solicited=False, answered=False, own_answered=False), DOWN),
    ],
)
def test_verdicts(seen: Seen, verdict: str) -> None:
    assert ipv6_probe.verdict(seen) == verdict


def test_the_probes_address_is_nobodys_and_new_each_time() -> None:
    highest_member = derive.member_address(SUBNET, "f" * 10)
    assert ipv6_probe.address_for(SUBNET, 1) != ipv6_probe.address_for(SUBNET, 2)
    for number in (0, 2**32 - 1):
        address = ipv6_probe.address_for(SUBNET, number)
        assert address in SUBNET and address > highest_member


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"DHCPv6Client": {}}', '{"DHCPv6Client": {"Prefixes": 1}}']
)
def test_nothing_is_delegated(text: str) -> None:
    assert delegation.parse(text) == ()


def test_what_networkd_was_delegated() -> None:
    assert delegation.parse(DELEGATED) == (HOME,), "a private one and one that is too small are of no use"


@pytest.mark.parametrize(
    ("settings", "wan", "way", "words"),
    [
        (wish("off"), WAN, NONE, "switched off in gateway.yaml"),
        (wish(), replace(WAN, interface6=""), NONE, "the WAN has no IPv6 default route"),
        (wish("nat66"), replace(WAN, interface6=""), NONE, "the WAN has no IPv6 default route"),
        (wish("nat66"), replace(ONE_ADDRESS, addresses6=()), NONE, "ens3 has no global IPv6 address"),
        (wish("nat66"), ONE_ADDRESS, NAT66, "share the WAN's address 2600:db8:0:1:5054::1 (NAT66)"),
    ],
)
def test_where_no_prefix_matters(settings: config.IPv6, wan: Wan, way: str, words: str) -> None:
    choice = members_subnet.fixed(settings, wan, NETWORK)
    assert choice is not None and choice.way == way and words in choice.found
    assert (choice.range, choice.subnet) == (RANGE if way == NAT66 else None, None)


@pytest.mark.parametrize("mode", ["auto", "ndp-proxy", "routed"])
def test_where_a_prefix_matters(mode: str) -> None:
    assert members_subnet.fixed(wish(mode), WAN, NETWORK) is None


@pytest.mark.parametrize(
    ("settings", "wan", "registered", "candidates"),
    [
        (wish(), WAN, None, (LINK,)),
        (wish(), AT_HOME, None, (HOME, LINK)),
        (wish(), AT_HOME, SUBNET, (LINK, HOME)),
        (wish(), ONE_ADDRESS, None, ()),
        (wish(prefix=OTHER), AT_HOME, None, (OTHER,)),
        (wish("routed"), AT_HOME, None, (HOME, LINK)),
        (wish("routed", OTHER), WAN, None, (OTHER,)),
        (wish("ndp-proxy"), AT_HOME, None, (LINK,)),
        (wish("ndp-proxy", OTHER), WAN, None, ()),
    ],
)
def test_prefixes(
    settings: config.IPv6, wan: Wan, registered: IPv6Network | None, candidates: tuple[IPv6Network, ...]
) -> None:
    assert members_subnet.prefixes(settings, wan, registered) == candidates


@pytest.mark.parametrize(
    ("settings", "wan", "verdicts", "way", "subnet", "words"),
    [
        (wish(), WAN, {LINK: ON_LINK}, ON_LINK, SUBNET, f"the /64 {LINK} is on-link: neighbours are answer"),
        (wish(), WAN, {LINK: ROUTED}, ROUTED, SUBNET, f"the /64 {LINK} is routed here"),
        (wish(), WAN, {LINK: FILTERED}, NONE, None, "mode: nat66 would do with that one"),
        (
            wish(),
            WAN,
            {LINK: DOWN},
            NONE,
            None,
            f"nobody on the IPv6 internet answers to addresses of {LINK}",
        ),
        (wish(), ONE_ADDRESS, {}, NONE, None, "no global IPv6 /64; ipv6.mode: nat66 would do with 2600:db8:"),
        (wish(), replace(ONE_ADDRESS, addresses6=()), {}, NONE, None, "ens3 has no global IPv6 /64"),
        (
            wish(),
            AT_HOME,
            {HOME: ROUTED},
            ROUTED,
            "2600:db8:40:8:ff::/80",
            f"the /62 {HOME} was delegated to this gateway by DHCPv6 and is routed here",
        ),
        (wish(), AT_HOME, {HOME: FILTERED, LINK: ON_LINK}, ON_LINK, SUBNET, "is on-link"),
        (
            wish("routed", OTHER, 0xA),
            WAN,
            {OTHER: ROUTED},
            ROUTED,
            "2600:db8:77:100:a::/80",
            f"the /56 {OTHER} is routed here (ipv6.mode says so)",
        ),
        (wish("routed"), AT_HOME, {HOME: ROUTED}, ROUTED, "2600:db8:40:8:ff::/80", "and is routed here"),
        (wish("routed"), WAN, {LINK: ON_LINK}, NONE, None, f"{LINK} is on-link and not routed here"),
        (wish("ndp-proxy", OTHER), WAN, {}, NONE, None, f"the WAN does not have ipv6.prefix {OTHER}"),
    ],
)
def test_choices(
    settings: config.IPv6,
    wan: Wan,
    verdicts: Mapping[IPv6Network, str],
    way: str,
    subnet: IPv6Network | str | None,
    words: str,
) -> None:
    choice = members_subnet.choose(settings, wan, members_subnet.prefixes(settings, wan, None), verdicts)
    assert (choice.way, str(choice.subnet)) == (way, str(subnet))
    assert words in choice.found


def test_the_gateways_own_address_stays_out() -> None:
    with pytest.raises(ZtgateError, match="holds the gateway's own address"):
        members_subnet.subnet_of(wish(subnet=0x5054), WAN, LINK)


@pytest.mark.parametrize("length", [48, 56, 60, 62, 64])
def test_a_larger_prefix_gives_its_first_64(length: int) -> None:
    prefix = IPv6Network(f"2600:db8:40::/{length}")
    assert derive.subnet_of(prefix, 0xFF) == IPv6Network("2600:db8:40:0:ff::/80")


def test_nat66_at_the_controller() -> None:
    """RFC 4193 addresses and nothing else: no range, no pool."""
    settings = {"routes": [{"target": "10.66.0.0/24", "via": None}], "mtu": 1390}
    want = register.Want(NETWORK, NODE, "gw", None, 1390, nat66=True)
    changes = register.plan_ranges(settings, want, WAN.network)
    assert changes == {"v6AssignMode": {"6plane": False, "rfc4193": True}}
    assert register.plan_ranges(settings | changes, want, WAN.network) == {}


RULES = {
    "accept": 'oifname "ens3" ip6 saddr {range} counter goto judged',
    "masquerade": 'oifname "ens3" ip6 saddr {range} counter masquerade',
    "reject": "meta nfproto ipv6 reject with icmpv6 no-route",
    "open port": "ip6 daddr {range} tcp dport 22-22 counter goto judged",
    "open": 'iifname "ens3" oifname "ztx" ip6 daddr {range} counter goto judged',
}


@pytest.mark.parametrize(
    ("choice", "inbound", "rules"),
    [
        (Choice(ON_LINK, SUBNET), "replies-only", {"accept", "open port"}),
        (Choice(ROUTED, SUBNET), "open", {"accept", "open port", "open"}),
        (Choice(NAT66, RANGE), "open", {"accept", "masquerade"}),
        (Choice(NONE), "open", {"reject"}),
    ],
)
def test_firewall(choice: Choice, inbound: str, rules: set[str]) -> None:
    situation = firewall.Situation(
        "ztx", "ens3", "ens3", ("10.66.0.0/24",), str(choice.range or ""), choice.way == NAT66
    )
    yaml = f"network: {NETWORK}\nfirewall: {{inbound: {inbound}, allow: [tcp/22]}}\n"
    text = firewall.render(firewall.inputs(config.load(yaml, "g"), situation))
    lines = {line.strip() for line in text.splitlines()}
    present = {
        name for name, rule in RULES.items() if any(rule.format(range=choice.range) in line for line in lines)
    }
    assert present == rules
