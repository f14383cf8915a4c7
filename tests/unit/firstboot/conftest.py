"""What runs of a whole gateway share."""

import pytest
from ztgate import tell

from .support import FakeController


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> FakeController:
    """A controller with a network that has a range and no gateway; whoever opens one gets it."""
    made = FakeController({"routes": [{"target": "10.66.0.0/24", "via": None}], "mtu": 2800})
    monkeypatch.setattr(tell, "open_controller", lambda *_: made)
    return made
