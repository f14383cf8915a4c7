"""The fixture `scenario`: a record of each test that is marked as one (lab/scenario.py)."""

import math
import random
import time
from collections.abc import Iterator

import pytest

from lab import reliability
from lab.scenario import Record, Scenario, write

FAILED = pytest.StashKey[str]()
MADE = pytest.StashKey[list[Record]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--share", type=float, metavar="SECONDS", help="each scenario repeats itself for so long"
    )
    parser.addoption(
        "--until",
        type=float,
        metavar="TIME",
        help="no more rounds than the fewest after it (seconds since 1970)",
    )
    parser.addoption("--rounds", type=int, metavar="N", help="so many rounds of each scenario")
    parser.addoption("--seed", type=int, help="of the scenarios' chances (default: another one each time)")


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """What a test failed of goes into its record; one that could not even begin has lost everything."""
    marker = item.get_closest_marker("scenario")
    if marker is None or call.excinfo is None or call.excinfo.errisinstance(pytest.skip.Exception):
        return
    failed = f"{call.excinfo.typename}: {call.excinfo.value}".splitlines()[0]
    if call.when == "call":
        item.stash[FAILED] = failed
    elif call.when == "setup":
        keep(item.config, Record(*marker.args, **{**marker.kwargs, "seed": 0, "lost": [failed]}))


def keep(config: pytest.Config, record: Record) -> None:
    """In its file, and for the summary."""
    write(record)
    config.stash.setdefault(MADE, []).append(record)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What the scenarios of this run came to."""
    for record in config.stash.get(MADE, []):
        terminalreporter.write_line(
            f"scenario {record.name} (--seed {record.seed}): {reliability.said(record)}"
        )


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """The test's scenario. It fails when it has lost something, and when no round of it was run."""
    marker = request.node.get_closest_marker("scenario")
    if marker is None:
        pytest.fail('mark the test: @pytest.mark.scenario("part", "name", within=SECONDS)', pytrace=False)
    given = request.config.getoption("--seed")
    seed = random.randrange(2**32) if given is None else given
    record = Record(*marker.args, **marker.kwargs | {"seed": seed})
    share, until, times = map(request.config.getoption, ("--share", "--until", "--rounds"))
    yield Scenario(record, share, math.inf if until is None else until - time.time(), times)
    if failed := request.node.stash.get(FAILED, ""):
        record.lost.append(failed)
    keep(request.config, record)
    assert record.tried > 0, "no round was run"
    assert record.lost == [], record.lost
