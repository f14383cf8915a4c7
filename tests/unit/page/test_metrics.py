"""/metrics: what Prometheus' own parser makes of it, in each state."""

from collections import Counter
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ztgate.page import metrics
from ztgate.page.facts import Examination, Facts

from .scenes import LAPTOP, NOW, SCENES, WELL, WORKING, broken

# As zerotier-one 1.14.1 gives them, and with what it must not make worse.
ZEROTIER = """\
# HELP zt_packet ZeroTier packet type counts
# TYPE zt_packet counter
zt_packet{direction="tx",packet_type="hello"} 32
zt_packet{direction="rx",packet_type="hello"} 0
# HELP zt_packet ZeroTier packet type counts
# TYPE zt_packet counter
zt_packet{direction="tx",packet_type="hello"} 32
# HELP zt_num_networks number of networks this instance is joined to
# TYPE zt_num_networks gauge
zt_num_networks 1
# HELP controller_member_count number of controller members
# TYPE controller_member_count gauge
controller_member_count 0
ztgate_ready 0
nonsense
"""
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(facts: Facts, doctor: Examination, zerotier: str = ZEROTIER) -> Samples:
    """Every sample; it fails where a family or a sample comes twice, or has no HELP and TYPE."""
    text = metrics.text(metrics.families(facts, doctor, NOW), zerotier)
    names = Counter(line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE"))
    assert set(names.values()) == {1} and text.endswith("\n")
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation and family.type in ("gauge", "counter")
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


@pytest.mark.parametrize("scene", SCENES)
def test_each_state_can_be_read(scene: str) -> None:
    found = parsed(*SCENES[scene])
    assert found["ztgate_ready", ()] == float(SCENES[scene][0].status.get("state") == "ready")
    assert sum(value for (name, _), value in found.items() if name == "ztgate_state") in (0, 1)


def test_what_is_told_of_one_that_works() -> None:
    found = parsed(WORKING, WELL)
    who = (("address", LAPTOP.addresses[0]), ("name", "anna-laptop"), ("node", LAPTOP.node))
    expected = {
        ("ztgate_state", (("state", "ready"),)): 1,
        ("ztgate_state", (("state", "failed"),)): 0,
        ("ztgate_token", (("token", "discarded"),)): 1,
        ("ztgate_healthy", ()): 1,
        ("ztgate_link_ok", (("link", "nat"),)): 1,
        ("ztgate_members", ()): 3,
        ("ztgate_ipv6_announced", ()): 1,
        ("ztgate_doctor_age_seconds", ()): 25,
        ("ztgate_last_run_timestamp_seconds", ()): NOW - 70,
        ("ztgate_member_sent_bytes_total", who): LAPTOP.sent,
        ("ztgate_interface_bytes_total", (("direction", "in"), ("interface", "members"))): 9000,
        ("zt_packet_total", (("direction", "tx"), ("packet_type", "hello"))): 32,
        ("zt_num_networks", ()): 1,
    }
    # The parser calls a counter's sample by its older name.
    assert {k: found.get(k, found.get((k[0].removesuffix("_total"), k[1]))) for k in expected} == expected
    assert not any(name.startswith("controller_") for name, _ in found)


def test_a_broken_link_shows() -> None:
    found = parsed(WORKING, broken("nat", "x", "y"))
    assert found["ztgate_link_ok", (("link", "nat"),)] == 0 and found["ztgate_healthy", ()] == 0


def test_names_are_quoted() -> None:
    evil = 'a"b\\c\nd} 1\nztgate_ready 7'
    found = parsed(replace(WORKING, members=(replace(LAPTOP, name=evil),)), WELL)
    assert found["ztgate_ready", ()] == 1
    assert any(dict(labels).get("name") == evil for _, labels in found)
