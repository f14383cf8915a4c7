"""The lab's name servers: what is asked of them, and what they are told."""

import pytest

from lab import names, topology

SHOWN = """\
;; ->>HEADER<<- opcode: QUERY; status: NOERROR; id: 1
;; Flags: qr rd ra ad; QUERY: 1; ANSWER: 2; AUTHORITY: 0; ADDITIONAL: 1

;; ANSWER SECTION:
example.com.        \t300\tIN\tA\t203.0.2.10
example.com.        \t300\tIN\tRRSIG\tA 13 2 300 20261208093450 20261124080450 54777 example.com. k0TGzF==
"""


@pytest.mark.parametrize(
    ("shown", "answer"),
    [
        (SHOWN, names.Answer("NOERROR", frozenset({"qr", "rd", "ra", "ad"}), ("203.0.2.10",))),
        (
            ";; ->>HEADER<<- opcode: QUERY; status: SERVFAIL; id: 7\n;; Flags: qr rd ra; QUERY: 1;\n",
            names.Answer("SERVFAIL", frozenset({"qr", "rd", "ra"}), ()),
        ),
        ("", names.Answer("", frozenset(), ())),
    ],
)
def test_an_answer_is_read(shown: str, answer: names.Answer) -> None:
    assert names.parse(shown, "A") == answer


def test_the_world_has_what_a_resolver_needs() -> None:
    """The root first, as the others hang on it; every root server's addresses are the internet host's."""
    root, *others = topology.ZONES
    assert root.name == "." and {zone.signed for zone in others} == {True, False}
    assert {f"{ipv4}/32" for ipv4, _ in topology.ROOT_SERVERS} < set(topology.ANYCAST)
    assert {f"{ipv6}/128" for _, ipv6 in topology.ROOT_SERVERS} < set(topology.ANYCAST)
