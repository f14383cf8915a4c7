"""What a boot may cost, in instructions, and what it may keep of a small machine's memory."""

from pathlib import Path
from typing import Any

import pytest

from lab import bootcost
from tests.conftest import ROOT

pytestmark = pytest.mark.soak
# In instructions: a tenth more than was counted last (docs/design.md).
FIRST, LATER = 14_400_000_000, 11_100_000_000
MEMORY = 80.0  # MB


@pytest.fixture(scope="module")
def result(image: Path, zerotier_deb: Path) -> Any:
    """Two boots, the first one and a later one."""
    return bootcost.measure(image, zerotier_deb, ROOT / "out/tests/bootcost")


def test_a_boot_stays_cheap(result: Any) -> None:
    shown = bootcost.table(result)
    assert result["total"] < FIRST, shown
    assert result["later"]["total"] < LATER, shown


def test_all_of_a_boot_is_accounted_for(result: Any) -> None:
    for boot in (result, result["later"]):
        assert sum(phase["instructions"] for phase in boot["phases"]) == boot["total"]
        assert all(phase["instructions"] >= 0 for phase in boot["phases"]), boot


def test_cloud_init_takes_nothing_of_a_later_boot(result: Any) -> None:
    first, later = (
        {phase["name"]: phase["instructions"] for phase in boot["phases"]}
        for boot in (result, result["later"])
    )
    assert first["cloud-init"] > 1_000_000_000, "it has run at all"
    assert later["cloud-init"] == 0


def test_a_small_machine_has_memory_left(result: Any) -> None:
    assert result["idle_memory_mb"] <= MEMORY
