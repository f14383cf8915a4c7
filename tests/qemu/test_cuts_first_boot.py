"""The power fails while a gateway is set up."""

import pytest

from lab.scenario import Scenario
from lab.world import World

from . import power_cuts
from .conftest import Make


@pytest.mark.scenario("power", "power cuts during first boot", within=power_cuts.WITHIN)
def test_first_boots(scenario: Scenario, world: World, make: Make) -> None:
    power_cuts.first_boots(world, scenario, make, None, short=1)
