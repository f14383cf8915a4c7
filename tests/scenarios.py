"""The fixture `scenario`: a record of each test that is marked as one (lab/scenario.py)."""

import random
from collections.abc import Iterator

import pytest

from lab.scenario import Record, Scenario, write

FAILED = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--share", type=float, metavar="SECONDS", help="each scenario repeats itself for so long"
    )
    parser.addoption("--seed", type=int, help="of the scenarios' chances (default: another one each time)")


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """What a test failed of goes into its record."""
    if call.excinfo is not None and call.when == "call":
        item.stash[FAILED] = f"{call.excinfo.typename}: {call.excinfo.value}".splitlines()[0]


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """The test's scenario. It fails when it has lost something, and when no round of it was run."""
    marker = request.node.get_closest_marker("scenario")
    if marker is None:
        pytest.fail('mark the test: @pytest.mark.scenario("part", "name", within=SECONDS)', pytrace=False)
    given = request.config.getoption("--seed")
    seed = random.randrange(2**32) if given is None else given
    print(f"scenario {marker.args[1]}: --seed {seed}")
    record = Record(*marker.args, **marker.kwargs | {"seed": seed})
    yield Scenario(record, request.config.getoption("--share"))
    if failed := request.node.stash.get(FAILED, ""):
        record.lost.append(failed)
    write(record)
    assert record.tried > 0, "no round was run"
    assert record.lost == [], record.lost
