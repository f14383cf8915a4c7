"""The controller is away for a day, by the gateway's clock: who goes out through it does not notice."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ztgate import service

from lab import faults, tls
from lab.tls import Certificate

from .api_world import ROUTES, TIMER, World, world
from .support import LINKS, ROUTES6

HOUR, MINUTE = 3600.0, 60.0
DAY = 24 * HOUR
BACK = 18 * MINUTE  # at the latest, after the controller is: a round of several requests was the last one


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made: Certificate = tls.make(tmp_path / "tls", ["localhost"])
    with world(tmp_path, made, monkeypatch) as found:
        yield found


def a_day(gateway: World) -> set[int | None]:
    """The service and its timer for a day; the exit statuses that were seen."""
    end, seen = gateway.clock.time + DAY, set()
    while gateway.clock.time < end:
        seen.add(gateway.live(end - gateway.clock.time))
        gateway.clock.sleep(TIMER)
    return seen


def test_a_gateway_at_work_does_not_need_it(gateway: World) -> None:
    assert gateway.live(HOUR) == service.READY
    asked, content, rules = len(gateway.asked), gateway.content(), gateway.tools.loaded
    gateway.faulty.play(faults.reset)
    assert a_day(gateway) == {service.READY}
    assert len(gateway.asked) == asked, "nobody asks for what is known"
    assert gateway.tools.loaded == rules and gateway.content() == content


def test_another_prefix_meanwhile(gateway: World) -> None:
    """IPv4 goes on; it is asked ever more seldom, is not given up, and hears of it when it is back."""
    settings = json.loads(gateway.boot().paths.fat_config.read_text())
    settings["controller"]["token-after-setup"] = "keep"
    gateway.boot().paths.fat_config.write_text(json.dumps(settings))
    assert gateway.live(HOUR) == service.READY
    gateway.faulty.play(faults.reset)
    began, gateway.asked[:] = gateway.clock.time, []
    gateway.tools.links = LINKS.replace("2600:db8:0:1:", "2600:db8:0:2:")
    gateway.tools.routes6 = ROUTES6.replace("2600:db8:0:1:", "2600:db8:0:2:")
    assert service.READY not in a_day(gateway)
    assert f"ip saddr {{ {ROUTES[0]} }} counter masquerade" in gateway.tools.loaded
    assert 24 < len(gateway.asked) < 24 * 60
    assert sum(time < began + HOUR for time in gateway.asked) < 60
    assert any(time > began + DAY - HOUR for time in gateway.asked)
    gateway.faulty.mend()
    assert gateway.live(BACK) == service.READY, gateway.status()
    targets = [row["target"] for row in gateway.content()["network"]["routes"]]
    assert "2600:db8:0:2:ff::/80" in targets and "2600:db8:0:1:ff::/80" not in targets
