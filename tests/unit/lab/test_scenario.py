"""Scenarios: their rounds, their records, and the fixture that keeps them."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from lab import scenario
from lab.errors import LabError
from lab.scenario import Record, Scenario
from tests.conftest import ROOT

TESTS = """\
import pytest

@pytest.mark.scenario("power", "a good one", within=5)
def test_good(scenario):
    for number in scenario.rounds(short=3):
        scenario.recovered(number)
    scenario.figure("seen", scenario.random.randrange(2**32))

@pytest.mark.scenario("power", "one that fails", within=5)
def test_fails(scenario):
    for _ in scenario.rounds(short=3):
        assert 1 == 2, "no routes"

@pytest.mark.scenario("network", "one that loses", within=5)
def test_loses(scenario):
    for number in scenario.rounds(short=2):
        scenario.lost(f"identity {number}")

@pytest.mark.scenario("network", "one that never begins", within=5)
def test_nothing(scenario):
    pass

@pytest.fixture
def world():
    raise RuntimeError("no world")

@pytest.mark.scenario("network", "one without a world", within=5)
def test_without(world, scenario):
    pass
"""


def record() -> Record:
    return Record("power", "A cut, at boot", within=2.0, seed=1)


def test_without_a_share_of_time_there_are_as_many_rounds_as_the_short_form_has() -> None:
    made = record()
    assert list(Scenario(made, None).rounds(short=3)) == [0, 1, 2]
    assert made.tried == 3


def test_with_a_share_there_are_rounds_until_it_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("lab.scenario.time.monotonic", lambda: next(clock))
    assert list(Scenario(record(), 4).rounds(short=1)) == [0, 1]  # a third one would end when it is over


def test_after_the_end_for_all_there_are_no_more_than_the_fewest() -> None:
    assert list(Scenario(record(), 4, left=-1).rounds(short=2)) == [0, 1]


def test_what_takes_long_may_be_less_than_the_short_form_in_a_share() -> None:
    assert list(Scenario(record(), 0).rounds(short=100, least=1)) == [0]
    assert len(list(Scenario(record(), None).rounds(short=100, least=1))) == 100


def test_so_many_rounds_as_were_asked_for() -> None:
    assert list(Scenario(record(), None, times=3).rounds(short=1)) == [0, 1, 2]


def test_a_recovery_that_takes_too_long_is_an_error_and_is_recorded() -> None:
    made = record()
    hand = Scenario(made, None)
    hand.recovered(1.96)
    with pytest.raises(LabError, match=r"after 2\.5 s; 2 s are allowed"):
        hand.recovered(2.5)
    assert made.recovered == [2.0, 2.5]


def test_a_part_that_no_page_has_is_refused() -> None:
    with pytest.raises(LabError, match="weather: the parts of scenarios are power, "):
        Record("weather", "rain", within=1, seed=1)


def test_records_are_read_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario, "RECORDS", tmp_path / "records")
    for part, name in (("network", "b"), ("attack", "c"), ("network", "a"), ("power", "A cut, at boot")):
        scenario.write(Record(part, name, within=1, seed=1))
    read = scenario.read(tmp_path / "records")
    assert [each.name for each in read] == ["A cut, at boot", "a", "b", "c"]
    assert read[0].path.name == "power-a-cut-at-boot.json"


def test_the_fixture_records_what_each_test_came_to(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(
        f"from pathlib import Path\nfrom lab import scenario\nscenario.RECORDS = Path({str(tmp_path)!r})\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.scenarios", "--seed", "7", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert "2 passed" not in done.stdout and "4 errors" in done.stdout, done.stdout
    found = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    good, fails = found["power-a-good-one"], found["power-one-that-fails"]
    assert (good["tried"], good["recovered"], good["lost"], good["seed"]) == (3, [0, 1, 2], [], 7)
    assert good["figures"]["seen"] == random.Random(7).randrange(2**32)
    assert (fails["tried"], fails["lost"]) == (1, ["AssertionError: no routes"])
    assert found["network-one-that-loses"]["lost"] == ["identity 0", "identity 1"]
    assert found["network-one-that-never-begins"]["tried"] == 0
    assert found["network-one-without-a-world"]["lost"] == ["RuntimeError: no world"]
    assert "scenario a good one (--seed 7): 3 rounds, worst 2.0 s of 5, seen " in done.stdout
