"""The power fails while a gateway that is set up boots, and while it works."""

import pytest

from lab.scenario import Scenario
from lab.world import World

from . import power_cuts
from .conftest import Make


@pytest.mark.scenario("power", "power cuts at later boots and at work", within=power_cuts.WITHIN)
def test_later_boots(scenario: Scenario, world: World, make: Make) -> None:
    power_cuts.later_boots(world, scenario, make, None, short=1)
