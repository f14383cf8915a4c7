"""The same as test_cuts_later.py, of the Raspberry Pi's image."""

from pathlib import Path

import pytest

from lab.scenario import Scenario
from lab.world import World

from . import power_cuts
from .conftest import Make

pytestmark = [pytest.mark.soak, pytest.mark.standin]


@pytest.mark.scenario("power", "power cuts at later boots and at work, arm64", within=power_cuts.WITHIN)
def test_later_boots(scenario: Scenario, world: World, make: Make, pi_image: Path) -> None:
    power_cuts.later_boots(world, scenario, make, pi_image, short=1)
