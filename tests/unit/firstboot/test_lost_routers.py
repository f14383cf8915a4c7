"""IPv6 routers that are gone: which default routes go with them."""

import json
from pathlib import Path
from typing import Any

import pytest
from ztgate.steps import lost_routers

from .support import machine, tools

OLD, NEW = ("fe80::1", "ens3"), ("fe80::2", "ens3")
# As iproute2 shows them: of one metric as next hops of one route, otherwise each in a row.
TOGETHER: list[dict[str, Any]] = [
    {"dst": "2600:db8:0:1::/64", "dev": "ens3"},
    {"dst": "default", "nexthops": [{"gateway": gateway, "dev": dev} for gateway, dev in (OLD, NEW)]},
]
APART = [{"dst": "default", "gateway": gateway, "dev": dev} for gateway, dev in (OLD, NEW)]
ZEROTIERS = {"dst": "default", "gateway": "fe80::3", "dev": "ztshpwbcen"}


@pytest.mark.parametrize("rows", [TOGETHER, APART, [*APART, ZEROTIERS]])
def test_default_routers(rows: list[dict[str, Any]]) -> None:
    assert lost_routers.parse(rows) == [OLD, NEW]


@pytest.mark.parametrize(
    ("present", "gone"),
    [({OLD, NEW}, []), ({NEW}, [OLD]), ({OLD}, [NEW]), (set(), [])],
)
def test_who_goes(present: set[lost_routers.Hop], gone: list[lost_routers.Hop]) -> None:
    planned = [str(action) for action in lost_routers.plan([OLD, NEW], present)]
    assert planned == [f"ip -6 route del default via {gateway} dev {dev}" for gateway, dev in gone]


@pytest.mark.parametrize("silent", [False, True])
def test_a_router_that_answers_no_ping_is_there(tmp_path: Path, silent: bool) -> None:
    """What it answers is who has its address."""
    made = machine(tmp_path)
    pretended = tools(made)
    pretended.routes6 = json.dumps(TOGETHER)
    known = [{"dst": OLD[0], "state": ["FAILED"]}]
    known.append({"dst": NEW[0], "lladdr": "52:54:00:ee:00:02", "state": ["REACHABLE"]})

    def asked(argv: tuple[str, ...], **options: Any) -> tuple[int, str]:
        if argv[0] == "ping":
            return (1, "") if silent or argv[-1].startswith(OLD[0]) else (0, "")
        if argv[:4] == ("ip", "-6", "-j", "neigh"):
            return 0, json.dumps(known)
        return pretended(argv, **options)

    made.probe = asked
    lost_routers.run(made)
    assert [str(action) for action in made.performed] == ["ip -6 route del default via fe80::1 dev ens3"]


def test_the_only_router_is_left_alone(tmp_path: Path) -> None:
    made = machine(tmp_path)
    tools(made).pings = lambda host: False
    lost_routers.run(made)
    assert made.performed == [] and not any(call[0] == "ping" for call in tools(made).calls)
